//! IncrementalAlterConfigs: single keys of a resource, set, deleted, added to or taken from (KIP-339).

use std::sync::Arc;

use metadata::{Command, ConfigChange, ConfigOperation, Response};
use protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use types::ErrorCode;

use super::RequestContext;
use super::config_resource::{Refusal, target, wire};
use crate::node::Node;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Changes each resource, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

/// Has the controller make the changes that could be read; the outcomes are in the order of the changes.
pub(super) async fn submit(
    node: &Node,
    changes: Vec<Result<ConfigChange, Refusal>>,
    validate_only: bool,
) -> Vec<Result<(), Refusal>> {
    let readable: Vec<_> = changes.iter().filter_map(|change| change.as_ref().ok()).cloned().collect();
    let command = Command::AlterConfigs { changes: readable, validate_only };
    let mut altered = match node.metadata().submit(command).await {
        Ok(Response::AlteredConfigs(altered)) => {
            altered.into_iter().map(|one| one.map_err(|failure| (failure.code, failure.message))).collect()
        }
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => vec![Err((error.code(), error.to_string())); changes.len()],
    }
    .into_iter();
    let outcome = |change: Result<ConfigChange, Refusal>| {
        change.and_then(|_| altered.next().expect("an outcome for every change that could be read"))
    };
    changes.into_iter().map(outcome).collect()
}

fn change(node: &Node, resource: AlterConfigsResource) -> Result<ConfigChange, Refusal> {
    let target = target(node, resource.resource_type, &resource.resource_name)?;
    let operations = resource.configs.into_iter().map(operation).collect::<Result<_, _>>()?;
    Ok(ConfigChange { resource: target, operations, replaces: false })
}

fn operation(config: AlterableConfig) -> Result<(String, ConfigOperation), Refusal> {
    let name = config.name.to_string();
    let operation = match (config.config_operation, config.value) {
        (DELETE, _) => ConfigOperation::Delete,
        (SET, Some(value)) => ConfigOperation::Set(value.to_string()),
        (APPEND, Some(value)) => ConfigOperation::Append(value.to_string()),
        (SUBTRACT, Some(value)) => ConfigOperation::Subtract(value.to_string()),
        (SET..=SUBTRACT, None) => return Err((ErrorCode::InvalidRequest, format!("{name} has no value"))),
        (other, _) => {
            return Err((ErrorCode::InvalidRequest, format!("{name}: operation {other} does not exist")));
        }
    };
    Ok((name, operation))
}
