//! Tells the active controller that this broker lives and how far it has come. Silence fences it; a broker that was fenced
//! for its silence is taken back by its next heartbeat. A broker that is to stop says so in its heartbeats, and stops when
//! others lead what it led.

use std::sync::Arc;
use std::time::Duration;

use metadata::{BrokerHeartbeat, Command, HeartbeatReply, Response};
use tokio::time::{Instant, sleep, timeout};
use types::{BrokerEpoch, BrokerId};

use crate::lifecycle::millis;
use crate::node::Node;
use crate::quorum::SubmitError;

/// Between two heartbeats of a broker that is to stop: clients are waiting for the next leader.
const LEAVING_INTERVAL: Duration = Duration::from_millis(20);
/// A controller that is silent for so long will not hand this broker's partitions over.
const LEAVING_SILENCE: Duration = Duration::from_secs(2);
/// Whatever the controller says, a broker that is to stop has stopped after this.
const LEAVING_MAX: Duration = Duration::from_secs(20);

/// Runs until the node leaves or stops.
pub(crate) async fn run(node: Arc<Node>, epoch: BrokerEpoch) {
    let interval = millis(node.broker_config.broker_heartbeat_interval_ms);
    let (mut was_fenced, mut missed) = (false, 0);
    let mut disk_failure = node.partitions.log_dirs().failures();
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            Ok(()) = disk_failure.changed() => {}
            () = node.leaving.cancelled() => return,
            () = node.stopping.cancelled() => return,
        }
        let beat = tokio::select! {
            beat = beat(&node, epoch, false) => beat,
            () = node.leaving.cancelled() => return,
        };
        match beat {
            Ok(reply) => {
                if reply.is_fenced && !was_fenced {
                    tracing::warn!("the controller has fenced this broker");
                }
                (was_fenced, missed) = (reply.is_fenced, 0);
            }
            Err(error) => {
                missed += 1;
                match missed {
                    // One is lost with every controller that goes.
                    1 => tracing::info!(%error, "the controller did not take a heartbeat"),
                    _ => tracing::warn!(%error, missed, "the controller takes no heartbeats"),
                }
            }
        }
    }
}

/// Hands over what this broker leads (Kafka's controlled shutdown), as far as there is a controller to do so. It serves on
/// meanwhile: who asks it learns who leads instead.
pub(crate) async fn leave(node: &Node) {
    let Some(epoch) = *node.registration.borrow() else { return };
    tracing::info!("handing over what this broker leads");
    node.leaving.cancel();
    let started = Instant::now();
    let mut heard = started;
    while started.elapsed() < LEAVING_MAX {
        match timeout(LEAVING_SILENCE, beat(node, epoch, true)).await {
            Ok(Ok(reply)) if reply.should_shut_down => {
                tracing::info!(millis = started.elapsed().as_millis(), "handed over");
                return;
            }
            Ok(Ok(_)) => heard = Instant::now(),
            // Not this registration any longer: there is nothing to hand over.
            Ok(Err(SubmitError::Rejected(rejection))) => {
                tracing::warn!(%rejection, "the controller hands nothing over");
                return;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        if heard.elapsed() >= LEAVING_SILENCE {
            tracing::warn!("no controller answers: partitions are led by others once this broker is gone");
            return;
        }
        sleep(LEAVING_INTERVAL).await;
    }
    tracing::warn!("not all partitions were handed over in {} s", LEAVING_MAX.as_secs());
}

async fn beat(node: &Node, epoch: BrokerEpoch, wants_shut_down: bool) -> Result<HeartbeatReply, SubmitError> {
    let heartbeat = BrokerHeartbeat {
        broker: BrokerId(node.config.node_id),
        epoch,
        metadata_end: node.metadata().published_end(),
        // Whose disk failed cannot lead: the others take over, and it stays out until it is started again.
        wants_fence: node.partitions.is_disk_failed(),
        wants_shut_down,
        offline: node.partitions.offline_in(&node.metadata().image()),
        ..BrokerHeartbeat::default()
    };
    let command = Command::BrokerHeartbeat(heartbeat);
    let response = match wants_shut_down {
        // Whoever still asks this node is told who leads instead.
        true => node.metadata().submit(command).await?,
        // A node that is slow to open what a thousand new partitions need is alive all the same.
        false => node.metadata().tell(command).await?,
    };
    match response {
        Response::Heartbeat(reply) => Ok(reply),
        other => {
            tracing::error!(?other, "a heartbeat was answered with something else");
            Err(SubmitError::Unknown)
        }
    }
}
