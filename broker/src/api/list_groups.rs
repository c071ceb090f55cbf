//! ListGroups: the groups that this broker coordinates.

use std::sync::Arc;

use coordinator::group::{Command, Response};
use protocol::messages::list_groups_request::ListGroupsRequest;
use protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use super::RequestContext;
use crate::node::Node;

/// The only type of group that there is.
const CLASSIC: &str = "classic";

/// Lists them, by state and type where that is asked for.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let types = &request.types_filter;
    if !types.is_empty() && !types.iter().any(|name| name.eq_ignore_ascii_case(CLASSIC)) {
        return ListGroupsResponse::default();
    }
    let states = request.states_filter.iter().map(|state| state.to_string()).collect();
    let answers = match node.groups.ask_all(&Command::List { states }).await {
        Ok(answers) => answers,
        Err(code) => return ListGroupsResponse { error_code: code.code(), ..ListGroupsResponse::default() },
    };
    let listed = answers.into_iter().flat_map(|answer| match answer {
        Response::Listed(listed) => listed,
        _ => unreachable!("the coordinator answers what it was asked"),
    });
    let groups = listed.map(|group| ListedGroup {
        group_id: group.group.into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.name().into(),
        group_type: CLASSIC.into(),
        ..ListedGroup::default()
    });
    ListGroupsResponse { groups: groups.collect(), ..ListGroupsResponse::default() }
}
