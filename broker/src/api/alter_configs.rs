//! AlterConfigs: a resource's whole configuration at once. What is not named goes back to its default.

use std::sync::Arc;

use metadata::{ConfigChange, ConfigOperation};
use protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use protocol::messages::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};
use types::ErrorCode;

use super::RequestContext;
use super::config_resource::{Refusal, target, wire};
use super::incremental_alter_configs::submit;
use crate::node::Node;

/// Changes each resource, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let names: Vec<_> = request
        .resources
        .iter()
        .map(|resource| (resource.resource_type, resource.resource_name.clone()))
        .collect();
    let changes = request.resources.into_iter().map(|resource| change(node, resource)).collect();
    let outcomes = submit(node, changes, request.validate_only).await;
    let responses = names.into_iter().zip(outcomes).map(|((resource_type, resource_name), outcome)| {
        let (error_code, error_message) = wire(outcome.err());
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type,
            resource_name,
            ..AlterConfigsResourceResponse::default()
        }
    });
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}

fn change(node: &Node, resource: AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = target(node, resource.resource_type, &resource.resource_name)?;
    let operations = resource
        .configs
        .into_iter()
        .map(|config| match config.value {
            Some(value) => Ok((config.name.to_string(), ConfigOperation::Set(value.to_string()))),
            None => Err((ErrorCode::InvalidRequest, format!("{} has no value", config.name))),
        })
        .collect::<Result<_, _>>()?;
    Ok(ConfigChange { resource: target, operations, replaces: true })
}
