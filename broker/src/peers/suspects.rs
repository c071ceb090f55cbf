//! Leaders that may just have died: their connection to this follower broke, and the controller has not said what became
//! of them. A client asks for metadata as soon as its own connection breaks, which is before any controller can know; told
//! the old leader once more, librdkafka looks again only after a second. Nor may the dead broker vanish from the metadata at
//! once: librdkafka, giving up a broker while it moves the partition to its next leader, loses it until the same second is
//! over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::{BrokerImage, Image};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use types::{BrokerEpoch, BrokerId};

use crate::quorum::Committed;

/// The controller fences a dead broker in less, also when it has to be elected first. After this, whatever the image says
/// is told.
const PATIENCE: Duration = Duration::from_millis(900);

/// For how long clients are still told where a broker was that died.
const LISTED: Duration = Duration::from_secs(10);

/// Who is in doubt.
#[derive(Debug)]
pub(crate) struct Suspects {
    committed: watch::Receiver<Committed>,
    in_doubt: watch::Sender<BTreeMap<BrokerId, Doubt>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubt {
    epoch: BrokerEpoch,
    since: Instant,
}

impl Suspects {
    /// Nobody yet. `committed` is what clients are told.
    pub(crate) fn new(committed: watch::Receiver<Committed>) -> Suspects {
        Suspects { committed, in_doubt: watch::Sender::default() }
    }

    /// The connection to a broker broke.
    pub(crate) fn broke(&self, broker: BrokerId) {
        let image = self.committed.borrow().image.clone();
        if let Some(known) = image.broker(broker).filter(|broker| !broker.is_fenced) {
            let doubt = Doubt { epoch: known.epoch, since: Instant::now() };
            self.in_doubt.send_modify(|in_doubt| {
                in_doubt.retain(|_, doubt| doubt.since.elapsed() < LISTED);
                in_doubt.insert(broker, doubt);
            });
        }
    }

    /// A broker answered.
    pub(crate) fn answered(&self, broker: BrokerId) {
        self.in_doubt.send_if_modified(|in_doubt| in_doubt.remove(&broker).is_some());
    }

    /// The brokers that died a moment ago.
    pub(crate) fn lately_lost<'a>(
        &self,
        image: &'a Image,
    ) -> impl Iterator<Item = &'a BrokerImage> + use<'a> {
        let in_doubt = self.in_doubt.borrow().clone();
        image.brokers().map(Arc::as_ref).filter(move |broker| {
            let doubt = in_doubt.get(&broker.id).filter(|doubt| doubt.epoch == broker.epoch);
            broker.is_fenced && doubt.is_some_and(|doubt| doubt.since.elapsed() < LISTED)
        })
    }

    /// Waits until nobody is in doubt, for a moment at most.
    pub(crate) async fn settled(&self) {
        let (mut committed, mut in_doubt) = (self.committed.clone(), self.in_doubt.subscribe());
        loop {
            let now = Instant::now();
            let image = committed.borrow_and_update().image.clone();
            let is_open = |(broker, doubt): (&BrokerId, &Doubt)| {
                let known = image.broker(*broker).filter(|known| !known.is_fenced);
                known.is_some_and(|known| known.epoch == doubt.epoch) && doubt.since + PATIENCE > now
            };
            let open =
                in_doubt.borrow_and_update().iter().find(|&entry| is_open(entry)).map(|(_, doubt)| *doubt);
            let Some(doubt) = open else { return };
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                _ = in_doubt.changed() => {}
                () = sleep_until(doubt.since + PATIENCE) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metadata::MetadataRecord;
    use tokio::time::timeout;

    use super::*;

    fn image(is_fenced: bool) -> Committed {
        let mut image = Image::default();
        image.apply(&MetadataRecord::RegisterBroker(BrokerImage {
            id: BrokerId(1),
            epoch: BrokerEpoch(7),
            is_fenced,
            incarnation: types::Uuid::ZERO,
            endpoints: Vec::new(),
            rack: None,
            directories: Vec::new(),
            cordoned: Vec::new(),
            is_in_controlled_shutdown: false,
        }));
        Committed { image: Arc::new(image), ..Committed::default() }
    }

    #[tokio::test]
    async fn a_broken_connection_is_waited_for_until_the_controller_has_spoken() {
        let (sender, committed) = watch::channel(image(false));
        let suspects = Suspects::new(committed);
        suspects.settled().await;

        suspects.broke(BrokerId(1));
        assert!(timeout(Duration::from_millis(100), suspects.settled()).await.is_err(), "it may be dead");
        assert_eq!(suspects.lately_lost(&image(false).image).count(), 0);
        sender.send_replace(image(true));
        suspects.settled().await;
        assert_eq!(suspects.lately_lost(&image(true).image).count(), 1, "it is still listed");
    }

    #[tokio::test]
    async fn doubt_ends_with_an_answer_or_with_time() {
        let (_sender, committed) = watch::channel(image(false));
        let suspects = Suspects::new(committed);
        suspects.broke(BrokerId(1));
        suspects.answered(BrokerId(1));
        let started = Instant::now();
        suspects.settled().await;
        assert!(started.elapsed() < PATIENCE, "it lives");

        suspects.broke(BrokerId(1));
        suspects.settled().await;
        assert!(started.elapsed() >= PATIENCE);
    }
}
