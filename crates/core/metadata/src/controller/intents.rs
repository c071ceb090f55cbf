//! What whoever runs the cluster wants of it: brokers that are to be emptied, and replicas that are to be spread evenly.
//! Both are configurations, so that they are committed, in snapshots, and to be seen with Kafka's own tools.

use std::time::Duration;

use types::{BrokerId, Decision, Monotonic};

use super::rebalance::{self, Move, RebalanceProgress};
use super::{Controller, Outcome, Reassignment, Rejection, Response};
use crate::{ConfigResource, Image, MetadataRecord, PartitionImage};

/// A broker that takes no new replica (KIP-1066); `*` is all its directories.
const CORDONED: &str = "cordoned.log.dirs";
/// Whether replicas are being spread, until that is done.
const REBALANCE: &str = "rebalance.enable";
/// How fast.
const REBALANCE_RATE: &str = "rebalance.bytes.per.second";

/// Partitions that are on their way at once: what is under way has to be fetched beside what is produced.
pub(super) const MOVES_AT_ONCE_MAX: usize = 50;
/// Between two looks at what is to be moved next.
const REBALANCE_INTERVAL: Duration = Duration::from_millis(250);

impl Image {
    /// Whether a broker takes no new replica and no leadership that another one could have.
    pub fn is_cordoned(&self, id: BrokerId) -> bool {
        let is_all = self.config(&ConfigResource::Broker(id)).get(CORDONED).is_some_and(|dirs| dirs == "*");
        is_all || self.broker(id).is_some_and(|broker| broker.is_cordoned())
    }

    /// Whether replicas are being spread.
    pub fn is_rebalancing(&self) -> bool {
        self.config(&ConfigResource::Cluster).get(REBALANCE).is_some_and(|wanted| wanted == "true")
    }

    /// How many bytes a second a broker may copy for that; `None` is as many as it can.
    pub fn rebalance_rate(&self) -> Option<i64> {
        let rate = self.config(&ConfigResource::Cluster).get(REBALANCE_RATE)?.parse().ok()?;
        Some(rate).filter(|rate| *rate > 0)
    }

    /// How much of it is left to do.
    pub fn rebalance_progress(&self) -> RebalanceProgress {
        rebalance::progress(self)
    }
}

impl Controller {
    /// These brokers, and no others, are cordoned from now on. A broker need not be registered yet, or any more.
    pub(super) fn cordon(&self, brokers: &[BrokerId]) -> Result<Outcome, Rejection> {
        self.check_room(brokers)?;
        let config = |id: &BrokerId, value: Option<&str>| {
            let resource = ConfigResource::Broker(*id);
            let is_set = self.image.config(&resource).get(CORDONED).map(String::as_str);
            (is_set != value).then(|| MetadataRecord::Config {
                resource,
                key: CORDONED.to_owned(),
                value: value.map(str::to_owned),
            })
        };
        let cordoned = brokers.iter().filter_map(|id| config(id, Some("*")));
        let others = self.image.configured_brokers().filter(|id| !brokers.contains(id));
        let free = others.collect::<Vec<_>>();
        let free = free.iter().filter_map(|id| config(id, None));
        Ok(Decision { records: cordoned.chain(free).collect(), response: Response::Cordoned })
    }

    /// What takes the cordon off a broker, if there is one.
    pub(super) fn uncordoned(&self, broker: BrokerId) -> Option<MetadataRecord> {
        let resource = ConfigResource::Broker(broker);
        let is_set = self.image.config(&resource).contains_key(CORDONED);
        is_set.then(|| MetadataRecord::Config { resource, key: CORDONED.to_owned(), value: None })
    }

    /// Refuses where a partition would have more replicas than there are brokers to take them.
    fn check_room(&self, brokers: &[BrokerId]) -> Result<(), Rejection> {
        let is_new = |id: &BrokerId| !self.image.is_cordoned(*id) && self.image.broker(*id).is_some();
        if !brokers.iter().any(is_new) {
            return Ok(());
        }
        let left = self.image.brokers().filter(|broker| !brokers.contains(&broker.id)).count();
        let partitions = self.image.topics().flat_map(|topic| &topic.partitions);
        let needed = partitions.map(PartitionImage::target_replicas).max();
        match needed.filter(|needed| *needed > left) {
            Some(needed) => Err(Rejection::TooFewBrokers { needed: number(needed), left: number(left) }),
            None => Ok(()),
        }
    }

