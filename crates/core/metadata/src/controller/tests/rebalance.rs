//! Brokers that come take their part, brokers that are cordoned get empty, and nobody has to remember how far it was.

use std::collections::{BTreeMap, BTreeSet};

use types::{BrokerId, ErrorCode, PartitionId, Shard, TopicId, Uuid};

use super::super::{Command, NewTopic, Rejection, Response, rebalance};
use super::brokers::{Office, at};
use crate::{BrokerImage, ConfigResource, Image, MetadataRecord, PartitionChange, PartitionImage};

/// A random number below a bound, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % (bound as u64)).unwrap()
    }
}

fn broker(id: i32, rack: Option<String>) -> MetadataRecord {
    let byte = u8::try_from(id).unwrap();
    MetadataRecord::RegisterBroker(BrokerImage {
        id: BrokerId(id),
        epoch: types::BrokerEpoch(i64::from(id) + 1),
        incarnation: Uuid::from_random([byte; 16]),
        endpoints: Vec::new(),
        rack,
        directories: vec![Uuid::from_random([byte; 16])],
        cordoned: Vec::new(),
        is_fenced: false,
        is_in_controlled_shutdown: false,
    })
}

fn cordoned(id: i32) -> MetadataRecord {
    let (key, value) = ("cordoned.log.dirs".to_owned(), Some("*".to_owned()));
    MetadataRecord::Config { resource: ConfigResource::Broker(BrokerId(id)), key, value }
}

/// Partitions anywhere on the first `old` of `all` brokers.
fn cluster(random: &mut Random, (old, all): (i32, i32), racks: i32, cordon: &[i32]) -> Image {
    let mut image = Image::default();
    let rack = |id| (racks > 0).then(|| format!("rack{}", id % racks));
    (0..all).for_each(|id| image.apply(&broker(id, rack(id))));
    for topic in 0..4u8 {
        let id = TopicId(Uuid::from_random([topic + 1; 16]));
        image.apply(&MetadataRecord::Topic { name: format!("t{topic}"), id });
        let factor = 1 + random.below(usize::try_from(old.min(all - cordon.len() as i32).min(3)).unwrap());
        for index in 0..i32::try_from(1 + random.below(40)).unwrap() {
            let mut replicas = Vec::new();
            while replicas.len() < factor {
                let next = BrokerId(i32::try_from(random.below(usize::try_from(old).unwrap())).unwrap());
                if !replicas.contains(&next) {
                    replicas.push(next);
                }
            }
            let (isr, leader) = (replicas.clone(), replicas.first().copied());
            let state = PartitionImage { replicas, isr, leader, ..PartitionImage::default() };
            image.apply(&MetadataRecord::Partition { topic: id, partition: PartitionId(index), state });
        }
    }
    cordon.iter().for_each(|id| image.apply(&cordoned(*id)));
    image
}

/// Carries out all rounds of a plan as if every copy came at once; how many replicas were copied.
fn settle(image: &mut Image, limit: usize) -> usize {
    let mut copied = 0;
    for _ in 0..10_000 {
        let moves = rebalance::plan(image, limit);
        assert!(moves.len() <= limit + 6, "{} moves at once", moves.len());
        assert_eq!(moves, rebalance::plan(image, limit), "the same on every controller");
        if moves.is_empty() {
            return copied;
        }
        for one in moves {
            let old = &image.topic(one.topic).unwrap().partitions[usize::try_from(one.partition.0).unwrap()];
            let (before, after): (BTreeSet<_>, BTreeSet<_>) =
                (old.replicas.iter().collect(), one.replicas.iter().collect());
            assert_eq!((before.len(), after.len()), (one.replicas.len(), one.replicas.len()), "{one:?}");
            copied += after.difference(&before).count();
            let replicas = Some(one.replicas);
            let change = PartitionChange { replicas, ..PartitionChange::default() };
            image.apply(&MetadataRecord::PartitionChange {
                topic: one.topic,
                partition: one.partition,
                change,
            });
        }
    }
    panic!("it does not come to an end");
}

/// How many replicas each broker has, and of how many partitions it is the preferred leader.
fn counts(image: &Image) -> (BTreeMap<i32, usize>, BTreeMap<i32, usize>) {
    let zero: BTreeMap<_, _> = image.brokers().map(|broker| (broker.id.0, 0)).collect();
    let (mut replicas, mut leaders) = (zero.clone(), zero);
    for partition in image.topics().flat_map(|topic| &topic.partitions) {
        partition.replicas.iter().for_each(|id| *replicas.get_mut(&id.0).unwrap() += 1);
        *leaders.get_mut(&partition.replicas[0].0).unwrap() += 1;
    }
    (replicas, leaders)
}

