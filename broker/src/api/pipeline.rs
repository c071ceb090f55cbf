//! What idempotent producers have under way on one connection, as far as some of it was refused.
//!
//! A producer sends up to five requests before the first is answered. If that one is refused for a passing reason, and the
//! reason passes before the next is looked at, that one has a gap before it, to which Kafka's answer makes librdkafka write
//! again what is in another partition's log already; docs/adr/0012. So it is refused for the reason of the first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::{BatchHeader, BatchSummary};
use types::{ErrorCode, Monotonic, ProducerEpoch, ProducerId, Sequence, Uuid};

/// Beyond so many producers and partitions with something refused, all is forgotten, and answers are Kafka's.
const REFUSED_MAX: usize = 1024;

/// What was sent before a refusal was known has come by then: a client waits no longer for an answer. What comes later has another
/// reason for its gap.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    refused: Mutex<BTreeMap<Lane, First>>,
}

/// One producer's way into one partition.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    topic: Box<str>,
    topic_id: Uuid,
    partition: i32,
    producer: ProducerId,
}

/// Where a batch is written to, as the request says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) topic_id: Uuid,
    pub(super) partition: i32,
}

/// A batch of an idempotent producer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idempotent {
    pub(super) producer: ProducerId,
    epoch: ProducerEpoch,
    sequence: Sequence,
}

/// The first batch that was refused, and why.
#[derive(Clone, Copy, Debug)]
struct First {
    batch: Idempotent,
    code: ErrorCode,
    at: Monotonic,
}

impl Idempotent {
    /// What a batch says of its producer; `None` if nothing.
    pub(super) fn of(batch: &BatchSummary) -> Option<Idempotent> {
        (batch.producer_id != ProducerId::NONE).then_some(Idempotent {
            producer: batch.producer_id,
            epoch: batch.producer_epoch,
            sequence: batch.base_sequence,
        })
    }

    /// The same, of bytes that may be anything.
    pub(super) fn in_bytes(bytes: &[u8]) -> Option<Idempotent> {
        BatchHeader::parse(bytes).ok().and_then(|header| Idempotent::of(&header.summary()))
    }

    /// Whether it was sent after another one. Sequence numbers begin again at 0 after the last.
    fn is_behind(&self, other: &Idempotent) -> bool {
        let distance = self.sequence.minus(other.sequence.0).0;
        self.epoch == other.epoch && distance > 0 && distance < i32::MAX / 2
    }
}

impl Pipeline {
    /// Whether nothing is refused, as it mostly is.
    pub(super) fn is_clear(&self) -> bool {
        self.lock().is_empty()
    }

    /// Why a batch was refused that was sent before this one.
    pub(super) fn refused_before(
        &self,
        now: Monotonic,
        place: Place<'_>,
        batch: Idempotent,
    ) -> Option<ErrorCode> {
        let refused = self.lock();
        let first = refused.get(&Lane::of(place, batch))?;
        (batch.is_behind(&first.batch) && now.since(first.at) < REFUSED_FOR).then_some(first.code)
    }

    /// Takes note of a batch that is in the log: there is no gap before it, perhaps because what was refused here came in by
    /// another leader.
    pub(super) fn took(&self, place: Place<'_>, batch: Idempotent) {
        self.lock().remove(&Lane::of(place, batch));
    }

    /// Takes note of a batch that is not in the log. What may not come again as it is holds nobody up.
    pub(super) fn refuse(&self, now: Monotonic, place: Place<'_>, batch: Idempotent, code: ErrorCode) {
        if !code.is_retriable() {
            return;
        }
        let lane = Lane::of(place, batch);
        let mut refused = self.lock();
        if refused.get(&lane).is_some_and(|first| batch.is_behind(&first.batch)) {
            return;
        }
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(lane, First { batch, code, at: now });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Lane, First>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// The name is copied: the one in the request keeps all of the request in memory.
    fn of(place: Place<'_>, batch: Idempotent) -> Lane {
        let Place { topic, topic_id, partition } = place;
        Lane { topic: topic.into(), topic_id, partition, producer: batch.producer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(Duration::from_secs(1000));
    const PLACE: Place<'_> = Place { topic: "t", topic_id: Uuid::ZERO, partition: 0 };
    const NOT_LEADER: ErrorCode = ErrorCode::NotLeaderOrFollower;

    fn batch(sequence: i32) -> Idempotent {
        Idempotent { producer: ProducerId(1), epoch: ProducerEpoch(0), sequence: Sequence(sequence) }
    }

    #[test]
    fn what_was_sent_behind_a_refused_batch_has_its_reason() {
        let pipeline = Pipeline::default();
        pipeline.refuse(NOW, PLACE, batch(5), NOT_LEADER);
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(6)), Some(NOT_LEADER));
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(5)), None, "it comes again");
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(3)), None, "it was sent before");
        let later = NOW.plus(REFUSED_FOR);
        assert_eq!(pipeline.refused_before(later, PLACE, batch(6)), None, "that was long ago");
    }

    #[test]
    fn what_is_in_the_log_ends_it() {
        let pipeline = Pipeline::default();
        pipeline.refuse(NOW, PLACE, batch(5), NOT_LEADER);
        pipeline.took(PLACE, batch(6));
        assert!(pipeline.is_clear());
    }

    #[test]
    fn the_first_that_was_refused_counts_in_whatever_order_it_is_known() {
        let pipeline = Pipeline::default();
        pipeline.refuse(NOW, PLACE, batch(6), NOT_LEADER);
        pipeline.refuse(NOW, PLACE, batch(5), ErrorCode::KafkaStorageError);
        pipeline.refuse(NOW, PLACE, batch(7), NOT_LEADER);
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(6)), Some(ErrorCode::KafkaStorageError));
    }

    #[test]
    fn sequence_numbers_begin_again() {
        let pipeline = Pipeline::default();
        pipeline.refuse(NOW, PLACE, batch(i32::MAX), NOT_LEADER);
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(i32::MAX - 1)), None);
        assert_eq!(pipeline.refused_before(NOW, PLACE, batch(0)), Some(NOT_LEADER));
    }

    #[test]
    fn a_new_epoch_others_and_what_is_wrong_in_itself_hold_nobody_up() {
        let pipeline = Pipeline::default();
        pipeline.refuse(NOW, PLACE, batch(5), ErrorCode::MessageTooLarge);
        assert!(pipeline.is_clear());
        pipeline.refuse(NOW, PLACE, batch(5), NOT_LEADER);
        assert_eq!(pipeline.refused_before(NOW, Place { partition: 1, ..PLACE }, batch(6)), None);
        let other = Idempotent { producer: ProducerId(2), ..batch(6) };
        assert_eq!(pipeline.refused_before(NOW, PLACE, other), None);
        let bumped = Idempotent { epoch: ProducerEpoch(1), ..batch(6) };
        assert_eq!(pipeline.refused_before(NOW, PLACE, bumped), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let pipeline = Pipeline::default();
        for partition in 0..10_000 {
            pipeline.refuse(NOW, Place { partition, ..PLACE }, batch(0), NOT_LEADER);
            assert!(pipeline.lock().len() <= REFUSED_MAX);
        }
    }
}
