//! DeleteGroups: groups without members.

use std::sync::Arc;

use coordinator::group::Command;
use protocol::messages::delete_groups_request::DeleteGroupsRequest;
use protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use super::{RequestContext, groups};
use crate::node::Node;

/// Deletes each group, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut response = DeleteGroupsResponse::default();
    for group in request.groups_names {
        let command = Command::Delete { group: group.to_string() };
        let code = groups::ask_done(node, &group, command).await;
        let result = DeletableGroupResult {
            group_id: group,
            error_code: code.code(),
            ..DeletableGroupResult::default()
        };
        response.results.push(result);
    }
    response
}
