//! A random life of a cluster. After every step: leaders are in sync, epochs only grow, whoever is elected without a
//! warning holds all that was committed, and images rebuilt from records or from a snapshot are the same.
//!
//! `METADATA_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};

use types::{BrokerEpoch, BrokerId, Decision, ErrorCode, PartitionId, Shard, TopicId, TopicPartition, Uuid};

use super::super::{
    AlterPartition, BrokerHeartbeat, BrokerRegistration, Command, ConfigChange, ConfigOperation,
    ConfigTarget, ElectionType, NewPartitions, NewTopic, PartitionAlteration, ProposedReplica, Reassignment,
    Rejection, TopicRef,
};
use super::brokers::{Office, at};
use super::topic;
use crate::{Image, MetadataRecord, PartitionImage};

const SEEDS: u64 = 16;
const STEPS: u32 = 1_500;
const BROKERS: i32 = 6;
const TOPICS: [&str; 3] = ["a", "b", "c"];

type PartitionKey = (TopicId, usize);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn broker(&mut self) -> BrokerId {
        BrokerId(i32::try_from(self.below(u64::from(BROKERS.unsigned_abs()))).unwrap())
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[usize::try_from(self.below(from.len() as u64)).unwrap()])
    }

    fn some_of(&mut self, from: &[BrokerId]) -> Vec<BrokerId> {
        from.iter().copied().filter(|_| !self.one_in(3)).collect()
    }
}

struct Cluster {
    office: Office,
    random: Random,
    now: u64,
    ids_given: u8,
    lives: u64,
    /// Whoever applies what the log carries.
    replica: Image,
    log: Vec<Vec<MetadataRecord>>,
    snapshot: (Image, usize),
    /// Who holds all that was committed to a partition.
    holders: BTreeMap<PartitionKey, BTreeSet<BrokerId>>,
    seen: BTreeMap<PartitionKey, PartitionImage>,
    elections: u32,
    decided: u32,
}

#[test]
fn a_cluster_keeps_its_promises() {
    let given = std::env::var("METADATA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(1..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let run = std::panic::catch_unwind(|| Cluster::new(seed).live());
        let (elections, decided) = run.unwrap_or_else(|_| panic!("METADATA_SEED={seed} repeats this"));
        assert!(elections > 5 && decided > 100, "seed {seed} saw {elections} elections, {decided} decisions");
    }
}

impl Cluster {
    fn new(seed: u64) -> Cluster {
        Cluster {
            office: Office::take(Image::default(), 0, at(0)),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now: 0,
            ids_given: 0,
            lives: 0,
            replica: Image::default(),
            log: Vec::new(),
            snapshot: (Image::default(), 0),
            holders: BTreeMap::new(),
            seen: BTreeMap::new(),
            elections: 0,
            decided: 0,
        }
    }

    fn live(mut self) -> (u32, u32) {
        for _ in 0..STEPS {
            self.now += self.random.below(400);
            if self.random.one_in(60) {
                let image = self.office.controller.image().clone();
                self.office = Office::take(image, self.office.end, at(self.now));
            }
            if self.random.one_in(40) {
                self.snapshot = (restored(&self.replica), self.log.len());
            }
            let Some(command) = self.command() else { continue };
            self.step(command);
        }
        (self.elections, self.decided)
    }

    fn step(&mut self, command: Command) {
        let now = at(self.now);
        let unclean = self.unclean_life(&command);
        let is_stale = self.is_stale(&command);
        let caught_up = caught_up(&command);
        self.office.controller.observe(now, &command);
        let Decision { records, response } = match self.office.controller.decide(now, command) {
            Ok(decision) => decision,
            Err(Rejection::StaleBrokerEpoch { .. }) => return,
            Err(refused) => return assert_ne!(refused.code(), ErrorCode::None),
        };
        assert!(!is_stale, "decided on a stale broker epoch");
        if self.random.one_in(20) {
            return; // The write failed: nothing of it is ever seen.
        }
        for record in &records {
            self.office.controller.apply(record);
            self.replica.apply(record);
        }
        assert_eq!(&self.replica, self.office.controller.image());
        self.decided += u32::from(!records.is_empty());
        self.office.end += u64::from(!records.is_empty());
        self.log.push(records);
        self.office.controller.committed(now, &response, self.office.end);
        if let Some(broker) = unclean {
            self.holders.values_mut().for_each(|holders| _ = holders.remove(&broker));
        }
        // Whom a leader takes in has all that the leader has.
        if let Some((key, isr)) = caught_up.filter(|_| !self.log.last().is_none_or(Vec::is_empty)) {
            self.holders.entry(key).or_default().extend(isr);
        }
        self.check();
    }

