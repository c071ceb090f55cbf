//! SyncGroup.

use std::sync::Arc;

use coordinator::group::{Command, Response, SyncGroup, SyncedGroup};
use protocol::Utf8Bytes;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use types::ErrorCode;

use super::{RequestContext, groups};
use crate::node::Node;

/// Answers when the member's assignment is in the log.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let group = request.group_id.to_string();
    let text = |text: Option<Utf8Bytes>| text.map(|text| text.to_string());
    let assignments = request.assignments.into_iter();
    let command = Command::Sync(SyncGroup {
        group: group.clone(),
        member: request.member_id.to_string(),
        instance_id: text(request.group_instance_id),
        generation: request.generation_id,
        protocol_type: text(request.protocol_type),
        protocol: text(request.protocol_name),
        assignments: assignments.map(|one| (one.member_id.to_string(), one.assignment)).collect(),
    });
    let synced = match groups::ask(node, &group, command).await {
        Ok(Response::Synced(synced)) => synced,
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => SyncedGroup { error: Some(code), ..SyncedGroup::default() },
    };
    SyncGroupResponse {
        error_code: synced.error.unwrap_or(ErrorCode::None).code(),
        protocol_type: synced.protocol_type.map(Utf8Bytes::from),
        protocol_name: synced.protocol.map(Utf8Bytes::from),
        assignment: synced.assignment,
        ..SyncGroupResponse::default()
    }
}
