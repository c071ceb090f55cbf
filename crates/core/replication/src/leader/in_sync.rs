//! The leader's part that keeps the in-sync replicas and moves the high watermark with them.

use types::{BrokerEpoch, BrokerId, ErrorCode, Monotonic, Now, Offset};

use super::isr::{CommittedIsr, InSync, ProposalId};
use super::remote::{Remote, RemoteReplica};
use super::{Effect, Leader};
use crate::PartitionState;
use crate::rule::{Rule, is_broken};

/// What the shell may ask.
impl Leader {
    /// The partition as the controller has committed it.
    pub fn state(&self) -> PartitionState {
        PartitionState { isr: self.isr.committed().to_vec(), ..self.state.clone() }
    }

    /// The other replicas, by ascending id.
    pub fn remote_replicas(&self) -> impl Iterator<Item = RemoteReplica> {
        self.remotes.iter().map(|(broker, remote)| RemoteReplica {
            broker: *broker,
            log_start: remote.log_start,
            log_end: remote.log_end,
            is_in_sync: self.isr.committed().contains(broker),
        })
    }

    /// How many replicas the controller has committed as in sync.
    pub fn isr_len(&self) -> usize {
        self.isr.committed().len()
    }

    /// Whether fewer replicas are in sync than `min.insync.replicas` asks for. Where that is more than there are
    /// replicas, all of them will do, as in Kafka (KIP-966).
    pub fn is_under_min_isr(&self) -> bool {
        let required = self.config.min_insync_replicas.min(self.state.replicas.len());
        self.isr.committed().len() < required
    }

    /// Whether the high watermark is past what earlier leaders may have shown: before that, a client that asks for
    /// offsets is told OFFSET_NOT_AVAILABLE (KIP-207).
    pub fn is_high_watermark_settled(&self) -> bool {
        self.log.high_watermark >= self.epoch_start
    }

    /// The smallest log start of the replicas that are alive or in sync: DeleteRecords is done when it has reached the
    /// offset. `None` while fewer than `min.insync.replicas` are in sync: a replica that left is then still eligible to
    /// lead (KIP-966), and nobody knows where its log begins.
    pub fn low_watermark(&self) -> Option<Offset> {
        if self.is_under_min_isr() {
            return None;
        }
        let may_lead = |(broker, remote): &(&BrokerId, &Remote)| {
            remote.eligible.is_some() || self.isr.may_contain(**broker)
        };
        let starts = self.remotes.iter().filter(may_lead);
        let starts = starts.map(|(_, remote)| remote.log_start.unwrap_or(Offset::ZERO));
        Some(starts.fold(self.log.log_start, Offset::min))
    }
}

impl Leader {
    /// Takes over the replicas of `state` and knows nothing of where they are. Those in sync get the whole lag time.
    pub(super) fn begin_epoch(&mut self, now: Now) {
        self.epoch_start = self.log.log_end;
        self.log.epochs.assign(self.state.leader_epoch, self.epoch_start);
        let known = std::mem::take(&mut self.remotes);
        for broker in self.state.replicas.iter().copied().filter(|broker| *broker != self.me) {
            let eligible = known.get(&broker).and_then(|remote| remote.eligible);
            let in_sync_since = self.isr.committed().contains(&broker).then_some(now.monotonic);
            self.remotes.insert(broker, Remote::new(eligible, in_sync_since));
        }
    }

    /// A state replaces an older one only.
    pub(super) fn change(&mut self, now: Now, state: PartitionState, effects: &mut Vec<Effect>) {
        if state.partition_epoch <= self.state.partition_epoch || self.is_resigned {
            return;
        }
        if state.leader != Some(self.me) {
            self.resign(ErrorCode::NotLeaderOrFollower, effects);
            return;
        }
        let is_new_epoch = state.leader_epoch > self.state.leader_epoch;
        self.isr.commit(state.isr.clone());
        self.state = state;
        if is_new_epoch {
            self.begin_epoch(now);
            let leader_epoch = self.state.leader_epoch;
            effects.push(Effect::AssignEpoch { leader_epoch, start: self.epoch_start });
        } else {
            self.match_replicas(now);
        }
        self.advance(now, effects);
        self.tend_isr(now, None, effects);
    }

    pub(super) fn broker_changed(
        &mut self,
        now: Now,
        broker: BrokerId,
        eligible: Option<BrokerEpoch>,
        effects: &mut Vec<Effect>,
    ) {
        if broker == self.me {
            self.broker_epoch = eligible.or(self.broker_epoch);
        } else if let Some(remote) = self.remotes.get_mut(&broker) {
            remote.eligible = eligible;
            // The high watermark may have waited for it without need.
            self.advance(now, effects);
            self.tend_isr(now, None, effects);
        }
    }