    /// The broker whose registration says that it may have lost records.
    fn unclean_life(&self, command: &Command) -> Option<BrokerId> {
        let Command::RegisterBroker(registration) = command else { return None };
        let known = self.office.controller.image().broker(registration.broker);
        let is_same = known.is_some_and(|known| known.incarnation == registration.incarnation);
        let is_clean = known.is_some_and(|known| {
            registration.previous_epoch == Some(known.epoch)
                || registration.previous_incarnation == Some(known.incarnation)
        });
        (!is_same && !is_clean).then_some(registration.broker)
    }

    fn is_stale(&self, command: &Command) -> bool {
        let (broker, epoch) = match command {
            Command::BrokerHeartbeat(heartbeat) => (heartbeat.broker, heartbeat.epoch),
            Command::AlterPartition(request) => (request.broker, request.epoch),
            Command::FenceBroker { broker, epoch } | Command::AllocateProducerIds { broker, epoch } => {
                (*broker, *epoch)
            }
            _ => return false,
        };
        self.office.controller.image().broker(broker).is_none_or(|known| known.epoch != epoch)
    }

    fn check(&mut self) {
        let image = self.replica.clone();
        let (snapshot, upto) = &self.snapshot;
        let mut tail = snapshot.clone();
        self.log[*upto..].iter().flatten().for_each(|record| tail.apply(record));
        assert_eq!(tail, image, "a snapshot and what came after it");
        let mut there = BTreeSet::new();
        for topic in image.topics() {
            let min_isr = self.office.controller.election_rules(topic).min_isr;
            for (index, state) in topic.partitions.iter().enumerate() {
                assert_sound(&image, state);
                let key = (topic.id, index);
                there.insert(key);
                self.check_change(key, state);
                self.check_holders(key, state, min_isr);
                self.seen.insert(key, state.clone());
            }
        }
        self.seen.retain(|key, _| there.contains(key));
        self.holders.retain(|key, _| there.contains(key));
    }

    fn check_change(&mut self, key: PartitionKey, state: &PartitionImage) {
        let Some(before) = self.seen.get(&key).filter(|before| *before != state) else { return };
        assert!(state.partition_epoch > before.partition_epoch, "{before:?} {state:?}");
        assert!(state.leader_epoch >= before.leader_epoch, "{before:?} {state:?}");
        if state.leader != before.leader {
            assert!(state.leader_epoch > before.leader_epoch, "{before:?} {state:?}");
            self.elections += u32::from(state.leader.is_some());
        }
    }

    /// The high watermark moves whenever it may: then only who is in sync holds all.
    fn check_holders(&mut self, key: PartitionKey, state: &PartitionImage, min_isr: usize) {
        let isr: BTreeSet<_> = state.isr.iter().copied().collect();
        let holders = self.holders.entry(key).or_insert_with(|| isr.clone());
        let Some(leader) = state.leader else { return };
        let is_warned = state.is_recovering && !self.seen.get(&key).is_some_and(|seen| seen.is_recovering);
        let is_new = self.seen.get(&key).is_none_or(|seen| seen.leader_epoch != state.leader_epoch);
        let begins_anew = is_warned || (state.is_recovering && is_new);
        assert!(begins_anew || holders.contains(&leader), "{leader} lacks records: {holders:?} {state:?}");
        if begins_anew || isr.len() >= min_isr.min(state.replicas.len()) {
            *holders = isr;
        } else {
            holders.extend(isr);
        }
    }

    fn command(&mut self) -> Option<Command> {
        let broker = self.random.broker();
        Some(match self.random.below(22) {
            0..=2 => self.register(broker),
            3..=8 => Command::BrokerHeartbeat(self.heartbeat(broker)),
            9 => Command::FenceBroker { broker, epoch: self.epoch(broker) },
            10 => Command::Tick,
            11 => self.create_topic(),
            12..=15 => Command::AlterPartition(self.alter_partition()?),
            16 => self.elect(),
            17..=18 => self.reassign(),
            19 => self.configure(),
            20 if self.random.one_in(4) => Command::UnregisterBroker { broker },
            20 => self.grow(),
            _ if self.random.one_in(10) => {
                let name = (*self.random.pick(&TOPICS)?).to_owned();
                Command::DeleteTopics { topics: vec![TopicRef::Name(name)] }
            }
            _ => Command::AllocateProducerIds { broker, epoch: self.epoch(broker) },
        })
    }

