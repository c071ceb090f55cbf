//! JoinGroup.

use std::sync::Arc;

use coordinator::group::{Command, JoinGroup, JoinedGroup, Response};
use protocol::Utf8Bytes;
use protocol::messages::join_group_request::JoinGroupRequest;
use protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use types::ErrorCode;

use super::{RequestContext, groups};
use crate::node::Node;
use crate::seams::random_uuid;

/// Before this version there is one timeout for both.
const FIRST_WITH_REBALANCE_TIMEOUT: i16 = 1;
/// From this version on a new member is told its id first (KIP-394).
const FIRST_WITH_KNOWN_MEMBER: i16 = 4;
/// From this version on the protocol's name may be null.
const FIRST_WITH_NULL_PROTOCOL: i16 = 7;
/// From this version on a leader may be told to skip the assignment (KIP-814).
const FIRST_WITH_SKIP_ASSIGNMENT: i16 = 9;

/// Answers when the group's next generation is known.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let version = context.api_version;
    let member = request.member_id.clone();
    let group = request.group_id.to_string();
    let answer = groups::ask(node, &group, Command::Join(command(context, request))).await;
    let joined = match answer {
        Ok(Response::Joined(joined)) => joined,
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => JoinedGroup {
            error: Some(code),
            generation: -1,
            member: member.to_string(),
            ..JoinedGroup::default()
        },
    };
    response(version, joined)
}

fn command(context: &RequestContext, request: JoinGroupRequest) -> JoinGroup {
    let version = context.api_version;
    let client_id = context.client_id.as_ref().map_or("", |id| id.as_str());
    let named_after = request.group_instance_id.as_ref().map_or(client_id, |id| id.as_str());
    let rebalance_timeout_ms = match version >= FIRST_WITH_REBALANCE_TIMEOUT {
        true => request.rebalance_timeout_ms,
        false => request.session_timeout_ms,
    };
    let protocols = request.protocols.into_iter();
    JoinGroup {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        fresh_member: format!("{named_after}-{}", hyphenated(random_uuid())),
        requires_known_member: version >= FIRST_WITH_KNOWN_MEMBER && request.group_instance_id.is_none(),
        can_skip_assignment: version >= FIRST_WITH_SKIP_ASSIGNMENT,
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: client_id.to_owned(),
        // As Java prints an address that was never looked up.
        client_host: format!("/{}", context.peer.address.ip()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.map(|protocol| (protocol.name.to_string(), protocol.metadata)).collect(),
    }
}

fn response(version: i16, joined: JoinedGroup) -> JoinGroupResponse {
    let nullable = version >= FIRST_WITH_NULL_PROTOCOL;
    let members = joined.members.into_iter().map(|(id, instance_id, metadata)| JoinGroupResponseMember {
        member_id: id.into(),
        group_instance_id: instance_id.map(Utf8Bytes::from),
        metadata,
        ..JoinGroupResponseMember::default()
    });
    JoinGroupResponse {
        error_code: joined.error.unwrap_or(ErrorCode::None).code(),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.map(Utf8Bytes::from),
        protocol_name: joined.protocol.map(Utf8Bytes::from).or_else(|| (!nullable).then(Utf8Bytes::default)),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment && version >= FIRST_WITH_SKIP_ASSIGNMENT,
        member_id: joined.member.into(),
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

/// As Java prints a UUID.
fn hyphenated(id: types::Uuid) -> String {
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
