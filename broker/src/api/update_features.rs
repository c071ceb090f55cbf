//! UpdateFeatures: this release finalizes no feature, so that there is none to raise or to lower (KIP-584).

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use protocol::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};
use types::ErrorCode;

use super::RequestContext;
use crate::node::Node;

/// From this version on there is one error for the whole request.
const FIRST_WITHOUT_RESULTS: i16 = 2;

/// Refuses every feature by name, as a Kafka controller does with one that it does not support.
pub(crate) async fn handle(
    _node: &Arc<Node>,
    context: &RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let message = |update: &FeatureUpdateKey| {
        let FeatureUpdateKey { feature, max_version_level, .. } = update;
        let message = format!(
            "Invalid update version {max_version_level} for feature {}. This cluster does not support this feature.",
            feature.as_str()
        );
        Some(Utf8Bytes::from(message))
    };
    if context.api_version >= FIRST_WITHOUT_RESULTS {
        let refused = request.feature_updates.first();
        return UpdateFeaturesResponse {
            error_code: refused.map_or(ErrorCode::None, |_| ErrorCode::InvalidUpdateVersion).code(),
            error_message: refused.and_then(message),
            ..UpdateFeaturesResponse::default()
        };
    }
    let results = request.feature_updates.iter().map(|update| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: ErrorCode::InvalidUpdateVersion.code(),
        error_message: message(update),
        ..UpdatableFeatureResult::default()
    });
    UpdateFeaturesResponse { results: results.collect(), ..UpdateFeaturesResponse::default() }
}