    /// From now on replicas are spread, until that is done.
    pub(super) fn begin_rebalance(&self, bytes_per_second: Option<i64>) -> Outcome {
        let rate = bytes_per_second.filter(|rate| *rate > 0).map(|rate| rate.to_string());
        let records = [(REBALANCE, Some("true".to_owned())), (REBALANCE_RATE, rate)];
        let records = records.into_iter().filter_map(|(key, value)| self.cluster_config(key, value));
        Decision { records: records.collect(), response: Response::Rebalancing }
    }

    fn cluster_config(&self, key: &str, value: Option<String>) -> Option<MetadataRecord> {
        let resource = ConfigResource::Cluster;
        let is_set = self.image.config(&resource).get(key) == value.as_ref();
        (!is_set).then(|| MetadataRecord::Config { resource, key: key.to_owned(), value })
    }

    /// The next moves, if it is time for them; or the end of the intent, if there is nothing left to move.
    pub(super) fn rebalance(&self, now: Monotonic) -> Vec<MetadataRecord> {
        if self.next_rebalance().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut draft = self.clone();
        let mut records = draft.take_back_hopeless();
        let under_way = draft.image.reassigning().count();
        let moves = rebalance::plan(&draft.image, MOVES_AT_ONCE_MAX.saturating_sub(under_way));
        let is_done = records.is_empty()
            && moves.is_empty()
            && under_way == 0
            && rebalance::progress(&draft.image).partitions_blocked == 0;
        for one in moves {
            records.extend(draft.carry_out(&one, false));
        }
        if is_done {
            let ended = [REBALANCE, REBALANCE_RATE].into_iter();
            records.extend(ended.filter_map(|key| self.cluster_config(key, None)));
        }
        records
    }

    /// When that is due, if it is wanted.
    pub(super) fn next_rebalance(&self) -> Option<Monotonic> {
        self.image.is_rebalancing().then(|| self.rebalanced.plus(REBALANCE_INTERVAL))
    }

    pub(super) fn rebalanced_if_due(&mut self, now: Monotonic) {
        if now >= self.rebalanced.plus(REBALANCE_INTERVAL) {
            self.rebalanced = now;
        }
    }

    /// Reassignments to brokers that are to be emptied, or are forgotten, would not end.
    fn take_back_hopeless(&mut self) -> Vec<MetadataRecord> {
        let is_hopeless = |id: &BrokerId| self.image.is_cordoned(*id) || self.image.broker(*id).is_none();
        let hopeless = self.image.reassigning().filter(|(_, _, state)| state.adding.iter().any(is_hopeless));
        let hopeless = hopeless.map(|(topic, partition, _)| Reassignment {
            topic: topic.name.to_string(),
            partition,
            replicas: None,
        });
        let hopeless: Vec<_> = hopeless.collect();
        hopeless.iter().flat_map(|one| self.reassign_on_draft(one, false)).collect()
    }

    /// What is refused is left as it is; the next look may find another way.
    pub(super) fn carry_out(&mut self, one: &Move, allows_factor_change: bool) -> Vec<MetadataRecord> {
        let Some(topic) = self.image.topic(one.topic).map(|topic| topic.name.to_string()) else {
            return Vec::new();
        };
        let replicas = Some(one.replicas.clone());
        let reassignment = Reassignment { topic, partition: one.partition, replicas };
        self.reassign_on_draft(&reassignment, allows_factor_change)
    }

    fn reassign_on_draft(&mut self, one: &Reassignment, allows_factor_change: bool) -> Vec<MetadataRecord> {
        let records = self.alter_reassignment(one, allows_factor_change).unwrap_or_default();
        records.iter().for_each(|record| self.image.apply(record));
        records
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