fn spread(counts: &BTreeMap<i32, usize>, without: &[i32]) -> usize {
    let counts = counts.iter().filter(|(id, _)| !without.contains(id)).map(|(_, count)| *count);
    counts.clone().max().unwrap() - counts.min().unwrap()
}

#[test]
fn every_cluster_ends_up_even_and_the_cordoned_empty() {
    let mut evenly_led = 0;
    for seed in 1..120u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let old = 2 + i32::try_from(random.below(5)).unwrap();
        let all = old + i32::try_from(random.below(4)).unwrap();
        let cordon: Vec<i32> = (0..all).filter(|_| random.below(4) == 0).take((all - 2) as usize).collect();
        let mut image = cluster(&mut random, (old, all), 0, &cordon);
        let total: usize = counts(&image).0.values().sum();
        let copied = settle(&mut image, 1 + random.below(20));
        let (replicas, leaders) = counts(&image);
        assert!(cordon.iter().all(|id| replicas[id] == 0), "seed {seed}: {cordon:?} {replicas:?}");
        assert!(spread(&replicas, &cordon) <= 1, "seed {seed}: {replicas:?} without {cordon:?}");
        // Who holds the only replica leads it, however much else it leads.
        let is_single = image.topics().any(|topic| topic.partitions[0].replicas.len() == 1);
        assert!(is_single || spread(&leaders, &cordon) <= 1, "seed {seed}: leaders {leaders:?}");
        evenly_led += usize::from(!is_single);
        assert!(copied <= total, "seed {seed}: {copied} copies of {total} replicas");
        assert_eq!(rebalance::progress(&image).partitions_left, 0);
    }
    assert!(evenly_led > 10, "{evenly_led}");
}

#[test]
fn racks_are_not_given_up_for_numbers() {
    for seed in 1..60u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut image = cluster(&mut random, (6, 6), 3, &[]);
        let racks = |image: &Image| -> Vec<usize> {
            let partitions = image.topics().flat_map(|topic| &topic.partitions);
            let on = |ids: &[BrokerId]| ids.iter().map(|id| id.0 % 3).collect::<BTreeSet<_>>().len();
            partitions.map(|partition| on(&partition.replicas)).collect()
        };
        let before = racks(&image);
        settle(&mut image, 7);
        assert!(racks(&image).iter().zip(&before).all(|(after, before)| after >= before), "seed {seed}");
        // A broker may always give to another one of its rack.
        let (replicas, _) = counts(&image);
        for rack in 0..3 {
            let others: Vec<_> = (0..6).filter(|id| id % 3 != rack).collect();
            assert!(spread(&replicas, &others) <= 1, "seed {seed}, rack {rack}: {replicas:?}");
        }
    }
}

#[test]
fn only_as_much_moves_as_has_to() {
    let mut random = Random(7);
    let mut image = cluster(&mut random, (3, 3), 0, &[]);
    settle(&mut image, 50);
    let total: usize = counts(&image).0.values().sum();
    image.apply(&broker(3, None));
    assert!(settle(&mut image, 50) <= total / 4 + 1, "the new broker takes its part and nothing else moves");
}

#[test]
fn what_has_nowhere_to_go_is_said() {
    let mut image = Image::default();
    (0..3).for_each(|id| image.apply(&broker(id, None)));
    let id = TopicId(Uuid::from_random([1; 16]));
    image.apply(&MetadataRecord::Topic { name: "t".to_owned(), id });
    let replicas: Vec<_> = (0..3).map(BrokerId).collect();
    let state = PartitionImage { isr: replicas.clone(), replicas, ..PartitionImage::default() };
    image.apply(&MetadataRecord::Partition { topic: id, partition: PartitionId(0), state });
    image.apply(&cordoned(1));
    assert_eq!(rebalance::plan(&image, 10), []);
    let progress = rebalance::progress(&image);
    assert_eq!((progress.partitions_left, progress.partitions_blocked), (1, 1));
}

fn cordon(office: &mut Office, ids: &[i32]) -> Result<Response, Rejection> {
    let brokers = ids.iter().map(|id| BrokerId(*id)).collect();
    office.run(at(0), Command::Cordon { brokers })
}

