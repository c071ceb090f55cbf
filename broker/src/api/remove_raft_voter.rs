//! RemoveRaftVoter: a node votes no longer on the cluster's metadata (KIP-853).

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use protocol::messages::remove_raft_voter_response::RemoveRaftVoterResponse;
use types::ErrorCode;

use super::RequestContext;
use super::add_raft_voter::is_for_another;
use crate::node::Node;

/// Answers when it does not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    if is_for_another(node, request.cluster_id.as_deref()) {
        return refused(ErrorCode::InconsistentClusterId, "this is another cluster".to_owned());
    }
    match node.quorum.remove_voter(request.voter_id, request.voter_directory_id).await {
        Ok(()) => RemoveRaftVoterResponse::default(),
        Err(error) => refused(error.code(), error.to_string()),
    }
}

fn refused(code: ErrorCode, message: String) -> RemoveRaftVoterResponse {
    RemoveRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(Utf8Bytes::from(message)),
        ..RemoveRaftVoterResponse::default()
    }
}