    pub(super) fn isr_answered(
        &mut self,
        now: Now,
        proposal: ProposalId,
        result: Result<CommittedIsr, ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(committed) => self.isr_committed(proposal, committed),
            Err(error) => {
                let instead = self.isr.refused(now.monotonic, proposal, error);
                effects.extend(instead.map(Effect::ProposeIsr));
            }
        }
        self.advance(now, effects);
        self.tend_isr(now, None, effects);
    }

    /// An answer may come after the metadata image that has its change, and after the next proposal was made: then it
    /// must not take that proposal for answered.
    ///
    /// That a replica is out is believed of the image only. The controller may have counted by a `min.insync.replicas`
    /// that was raised just before, and then it keeps the replica eligible to lead: nothing may be acknowledged without
    /// it until the new value is known here too, and that comes with the image.
    fn isr_committed(&mut self, proposal: ProposalId, committed: CommittedIsr) {
        let is_out = |broker: &BrokerId| !committed.isr.contains(broker);
        if self.isr.committed().iter().any(is_out) {
            return;
        }
        let is_newer = committed.partition_epoch > self.state.partition_epoch;
        let is_unchanged = committed.partition_epoch == self.state.partition_epoch;
        let is_ours = committed.leader_epoch == self.state.leader_epoch;
        if is_ours && (is_newer || (is_unchanged && self.isr.is_pending(proposal))) {
            self.state.partition_epoch = committed.partition_epoch;
            self.isr.commit(committed.isr);
        }
    }

    /// Moves the high watermark to the smallest log end of all that are or may be in sync, and answers whom that
    /// releases. It stands still while fewer than `min.insync.replicas` are in sync (KIP-966).
    pub(super) fn advance(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.is_resigned || (self.is_under_min_isr() && !is_broken(Rule::HighWatermarkNeedsMinIsr)) {
            return;
        }
        let mut end = self.log.durable_end;
        for (broker, remote) in &self.remotes {
            if self.waits_for(now, *broker, remote) {
                end = end.min(remote.log_end.unwrap_or(Offset::ZERO));
            }
        }
        self.log.high_watermark = self.log.high_watermark.max(end);
        self.release(effects);
    }

    fn waits_for(&self, now: Now, broker: BrokerId, remote: &Remote) -> bool {
        if is_broken(Rule::HighWatermarkWaitsForFollowers) {
            return false;
        }
        // One that is about to join is waited for too, or it would chase a high watermark that each write moves on.
        let lag_time_max = self.config.replica_lag_time_max;
        self.isr.may_contain(broker)
            || (remote.is_eligible()
                && remote.is_caught_up(now.monotonic, self.log.log_end, lag_time_max)
                && !is_broken(Rule::PendingAdditionCounts))
    }

    /// Proposes who has caught up, or else who has fallen behind; one proposal at a time. Only who fetches just now may
    /// join: what is remembered of a replica that was removed would bring it back at once, dead or alive.
    pub(super) fn tend_isr(&mut self, now: Now, fetching: Option<BrokerId>, effects: &mut Vec<Effect>) {
        if self.is_resigned {
            return;
        }
        effects.extend(self.isr.repeat(now.monotonic).map(Effect::ProposeIsr));
        if !self.isr.is_free(now.monotonic) {
            return;
        }
        let committed = self.isr.committed();
        let isr: Vec<BrokerId> = match fetching.filter(|broker| self.may_join(*broker)) {
            Some(joining) => committed.iter().copied().chain([joining]).collect(),
            None => committed.iter().copied().filter(|broker| !self.is_lagging(now, *broker)).collect(),
        };
        if isr.len() == committed.len() {
            return;
        }
        let isr = isr.into_iter().map(|broker| self.in_sync(broker)).collect();
        let proposal = self.isr.propose(self.state.leader_epoch, self.state.partition_epoch, isr);
        effects.push(Effect::ProposeIsr(proposal));
    }

    /// When [`Leader::tend_isr`] has something to do by time alone.
    pub(super) fn isr_deadline(&self) -> Option<Monotonic> {
        if self.is_resigned {
            return None;
        }
        let lagging = self.isr.free_at().and_then(|free_at| {
            let remotes = self.remotes.iter().filter(|(broker, _)| self.isr.committed().contains(broker));
            let lags_at = remotes
                .filter_map(|(_, remote)| remote.lags_at(self.log.log_end, self.config.replica_lag_time_max));
            lags_at.min().map(|at| at.max(free_at))
        });
        lagging.into_iter().chain(self.isr.next_deadline()).min()
    }

    fn may_join(&self, broker: BrokerId) -> bool {
        let Some(remote) = self.remotes.get(&broker) else { return false };
        let required = match is_broken(Rule::JoinsAtHighWatermark) {
            true => Offset::ZERO,
            false => self.log.high_watermark.max(self.epoch_start),
        };
        let is_eligible = match is_broken(Rule::BrokerEpochIsChecked) {
            true => remote.eligible.is_some(),
            false => remote.is_eligible(),
        };
        // What DeleteRecords has removed would be there again if it led. It hears where the log begins with each answer.
        let begins_late_enough = remote.log_start.is_some_and(|start| start >= self.log.log_start);
        !self.isr.committed().contains(&broker)
            && is_eligible
            && begins_late_enough
            && remote.log_end.is_some_and(|end| end >= required)
    }

    fn is_lagging(&self, now: Now, broker: BrokerId) -> bool {
        let lag_time_max = self.config.replica_lag_time_max;
        let remote = self.remotes.get(&broker);
        remote.is_some_and(|remote| !remote.is_caught_up(now.monotonic, self.log.log_end, lag_time_max))
    }

    fn in_sync(&self, broker: BrokerId) -> InSync {
        let remote = self.remotes.get(&broker);
        let broker_epoch = match remote {
            None => self.broker_epoch,
            Some(remote) if is_broken(Rule::BrokerEpochIsChecked) => remote.eligible,
            Some(remote) => remote.broker_epoch,
        };
        InSync { broker, broker_epoch }
    }

    /// Replicas come and go within an epoch when the partition is reassigned.
    fn match_replicas(&mut self, now: Now) {
        let replicas = &self.state.replicas;
        self.remotes.retain(|broker, _| replicas.contains(broker));
        for broker in replicas.iter().copied().filter(|broker| *broker != self.me) {
            let in_sync_since = self.isr.committed().contains(&broker).then_some(now.monotonic);
            self.remotes.entry(broker).or_insert_with(|| Remote::new(None, in_sync_since));
        }
    }
}
