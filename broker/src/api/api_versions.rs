//! ApiVersions: what this broker serves, for clients of any age (KIP-35, KIP-511, KIP-1242).

use std::sync::Arc;

use protocol::ApiKey;
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use types::ErrorCode;

use super::{RequestContext, SERVED};
use crate::node::Node;

/// From this version on a client says which node of which cluster it means to talk to (KIP-1242).
const FIRST_WITH_TARGET: i16 = 5;
/// From this version on a client gives its name, which has to be one (KIP-511).
const FIRST_WITH_SOFTWARE: i16 = 3;

/// What is served.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let error = check(node, context.api_version, &request);
    ApiVersionsResponse { error_code: error.code(), api_keys: served(), ..ApiVersionsResponse::default() }
}

/// The answer to a version that does not exist here: the oldest form, with the versions of this very API.
pub(crate) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![entry(ApiKey::ApiVersions)],
        ..ApiVersionsResponse::default()
    }
}

fn check(node: &Node, version: i16, request: &ApiVersionsRequest) -> ErrorCode {
    let is_name = |text: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        edge(text.bytes().next())
            && edge(text.bytes().last())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    if version >= FIRST_WITH_SOFTWARE
        && !(is_name(&request.client_software_name) && is_name(&request.client_software_version))
    {
        return ErrorCode::InvalidRequest;
    }
    if version >= FIRST_WITH_TARGET && is_for_another(node, request) {
        return ErrorCode::RebootstrapRequired;
    }
    ErrorCode::None
}

fn is_for_another(node: &Node, request: &ApiVersionsRequest) -> bool {
    let other_cluster = match (&request.cluster_id, node.cluster_id()) {
        (Some(asked), Some(ours)) => **asked != *ours,
        _ => false,
    };
    other_cluster || request.node_id >= 0 && request.node_id != node.config.node_id
}

fn served() -> Vec<ApiVersion> {
    SERVED.iter().map(|key| entry(*key)).collect()
}

fn entry(key: ApiKey) -> ApiVersion {
    ApiVersion {
        api_key: key.code(),
        min_version: key.advertised_min(),
        max_version: key.latest_stable_version(),
        ..ApiVersion::default()
    }
}
