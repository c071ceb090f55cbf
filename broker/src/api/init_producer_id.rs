//! InitProducerId: gives an idempotent producer its id. Ids come from the controller a block at a time, so that most
//! requests need nobody else.

use std::sync::Arc;

use metadata::{Command, ProducerIdBlock, Response};
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::init_producer_id_response::InitProducerIdResponse;
use types::{BrokerId, ErrorCode, ProducerEpoch, ProducerId};

use super::RequestContext;
use crate::node::Node;

/// A producer that restarts gets a new id, so that its epoch is always the first.
const FIRST_EPOCH: ProducerEpoch = ProducerEpoch(0);

/// Answers with an id that no producer had before.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _: &RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let allocated = match check(&request) {
        Ok(()) => allocate(node).await,
        Err(error) => Err(error),
    };
    match allocated {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: FIRST_EPOCH.0,
            ..InitProducerIdResponse::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.code(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
            ..InitProducerIdResponse::default()
        },
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::InvalidRequest),
        // No transaction is served: a producer that needs them has to fail, not to try again.
        Some(_) => return Err(ErrorCode::UnsupportedVersion),
    }
    let has_id = request.producer_id != ProducerId::NONE.0;
    let has_epoch = request.producer_epoch != ProducerEpoch::NONE.0;
    if has_id == has_epoch { Ok(()) } else { Err(ErrorCode::InvalidRequest) }
}

async fn allocate(node: &Node) -> Result<ProducerId, ErrorCode> {
    // Held while a block is asked for: whoever comes meanwhile needs the same block.
    let mut ids = node.producer_ids.lock().await;
    if let Some(id) = ids.as_mut().and_then(take) {
        return Ok(id);
    }
    let mut block = ask_for_block(node).await?;
    let id = take(&mut block).ok_or(ErrorCode::UnknownServerError)?;
    *ids = Some(block);
    Ok(id)
}

fn take(block: &mut ProducerIdBlock) -> Option<ProducerId> {
    if block.len <= 0 {
        return None;
    }
    let id = block.first;
    *block = ProducerIdBlock { first: ProducerId(id.0 + 1), len: block.len - 1 };
    Some(id)
}

async fn ask_for_block(node: &Node) -> Result<ProducerIdBlock, ErrorCode> {
    let registration = *node.registration.borrow();
    // Every client repeats its request after this error, which is also what Kafka answers when it has no id at hand.
    let epoch = registration.ok_or(ErrorCode::CoordinatorLoadInProgress)?;
    let command = Command::AllocateProducerIds { broker: BrokerId(node.config.node_id), epoch };
    match node.metadata().submit(command).await {
        Ok(Response::ProducerIds(block)) => Ok(block),
        Ok(other) => unreachable!("{other:?} answers another command"),
        Err(error) => {
            tracing::warn!(%error, "cannot get producer ids");
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_given_out_one_by_one_and_ends() {
        let mut block = ProducerIdBlock { first: ProducerId(1000), len: 2 };
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut block)).collect();
        assert_eq!(taken, [ProducerId(1000), ProducerId(1001)]);
    }

    #[test]
    fn only_idempotent_producers_are_served() {
        let with = |transactional_id: Option<&'static str>, producer_id, producer_epoch| {
            let transactional_id = transactional_id.map(Into::into);
            check(&InitProducerIdRequest {
                transactional_id,
                producer_id,
                producer_epoch,
                ..Default::default()
            })
        };
        assert_eq!(with(None, -1, -1), Ok(()));
        assert_eq!(with(None, 5, 3), Ok(()));
        assert_eq!(with(None, 5, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(with(Some(""), -1, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(with(Some("payments"), -1, -1), Err(ErrorCode::UnsupportedVersion));
    }
}