    /// Its epoch, or now and then another one.
    fn epoch(&mut self, broker: BrokerId) -> BrokerEpoch {
        let epoch = self.replica.broker(broker).map_or(BrokerEpoch(3), |broker| broker.epoch);
        if self.random.one_in(20) { BrokerEpoch(epoch.0 - 1) } else { epoch }
    }

    fn register(&mut self, broker: BrokerId) -> Command {
        self.lives += 1;
        let mut incarnation = [7; 16];
        incarnation[..8].copy_from_slice(&self.lives.to_be_bytes());
        let known = self.replica.broker(broker);
        let (is_clean, knows_epoch) = (!self.random.one_in(3), !self.random.one_in(4));
        Command::RegisterBroker(BrokerRegistration {
            broker,
            incarnation: Uuid::from_random(incarnation),
            rack: Some(["x", "y"][usize::try_from(broker.0 % 2).unwrap()].to_owned()),
            previous_epoch: known.map(|known| known.epoch).filter(|_| is_clean && knows_epoch),
            previous_incarnation: known.map(|known| known.incarnation).filter(|_| is_clean && !knows_epoch),
            ..BrokerRegistration::default()
        })
    }

    /// Some of all partitions, whether the broker has them or not.
    fn offline(&mut self) -> Vec<TopicPartition> {
        if !self.random.one_in(10) {
            return Vec::new();
        }
        let image = self.office.controller.image();
        let topics: Vec<_> = image.topics().map(|topic| (topic.id, topic.partitions.len())).collect();
        let ids = topics.into_iter().flat_map(|(topic, count)| {
            (0..i32::try_from(count).unwrap())
                .map(move |index| TopicPartition { topic, partition: PartitionId(index) })
        });
        ids.filter(|_| self.random.one_in(3)).collect()
    }

    fn heartbeat(&mut self, broker: BrokerId) -> BrokerHeartbeat {
        BrokerHeartbeat {
            broker,
            epoch: self.epoch(broker),
            metadata_end: if self.random.one_in(5) { 0 } else { self.office.end },
            wants_fence: self.random.one_in(15),
            wants_shut_down: self.random.one_in(15),
            cordoned: None,
            offline: self.offline(),
        }
    }

    fn create_topic(&mut self) -> Command {
        self.ids_given += 1;
        let name = *self.random.pick(&TOPICS).unwrap();
        let new = NewTopic {
            partitions: 1 + i32::try_from(self.random.below(3)).unwrap(),
            replication_factor: 1 + i16::try_from(self.random.below(4)).unwrap(),
            ..topic(name, self.ids_given)
        };
        Command::CreateTopics { topics: vec![new], validate_only: false }
    }

    fn grow(&mut self) -> Command {
        let topic = (*self.random.pick(&TOPICS).unwrap()).to_owned();
        let more =
            NewPartitions { topic, count: i32::try_from(self.random.below(6)).unwrap(), assignments: None };
        Command::CreatePartitions { topics: vec![more], validate_only: false }
    }

    /// What a leader that lives might want, or something near to that.
    fn alter_partition(&mut self) -> Option<AlterPartition> {
        let all: Vec<_> = self.seen.iter().map(|(key, state)| (*key, state.clone())).collect();
        let ((topic, index), state) = self.random.pick(&all)?.clone();
        let leader = state.leader?;
        let mut isr =
            if self.random.one_in(2) { state.replicas.clone() } else { self.random.some_of(&state.replicas) };
        // A leader takes in only who has caught up, and drops only whom it does not need; itself never.
        if !isr.contains(&leader) && !self.random.one_in(10) {
            isr.push(leader);
        }
        let image = self.replica.clone();
        let is_eligible = |id: &BrokerId| image.broker(*id).is_some_and(|broker| broker.is_active());
        if !self.random.one_in(6) {
            isr.retain(is_eligible);
        }
        let isr = isr.into_iter().map(|broker| ProposedReplica { broker, epoch: Some(self.epoch(broker)) });
        let isr = isr.collect();
        let wanted = PartitionAlteration {
            id: types::TopicPartition { topic, partition: PartitionId(i32::try_from(index).unwrap()) },
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr,
            is_recovering: false,
        };
        Some(AlterPartition { broker: leader, epoch: self.epoch(leader), partitions: vec![wanted] })
    }

