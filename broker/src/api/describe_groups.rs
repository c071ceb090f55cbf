//! DescribeGroups.

use std::sync::Arc;

use coordinator::group::{Command, GroupState, MemberDescription, Response};
use protocol::Utf8Bytes;
use protocol::messages::describe_groups_request::DescribeGroupsRequest;
use protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use types::ErrorCode;

use super::RequestContext;
use super::groups::{self, NO_OPERATIONS};
use crate::node::Node;

/// From this version on a group that is not there is an error, not a dead group (KIP-1043).
const FIRST_WITH_NOT_FOUND: i16 = 6;

/// Describes each group.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut response = DescribeGroupsResponse::default();
    for group in request.groups {
        response.groups.push(describe(node, context.api_version, group).await);
    }
    response
}

async fn describe(node: &Node, version: i16, group: Utf8Bytes) -> DescribedGroup {
    let empty = DescribedGroup { authorized_operations: NO_OPERATIONS, ..DescribedGroup::default() };
    let answer = groups::ask(node, &group, Command::Describe { group: group.to_string() }).await;
    match answer {
        Ok(Response::Described(Some(found))) => DescribedGroup {
            group_id: group,
            group_state: found.state.name().into(),
            protocol_type: found.protocol_type.into(),
            protocol_data: found.protocol.into(),
            members: found.members.into_iter().map(member).collect(),
            ..empty
        },
        Ok(Response::Described(None)) if version >= FIRST_WITH_NOT_FOUND => DescribedGroup {
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(format!("there is no group {}", group.as_str()).into()),
            group_id: group,
            group_state: GroupState::Dead.name().into(),
            ..empty
        },
        Ok(Response::Described(None)) => {
            DescribedGroup { group_id: group, group_state: GroupState::Dead.name().into(), ..empty }
        }
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => DescribedGroup { error_code: code.code(), group_id: group, ..empty },
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.id.into(),
        group_instance_id: member.instance_id.map(Utf8Bytes::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.subscription,
        member_assignment: member.assignment,
        ..DescribedGroupMember::default()
    }
}
