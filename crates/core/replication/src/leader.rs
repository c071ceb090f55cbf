//! The leader of one partition: assigns offsets, recognises repeated batches, moves the high watermark, and says when
//! a produce request is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{BrokerId, ErrorCode, LeaderEpoch, Monotonic, Now, Offset, ProducerId, Timestamp};

use crate::producer_state::SequenceCheck;
use crate::producer_states::ProducerStates;

/// Names a produce request that waits; the shell gives them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// When a produce request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Not at all.
    None,
    /// After the leader's write.
    Leader,
    /// After every in-sync replica has it.
    All,
}

impl Acks {
    /// From the wire: 0, 1 or -1.
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// Where a produced batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Its largest timestamp.
    pub max_timestamp: Timestamp,
}

/// What happens to a leader.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client's batch, checked and not yet written.
    Append {
        /// The batch; its base offset has no meaning yet.
        batch: BatchSummary,
        /// When to answer.
        acks: Acks,
        /// Whom to answer.
        waiter: WaiterId,
        /// How long it waits (`timeout.ms` of the request).
        timeout: Duration,
    },
    /// The batch of the last `Write` is in the log and can be read; the summary has its offsets.
    Written {
        /// The batch as written.
        batch: BatchSummary,
    },
    /// The batch of the last `Write` could not be written and is not in the log.
    WriteFailed {
        /// What its producer is told.
        error: ErrorCode,
    },
    /// Everything before `end` survives what the topic's flush settings promise to survive: without them this follows
    /// the write at once, with them it follows the fsync.
    Durable {
        /// One past the last durable offset.
        end: Offset,
    },
    /// Records before `to` were deleted.
    LogStartMoved {
        /// The new log start offset.
        to: Offset,
    },
    /// The topic's configuration changed.
    Configured(LeaderConfig),
    /// A deadline has passed.
    Tick,
    /// This replica is no longer the leader, or the topic is gone: everybody who waits is told.
    Resigned {
        /// What they are told.
        error: ErrorCode,
    },
}

/// What the shell does for a leader, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the appended batch with these two fields patched, then report `Written` or `WriteFailed`.
    Write {
        /// Where it goes.
        base_offset: Offset,
        /// The epoch that goes into its header.
        leader_epoch: LeaderEpoch,
    },
    /// Answer a produce request.
    Complete {
        /// Which.
        waiter: WaiterId,
        /// What to say.
        result: Result<Appended, ErrorCode>,
    },
}

/// What a leader needs to know of its topic's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
}

/// What readers may see of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is there.
    pub log_start: Offset,
    /// Consumers read up to here.
    pub high_watermark: Offset,
    /// Consumers with `read_committed` read up to here.
    pub last_stable: Offset,
    /// One past the last offset that is written.
    pub log_end: Offset,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
}

/// The leader of one partition.
#[derive(Debug)]
pub struct Leader {
    leader_epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
    config: LeaderConfig,
    log_start: Offset,
    log_end: Offset,
    durable_end: Offset,
    high_watermark: Offset,
    producers: ProducerStates,
    writing: Option<Writing>,
    /// Requests that wait for the high watermark, by the offset that it has to reach. The waiter's id keeps the order
    /// of arrival among equals.
    waiting: BTreeMap<(Offset, WaiterId), Waiting>,
}

/// The one write between `Write` and `Written`: the shell holds the partition's lock in between.
#[derive(Clone, Copy, Debug)]
struct Writing {
    acks: Acks,
    waiter: WaiterId,
    deadline: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    appended: Appended,
    deadline: Monotonic,
}

impl Leader {
    /// A leader that begins its epoch over a log.
    pub fn new(
        leader_epoch: LeaderEpoch,
        isr: Vec<BrokerId>,
        config: LeaderConfig,
        log_start: Offset,
        log_end: Offset,
        producers: ProducerStates,
    ) -> Leader {
        Leader {
            leader_epoch,
            isr,
            config,
            log_start,
            log_end,
            // What recovery found is on disk or in the page cache of the same boot; it is as durable as this replica
            // can make it.
            durable_end: log_end,
            high_watermark: log_end,
            producers,
            writing: None,
            waiting: BTreeMap::new(),
        }
    }