    fn elect(&mut self) -> Command {
        let election = if self.random.one_in(3) { ElectionType::Unclean } else { ElectionType::Preferred };
        Command::ElectLeaders { election, partitions: None }
    }

    fn reassign(&mut self) -> Command {
        let mut brokers: Vec<_> = (0..BROKERS).map(BrokerId).collect();
        let turn = usize::try_from(self.random.below(6)).unwrap();
        brokers.rotate_left(turn);
        brokers.truncate(1 + usize::try_from(self.random.below(4)).unwrap());
        let one = Reassignment {
            topic: (*self.random.pick(&TOPICS).unwrap()).to_owned(),
            partition: PartitionId(i32::try_from(self.random.below(3)).unwrap()),
            replicas: Some(brokers).filter(|_| !self.random.one_in(3)),
        };
        Command::AlterReassignments { reassignments: vec![one], allows_factor_change: true }
    }

    fn configure(&mut self) -> Command {
        let operation = match self.random.below(4) {
            0 => ConfigOperation::Delete,
            value => ConfigOperation::Set(value.to_string()),
        };
        let topic = (*self.random.pick(&TOPICS).unwrap()).to_owned();
        let resource = if self.random.one_in(3) { ConfigTarget::Cluster } else { ConfigTarget::Topic(topic) };
        let unclean = ("unclean.leader.election.enable", self.random.one_in(4).to_string());
        let operations = match self.random.one_in(5) {
            true => vec![(unclean.0.to_owned(), ConfigOperation::Set(unclean.1))],
            false => vec![("min.insync.replicas".to_owned(), operation)],
        };
        let changes = vec![ConfigChange { resource, operations, replaces: false }];
        Command::AlterConfigs { changes, validate_only: false }
    }
}

/// Whom a leader says that it has taken in.
fn caught_up(command: &Command) -> Option<(PartitionKey, Vec<BrokerId>)> {
    let Command::AlterPartition(request) = command else { return None };
    let wanted = request.partitions.first()?;
    let key = (wanted.id.topic, usize::try_from(wanted.id.partition.0).ok()?);
    Some((key, wanted.isr.iter().map(|replica| replica.broker).collect()))
}

fn restored(image: &Image) -> Image {
    let mut restored = Image::default();
    image.to_records().iter().for_each(|record| restored.apply(record));
    assert_eq!(&restored, image, "a snapshot is the whole image");
    restored
}

fn assert_sound(image: &Image, state: &PartitionImage) {
    let set = |ids: &[BrokerId]| {
        let set: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(set.len(), ids.len(), "a broker twice: {state:?}");
        set
    };
    let (replicas, isr, elr) = (set(&state.replicas), set(&state.isr), set(&state.elr));
    let (adding, removing) = (set(&state.adding), set(&state.removing));
    assert!(!replicas.is_empty());
    assert!(isr.is_subset(&replicas) && elr.is_subset(&replicas), "{state:?}");
    assert!(adding.is_subset(&replicas) && removing.is_subset(&replicas), "{state:?}");
    assert!(isr.is_disjoint(&elr) && adding.is_disjoint(&removing), "{state:?}");
    if let Some(leader) = state.leader {
        assert!(isr.contains(&leader), "a leader is in sync: {state:?}");
        assert!(image.broker(leader).is_some_and(|broker| broker.is_active()), "a leader lives: {state:?}");
        assert!(state.last_known_elr.is_empty(), "{state:?}");
    }
    // Nobody in sync: everybody who was lost what it had.
    assert!(!isr.is_empty() || (state.leader.is_none() && state.last_known_elr.len() == 1), "{state:?}");
    let is_live = |id: &BrokerId| image.broker(*id).is_some_and(|broker| broker.is_active());
    assert!(isr.len() < 2 || isr.iter().all(is_live), "only the last one in sync may be gone: {state:?}");
}
