//! Heartbeat of a classic group's member.

use std::sync::Arc;

use coordinator::group::Command;
use protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{RequestContext, groups};
use crate::node::Node;

/// Says whether the member may go on.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let group = request.group_id.to_string();
    let command = Command::Heartbeat {
        group: group.clone(),
        member: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        generation: request.generation_id,
    };
    let code = groups::ask_done(node, &group, command).await;
    HeartbeatResponse { error_code: code.code(), ..HeartbeatResponse::default() }
}
