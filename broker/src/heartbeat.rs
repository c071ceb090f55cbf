//! Tells the active controller that this broker lives and how far it has come. Silence fences it; a broker that was fenced
//! for its silence is taken back by its next heartbeat.

use std::sync::Arc;
use std::time::Duration;

use metadata::{BrokerHeartbeat, Command, Response};
use types::{BrokerEpoch, BrokerId};

use crate::node::Node;

/// `broker.heartbeat.interval.ms`.
const INTERVAL: Duration = Duration::from_millis(500);
/// `broker.session.timeout.ms`: after this silence the controller fences a broker.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>, epoch: BrokerEpoch) {
    let broker = BrokerId(node.config.node_id);
    let mut was_fenced = false;
    let mut disk_failure = node.partitions.errands().disk_failure();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            Ok(()) = disk_failure.changed() => {}
            () = node.stopping.cancelled() => return,
        }
        let metadata_end = node.metadata().published_end();
        // Whose disk failed cannot lead: the others take over, and it stays out until it is started again.
        let wants_fence = node.partitions.is_disk_failed();
        let heartbeat =
            BrokerHeartbeat { broker, epoch, metadata_end, wants_fence, ..BrokerHeartbeat::default() };
        match node.metadata().submit(Command::BrokerHeartbeat(heartbeat)).await {
            Ok(Response::Heartbeat(reply)) => {
                if reply.is_fenced && !was_fenced {
                    tracing::warn!("the controller has fenced this broker");
                }
                was_fenced = reply.is_fenced;
            }
            Ok(other) => tracing::error!(?other, "a heartbeat was answered with something else"),
            Err(error) => tracing::warn!(%error, "the controller did not take a heartbeat"),
        }
    }
}
