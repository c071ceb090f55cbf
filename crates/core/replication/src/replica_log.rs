//! What a replica knows of its own log, and takes along when it changes between leader and follower.

use record::BatchSummary;
use types::{LeaderEpoch, LeaderEpochs, Offset};

use crate::ProducerStates;

/// One replica's log without its bytes. The shell makes it from what recovery found; afterwards `Leader::into_log` and
/// `Follower::into_log` give it back, so that the log is read once only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaLog {
    /// The first offset that is there.
    pub log_start: Offset,
    /// One past the last offset that is written.
    pub log_end: Offset,
    /// One past the last offset that survives what the topic's flush settings promise to survive.
    pub durable_end: Offset,
    /// How far this replica knows the log to be committed (`replication-offset-checkpoint`). Too low is safe.
    pub high_watermark: Offset,
    /// Which epoch began where.
    pub epochs: LeaderEpochs,
    /// The idempotent producers.
    pub producers: ProducerStates,
}

impl ReplicaLog {
    /// A log as it was found at start. What recovery found is on disk or in the page cache of the same boot; it is as
    /// durable as this replica can make it.
    pub fn recovered(
        log_start: Offset,
        log_end: Offset,
        high_watermark: Offset,
        epochs: LeaderEpochs,
        producers: ProducerStates,
    ) -> ReplicaLog {
        // A checkpoint may be ahead of a log that lost its tail, or behind a log whose start was moved.
        let high_watermark = high_watermark.min(log_end).max(log_start);
        ReplicaLog { log_start, log_end, durable_end: log_end, high_watermark, epochs, producers }
    }

    /// The epoch of the last record, or of the leader that began there; `NONE` for a log without any.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().unwrap_or(LeaderEpoch::NONE)
    }

    pub(crate) fn appended(&mut self, batch: &BatchSummary) {
        self.epochs.assign(batch.leader_epoch, batch.base_offset);
        self.producers.record(batch);
        self.log_end = batch.last_offset().plus(1);
    }

    pub(crate) fn durable_to(&mut self, end: Offset) {
        self.durable_end = self.durable_end.max(end.min(self.log_end));
    }

    pub(crate) fn start_at(&mut self, start: Offset) {
        let start = start.min(self.log_end);
        if start > self.log_start {
            self.log_start = start;
            self.high_watermark = self.high_watermark.max(start);
            self.epochs.start_at(start);
        }
    }

    /// The tail from `end` on is gone; producers are as storage found them in what is left.
    pub(crate) fn truncated_to(&mut self, end: Offset, producers: ProducerStates) {
        self.log_end = end;
        self.log_start = self.log_start.min(end);
        self.durable_end = self.durable_end.min(end);
        self.high_watermark = self.high_watermark.min(end);
        self.epochs.truncate_to(end);
        self.producers = producers;
    }

    /// All is gone, and the log goes on at `start`.
    pub(crate) fn restarted_at(&mut self, start: Offset) {
        *self = ReplicaLog {
            log_start: start,
            log_end: start,
            durable_end: start,
            high_watermark: start,
            ..ReplicaLog::default()
        };
    }
}
