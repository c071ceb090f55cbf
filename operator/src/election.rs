//! Which of several operators works: the one that holds the Lease. Who loses it ends its process, so that no half of a round
//! is ever done by two.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::names;

/// Another operator takes over at most so long after the one that worked was killed.
const DURATION_SECONDS: u64 = 10;
/// Renewed so long before its end.
const GRACE_SECONDS: u64 = 5;

/// Where operators agree on who works.
#[derive(Clone, Debug)]
pub struct Election {
    /// The Lease's name.
    pub lease: String,
    /// Its namespace.
    pub namespace: String,
    /// This operator: the name of its Pod.
    pub identity: String,
}

/// The Lease, held or waited for; given back by [`Term::end`].
#[derive(Debug)]
pub(crate) struct Term {
    holds: watch::Receiver<bool>,
    renewal: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Term {
    pub(crate) async fn stand(client: Client, election: &Election) -> Result<Term, LeaseManagerError> {
        let manager = LeaseManagerBuilder::new(client, election.lease.as_str())
            .with_namespace(election.namespace.as_str())
            .with_identity(election.identity.as_str())
            .with_field_manager(names::MANAGER)
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await?;
        let (holds, renewal) = manager.watch().await;
        Ok(Term { holds, renewal })
    }

    /// Returns once this operator works.
    pub(crate) async fn begun(&mut self) {
        // An end of the channel is an end of the renewal, which is a loss.
        let _ = self.holds.wait_for(|holds| *holds).await;
    }

    /// Returns once another one may work.
    pub(crate) async fn lost(&self) {
        let mut holds = self.holds.clone();
        let _ = holds.wait_for(|holds| !holds).await;
    }

    /// Gives the Lease back, so that another operator need not wait for its end.
    pub(crate) async fn end(self) {
        drop(self.holds);
        match self.renewal.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the Lease back; it ends by itself"),
            Err(error) => tracing::warn!(%error, "cannot give the Lease back; it ends by itself"),
        }
    }
}