/// Every leader takes in whoever is being added.
fn all_catch_up(office: &mut Office) {
    let image = office.controller.image().clone();
    for (topic, partition, state) in image.reassigning() {
        let leader = state.leader.unwrap();
        let isr = state.replicas.iter().map(|id| super::super::ProposedReplica { broker: *id, epoch: None });
        let wanted = super::super::PartitionAlteration {
            id: types::TopicPartition { topic: topic.id, partition },
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: isr.collect(),
            is_recovering: false,
        };
        let epoch = office.epoch(leader.0);
        let request = super::super::AlterPartition { broker: leader, epoch, partitions: vec![wanted] };
        office.run(at(0), Command::AlterPartition(request)).unwrap();
    }
}

#[test]
fn a_broker_is_emptied_over_a_change_of_controllers() {
    let mut office = Office::with_brokers(4);
    for (byte, name) in (1u8..).zip(["a", "b", "c"]) {
        let topic = NewTopic {
            name: name.to_owned(),
            id: TopicId(Uuid::from_random([byte; 16])),
            partitions: 40,
            replication_factor: 2,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        office.run(at(0), Command::CreateTopics { topics: vec![topic], validate_only: false }).unwrap();
    }
    assert_eq!(cordon(&mut office, &[1]), Ok(Response::Cordoned));
    let rebalance = Command::Rebalance { bytes_per_second: Some(1_000_000) };
    assert_eq!(office.run(at(0), rebalance), Ok(Response::Rebalancing));
    assert_eq!(office.controller.image().rebalance_rate(), Some(1_000_000));
    let mut now = 0;
    let mut rounds = 0;
    while office.controller.image().is_rebalancing() {
        now += 260;
        rounds += 1;
        assert!(rounds < 60, "it does not end: {:?}", office.controller.image().rebalance_progress());
        for id in 1..=4 {
            office.beat(at(now), id);
        }
        office.run(at(now), Command::Tick).unwrap();
        assert!(office.controller.image().reassigning().count() <= 50);
        if rounds % 3 == 0 {
            let image = office.controller.image().clone();
            office = Office::take(image, office.end, at(now));
        }
        all_catch_up(&mut office);
    }
    assert!(rounds > 2, "in batches");
    let (replicas, leaders) = counts(office.controller.image());
    assert_eq!((replicas[&1], spread(&replicas, &[1]) <= 1, spread(&leaders, &[1]) <= 1), (0, true, true));
    assert_eq!(office.controller.image().rebalance_rate(), None);
    office.run(at(now), Command::UnregisterBroker { broker: BrokerId(1) }).unwrap();
    assert!(!office.controller.image().is_cordoned(BrokerId(1)), "the next broker of that id starts afresh");
}

#[test]
fn cordoned_brokers_get_nothing_new() {
    let mut office = Office::with_brokers(3);
    office.create("t", 1, &[1, 2], &[]);
    cordon(&mut office, &[1]).unwrap();
    assert_eq!(office.seen("t").0, 1, "what it leads it goes on leading");
    office.fence(1);
    office.beat(at(1), 1);
    assert_eq!(office.seen("t").0, 2);
    let topic = |name: &str, factor| NewTopic {
        name: name.to_owned(),
        id: TopicId(Uuid::from_random([9; 16])),
        partitions: 1,
        replication_factor: factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let create = |topic| Command::CreateTopics { topics: vec![topic], validate_only: false };
    let Ok(Response::CreatedTopics(created)) = office.run(at(1), create(topic("u", 3))) else { panic!() };
    assert_eq!(created[0].as_ref().unwrap_err().code, ErrorCode::InvalidReplicationFactor);
    let Ok(Response::CreatedTopics(created)) = office.run(at(1), create(topic("u", 2))) else { panic!() };
    assert!(created[0].is_ok());
    let state = office.partition("u");
    assert!(!state.replicas.contains(&BrokerId(1)));
    // Its place in the list of preferred leaders does not count.
    assert_eq!(office.controller.next_deadline(), Some(at(3_000).monotonic));
}

#[test]
fn a_cordon_that_leaves_too_few_brokers_is_refused() {
    let mut office = Office::with_brokers(3);
    office.create("t", 1, &[1, 2, 3], &[]);
    let refused = Rejection::TooFewBrokers { needed: 3, left: 2 };
    assert_eq!(cordon(&mut office, &[2]), Err(refused));
    assert_eq!(cordon(&mut office, &[8]), Ok(Response::Cordoned), "one that is not there yet");
    assert!(office.controller.image().is_cordoned(BrokerId(8)));
    assert_eq!(cordon(&mut office, &[]), Ok(Response::Cordoned));
    assert!(!office.controller.image().is_cordoned(BrokerId(8)));
}
