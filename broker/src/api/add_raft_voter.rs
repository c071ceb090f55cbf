//! AddRaftVoter: a node gets a vote on the cluster's metadata (KIP-853).

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::add_raft_voter_request::AddRaftVoterRequest;
use protocol::messages::add_raft_voter_response::AddRaftVoterResponse;
use types::ErrorCode;

use super::RequestContext;
use crate::node::Node;

/// Answers when it votes.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    if is_for_another(node, request.cluster_id.as_deref()) {
        return refused(ErrorCode::InconsistentClusterId, "this is another cluster".to_owned());
    }
    // A controller listens at one place.
    let Some(listener) = request.listeners.into_iter().next() else {
        return refused(ErrorCode::InvalidRequest, "the new voter's listener is missing".to_owned());
    };
    if request.voter_id < 0 || request.voter_directory_id.is_zero() {
        let message = "a voter is a node id and the id of its directory".to_owned();
        return refused(ErrorCode::InvalidRequest, message);
    }
    let (id, directory) = (request.voter_id, request.voter_directory_id);
    match node.quorum.add_voter(id, directory, listener.host.to_string(), listener.port).await {
        Ok(()) => AddRaftVoterResponse::default(),
        Err(error) => refused(error.code(), error.to_string()),
    }
}

/// Whether a request names a cluster, and not this one.
pub(super) fn is_for_another(node: &Node, cluster_id: Option<&str>) -> bool {
    cluster_id.is_some_and(|asked| node.cluster_id().is_none_or(|ours| ours != asked))
}

fn refused(code: ErrorCode, message: String) -> AddRaftVoterResponse {
    AddRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(Utf8Bytes::from(message)),
        ..AddRaftVoterResponse::default()
    }
}
