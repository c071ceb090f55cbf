//! LeaveGroup: one member, or several from version 3 on.

use std::sync::Arc;

use coordinator::group::{Command, LeavingMember, Response};
use protocol::Utf8Bytes;
use protocol::messages::leave_group_request::LeaveGroupRequest;
use protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use types::ErrorCode;

use super::{RequestContext, groups};
use crate::node::Node;

/// From this version on several members may leave at once, and static ones (KIP-345).
const FIRST_WITH_SEVERAL: i16 = 3;

/// Takes members out of a group.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let several = context.api_version >= FIRST_WITH_SEVERAL;
    let members: Vec<_> = match several {
        true => request
            .members
            .into_iter()
            .map(|member| LeavingMember {
                member: member.member_id.to_string(),
                instance_id: member.group_instance_id.map(|id| id.to_string()),
            })
            .collect(),
        false => vec![LeavingMember { member: request.member_id.to_string(), instance_id: None }],
    };
    let group = request.group_id.to_string();
    let (whole, left) =
        match groups::ask(node, &group, Command::Leave { group: group.clone(), members }).await {
            Ok(Response::Left(whole, left)) => (whole, left),
            Ok(_) => unreachable!("the coordinator answers what it was asked"),
            Err(code) => (code, Vec::new()),
        };
    if !several {
        let of_member = left.first().map_or(ErrorCode::None, |(_, code)| *code);
        let code = if whole.is_none() { of_member } else { whole };
        return LeaveGroupResponse { error_code: code.code(), ..LeaveGroupResponse::default() };
    }
    let members = left.into_iter().map(|(member, code)| MemberResponse {
        member_id: member.member.into(),
        group_instance_id: member.instance_id.map(Utf8Bytes::from),
        error_code: code.code(),
        ..MemberResponse::default()
    });
    LeaveGroupResponse {
        error_code: whole.code(),
        members: members.collect(),
        ..LeaveGroupResponse::default()
    }
}