    /// What readers may see.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            // Transactional batches are refused where requests come in, so nothing can be open.
            last_stable: self.high_watermark,
            log_end: self.log_end,
            leader_epoch: self.leader_epoch,
        }
    }

    /// What the next producer snapshot holds.
    pub fn producer_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        self.producers.to_snapshot()
    }

    /// How many idempotent producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Forgets producers that have not written for `expiration`.
    pub fn expire_producers(&mut self, now: Now, expiration: Duration) {
        self.producers.expire(now.wall, expiration);
    }

    /// How many produce requests wait for the high watermark.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// When `Tick` is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    /// Takes in an event and adds what it makes necessary to `effects`.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Append { batch, acks, waiter, timeout } => {
                let writing = Writing { acks, waiter, deadline: now.monotonic.plus(timeout) };
                self.append(&batch, writing, effects);
            }
            Event::Written { batch } => self.written(&batch, effects),
            Event::WriteFailed { error } => {
                if let Some(Writing { waiter, .. }) = self.writing.take() {
                    effects.push(Effect::Complete { waiter, result: Err(error) });
                }
            }
            Event::Durable { end } => {
                self.durable_end = self.durable_end.max(end.min(self.log_end));
                self.advance(effects);
            }
            Event::LogStartMoved { to } => self.move_log_start(to),
            Event::Configured(config) => {
                self.config = config;
                self.advance(effects);
            }
            Event::Tick => self.expire_waiting(now, effects),
            Event::Resigned { error } => {
                for (_, waiter) in std::mem::take(&mut self.waiting).into_keys() {
                    effects.push(Effect::Complete { waiter, result: Err(error) });
                }
            }
        }
    }

    fn append(&mut self, batch: &BatchSummary, writing: Writing, effects: &mut Vec<Effect>) {
        debug_assert!(self.writing.is_none(), "one write at a time");
        let reject = |error| Effect::Complete { waiter: writing.waiter, result: Err(error) };
        if writing.acks == Acks::All && self.isr.len() < self.config.min_insync_replicas {
            effects.push(reject(ErrorCode::NotEnoughReplicas));
            return;
        }
        if batch.producer_id != ProducerId::NONE {
            match self.producers.check(batch) {
                Ok(SequenceCheck::InOrder) => {}
                Ok(SequenceCheck::Duplicate { base_offset, last_offset, timestamp }) => {
                    let appended = Appended { base_offset, max_timestamp: timestamp };
                    self.answer(writing, appended, last_offset.plus(1), effects);
                    return;
                }
                Err(rejection) => {
                    effects.push(reject(rejection.code()));
                    return;
                }
            }
        }
        self.writing = Some(writing);
        effects.push(Effect::Write { base_offset: self.log_end, leader_epoch: self.leader_epoch });
    }

    fn written(&mut self, batch: &BatchSummary, effects: &mut Vec<Effect>) {
        debug_assert_eq!(batch.base_offset, self.log_end, "written where it was to be");
        self.log_end = batch.last_offset().plus(1);
        self.producers.record(batch);
        if let Some(writing) = self.writing.take() {
            let appended = Appended { base_offset: batch.base_offset, max_timestamp: batch.max_timestamp };
            self.answer(writing, appended, self.log_end, effects);
        }
    }

    /// Answers now, or once the high watermark has reached `required`.
    fn answer(&mut self, writing: Writing, appended: Appended, required: Offset, effects: &mut Vec<Effect>) {
        if writing.acks == Acks::All && self.high_watermark < required {
            let waiting = Waiting { appended, deadline: writing.deadline };
            self.waiting.insert((required, writing.waiter), waiting);
            return;
        }
        effects.push(Effect::Complete { waiter: writing.waiter, result: Ok(appended) });
    }

    /// Moves the high watermark as far as the in-sync replicas allow and answers whom that releases. It stands still
    /// while fewer than `min.insync.replicas` are in sync (KIP-966).
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        if self.isr.len() < self.config.min_insync_replicas {
            return;
        }
        self.high_watermark = self.high_watermark.max(self.durable_end);
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > self.high_watermark {
                break;
            }
            let ((_, waiter), waiting) = entry.remove_entry();
            effects.push(Effect::Complete { waiter, result: Ok(waiting.appended) });
        }
    }

    fn move_log_start(&mut self, to: Offset) {
        self.log_start = self.log_start.max(to.min(self.log_end));
        self.high_watermark = self.high_watermark.max(self.log_start);
    }

    /// A request whose time is over is told so; its records stay, and a repetition of it will find them.
    fn expire_waiting(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let error = if self.isr.len() < self.config.min_insync_replicas {
            ErrorCode::NotEnoughReplicasAfterAppend
        } else {
            ErrorCode::RequestTimedOut
        };
        self.waiting.retain(|(_, waiter), waiting| {
            let is_over = waiting.deadline <= now.monotonic;
            if is_over {
                effects.push(Effect::Complete { waiter: *waiter, result: Err(error) });
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests;
