//! Whether a broker's process is gone. Its connection to the active controller breaks when it dies; an endpoint that then
//! refuses connections belongs to nobody. Silence is another matter: that is for the session's timeout to judge.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metadata::{Command, Endpoint};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::BrokerId;

use super::SUBMIT_TIMEOUT;
use super::controller::{Submission, submit_here};
use super::state_machine::Committed;
use crate::seams::Transport;

/// One refusal may be a listener that is just being opened.
const REFUSALS: usize = 2;
/// A process that dies closes one socket after the other: its listener may still take connections when its connection to
/// the controller is gone already.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(30);
/// A refusal comes at once; whatever takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Asks brokers' endpoints, and has the controller fence those whose process is gone. Clones share all.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) committed: watch::Receiver<Committed>,
    pub(super) commands: mpsc::Sender<Submission>,
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
}

impl Prober {
    /// A controller that takes office cannot know whose connection to its predecessor broke.
    pub(super) fn probe_all(&self) {
        let image = Arc::clone(&self.committed.borrow().image);
        for broker in image.brokers().filter(|broker| !broker.is_fenced) {
            let (prober, id) = (self.clone(), broker.id);
            let probe = async move { prober.fence_if_gone(id).await };
            self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(probe));
        }
    }

    /// Does nothing on a node that is not the active controller.
    pub(super) async fn fence_if_gone(&self, id: BrokerId) {
        let broker = self.committed.borrow().image.broker(id).filter(|broker| !broker.is_fenced).cloned();
        let Some(broker) = broker else { return };
        let Some(endpoint) = broker.endpoints.first() else { return };
        if !self.is_gone(endpoint).await {
            return;
        }
        let fence = Command::FenceBroker { broker: id, epoch: broker.epoch };
        match submit_here(&self.commands, fence, SUBMIT_TIMEOUT).await {
            Ok(_) => tracing::info!(broker = id.0, "fenced a broker whose process is gone"),
            Err(error) => tracing::debug!(broker = id.0, %error, "a broker that is gone was not fenced here"),
        }
    }

    /// Whether it refuses twice in a row, within a while.
    async fn is_gone(&self, endpoint: &Endpoint) -> bool {
        let mut refusals = 0;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            let connecting = self.transport.connect(&endpoint.host, endpoint.port);
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => refusals += 1,
                // Also a reset: the listener went while this connection waited to be accepted.
                Ok(Ok(_) | Err(_)) => refusals = 0,
                Err(_) => return false,
            }
            if refusals == REFUSALS {
                return true;
            }
        }
        false
    }
}
