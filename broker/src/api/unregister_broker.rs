//! UnregisterBroker: a broker that will not come back is forgotten.

use std::sync::Arc;

use metadata::Command;
use protocol::Utf8Bytes;
use protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use types::BrokerId;

use super::RequestContext;
use crate::node::Node;

/// Forgets it, or says that there is none.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let command = Command::UnregisterBroker { broker: BrokerId(request.broker_id) };
    match node.metadata().submit(command).await {
        Ok(_) => UnregisterBrokerResponse::default(),
        Err(error) => UnregisterBrokerResponse {
            error_code: error.code().code(),
            error_message: Some(Utf8Bytes::from(error.to_string())),
            ..UnregisterBrokerResponse::default()
        },
    }
}
