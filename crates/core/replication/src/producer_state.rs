//! What is remembered of one idempotent producer in one partition: its epoch and its last batches. Kafka:
//! `ProducerStateEntry` and `ProducerAppendInfo`.

use std::collections::VecDeque;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::limits::PRODUCER_BATCHES_REMEMBERED;
use types::{ErrorCode, Offset, ProducerEpoch, Sequence, Timestamp};

/// What a batch's sequence numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceCheck {
    /// The batch follows what is there.
    InOrder,
    /// The batch is there already: the answer is its original place.
    Duplicate {
        /// The original base offset.
        base_offset: Offset,
        /// The original last offset: under acks=all the answer waits until the high watermark has passed it.
        last_offset: Offset,
        /// The original largest timestamp.
        timestamp: Timestamp,
    },
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerRejection {
    /// A newer incarnation of the producer has written here.
    #[error("producer epoch {offered} is older than {current}")]
    StaleEpoch {
        /// The batch's epoch.
        offered: ProducerEpoch,
        /// The epoch that is known.
        current: ProducerEpoch,
    },
    /// A batch before this one is missing, or this one is older than what is remembered.
    #[error("sequence {offered} does not follow {last}")]
    OutOfOrder {
        /// The batch's first sequence number.
        offered: Sequence,
        /// The last one that is known.
        last: Sequence,
    },
}

impl ProducerRejection {
    /// The error as Kafka puts it on the wire.
    pub fn code(self) -> ErrorCode {
        match self {
            ProducerRejection::StaleEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            ProducerRejection::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
        }
    }
}

/// One batch of a producer: enough to recognise its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchMetadata {
    base_sequence: Sequence,
    last_sequence: Sequence,
    last_offset: Offset,
    offset_delta: i32,
    timestamp: Timestamp,
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerState {
    epoch: ProducerEpoch,
    /// Oldest first, at most [`PRODUCER_BATCHES_REMEMBERED`], all of `epoch`.
    batches: VecDeque<BatchMetadata>,
    last_timestamp: Timestamp,
    coordinator_epoch: i32,
}

impl ProducerState {
    /// A producer that is first seen with this epoch.
    pub(crate) fn new(epoch: ProducerEpoch) -> ProducerState {
        ProducerState {
            epoch,
            batches: VecDeque::with_capacity(1),
            last_timestamp: Timestamp::NONE,
            coordinator_epoch: -1,
        }
    }

    pub(crate) fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }

    /// Judges a batch that a client sent. Nothing changes until [`ProducerState::record`].
    pub(crate) fn check(&self, batch: &BatchSummary) -> Result<SequenceCheck, ProducerRejection> {
        if batch.producer_epoch < self.epoch {
            return Err(ProducerRejection::StaleEpoch { offered: batch.producer_epoch, current: self.epoch });
        }
        let last = self.batches.back().map_or(Sequence::NONE, |batch| batch.last_sequence);
        if batch.producer_epoch > self.epoch {
            return match batch.base_sequence {
                Sequence(0) => Ok(SequenceCheck::InOrder),
                offered => Err(ProducerRejection::OutOfOrder { offered, last }),
            };
        }
        if let Some(original) = self.duplicate_of(batch) {
            return Ok(SequenceCheck::Duplicate {
                base_offset: original.last_offset.plus(-i64::from(original.offset_delta)),
                last_offset: original.last_offset,
                timestamp: original.timestamp,
            });
        }
        if last == Sequence::NONE || batch.base_sequence == last.plus(1) {
            return Ok(SequenceCheck::InOrder);
        }
        Err(ProducerRejection::OutOfOrder { offered: batch.base_sequence, last })
    }

    /// Takes in a batch that is in the log at the offsets that the summary gives.
    pub(crate) fn record(&mut self, batch: &BatchSummary) {
        if batch.producer_epoch != self.epoch {
            self.epoch = batch.producer_epoch;
            self.batches.clear();
        }
        if self.batches.len() == PRODUCER_BATCHES_REMEMBERED {
            self.batches.pop_front();
        }
        let offset_delta = batch.record_count.saturating_sub(1);
        self.batches.push_back(BatchMetadata {
            base_sequence: batch.base_sequence,
            last_sequence: batch.base_sequence.plus(offset_delta),
            last_offset: batch.last_offset(),
            offset_delta,
            timestamp: batch.max_timestamp,
        });
        self.last_timestamp = batch.max_timestamp;
    }

    /// As Kafka's `.snapshot` files keep it: the last batch only.
    pub(crate) fn to_snapshot(&self, producer_id: types::ProducerId) -> ProducerSnapshotEntry {
        let last = self.batches.back();
        ProducerSnapshotEntry {
            producer_id,
            producer_epoch: self.epoch,
            last_sequence: last.map_or(Sequence::NONE, |batch| batch.last_sequence),
            last_offset: last.map_or(Offset(-1), |batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: None,
        }
    }

    /// The reverse of [`ProducerState::to_snapshot`].
    pub(crate) fn from_snapshot(entry: &ProducerSnapshotEntry) -> ProducerState {
        let mut state = ProducerState::new(entry.producer_epoch);
        state.last_timestamp = entry.timestamp;
        state.coordinator_epoch = entry.coordinator_epoch;
        if entry.last_sequence != Sequence::NONE {
            state.batches.push_back(BatchMetadata {
                base_sequence: entry.last_sequence.minus(entry.offset_delta),
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            });
        }
        state
    }

    fn duplicate_of(&self, batch: &BatchSummary) -> Option<&BatchMetadata> {
        let last_sequence = batch.base_sequence.plus(batch.record_count.saturating_sub(1));
        self.batches
            .iter()
            .find(|known| known.base_sequence == batch.base_sequence && known.last_sequence == last_sequence)
    }
}
