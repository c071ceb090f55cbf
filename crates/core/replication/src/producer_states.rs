//! All idempotent producers of one partition.

use std::collections::BTreeMap;
use std::time::Duration;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{ProducerId, Timestamp};

use crate::producer_state::{ProducerRejection, ProducerState, SequenceCheck};

/// Decides which batches of idempotent producers are new, repeated or out of order. Rebuilt after a restart from a
/// snapshot and the batches behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
}

impl ProducerStates {
    /// The state that a snapshot holds.
    pub fn from_snapshot<'a>(entries: impl IntoIterator<Item = &'a ProducerSnapshotEntry>) -> ProducerStates {
        let producers = entries
            .into_iter()
            .map(|entry| (entry.producer_id, ProducerState::from_snapshot(entry)))
            .collect();
        ProducerStates { producers }
    }

    /// What a snapshot of the state holds, by ascending producer id.
    pub fn to_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        self.producers.iter().map(|(id, state)| state.to_snapshot(*id)).collect()
    }

    /// Whether a producer is remembered.
    pub fn knows(&self, producer: ProducerId) -> bool {
        self.producers.contains_key(&producer)
    }

    /// How many producers are remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Judges a batch that a client sent. A producer that is not known may start at any sequence number: its state
    /// may have expired here.
    pub fn check(&self, batch: &BatchSummary) -> Result<SequenceCheck, ProducerRejection> {
        match self.producers.get(&batch.producer_id) {
            Some(state) => state.check(batch),
            None => Ok(SequenceCheck::InOrder),
        }
    }

    /// Takes in a batch that is in the log at the offsets that the summary gives, from a client or from a replay.
    pub fn record(&mut self, batch: &BatchSummary) {
        if batch.producer_id == ProducerId::NONE || batch.is_control {
            return;
        }
        self.producers
            .entry(batch.producer_id)
            .or_insert_with(|| ProducerState::new(batch.producer_epoch))
            .record(batch);
    }

    /// Forgets producers that have not written for `expiration` (`producer.id.expiration.ms`).
    pub fn expire(&mut self, now: Timestamp, expiration: Duration) {
        let expiration_ms = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        self.producers.retain(|_, state| now.0.saturating_sub(state.last_timestamp().0) < expiration_ms);
    }
}
