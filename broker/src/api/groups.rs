//! What the group APIs share: asking a group's coordinator.

use coordinator::group::{Command, Response};
use types::ErrorCode;

use crate::node::Node;

/// "Not asked for", where a response may hold the operations that the asker is allowed.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

/// Asks the coordinator of `group`; there is none for a group without a name.
pub(super) async fn ask(node: &Node, group: &str, command: Command) -> Result<Response, ErrorCode> {
    match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => node.groups.ask(node, group, command).await,
    }
}

/// Asks for something that is answered with an error code or none.
pub(super) async fn ask_done(node: &Node, group: &str, command: Command) -> ErrorCode {
    match ask(node, group, command).await {
        Ok(Response::Done(code)) => code,
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => code,
    }
}
