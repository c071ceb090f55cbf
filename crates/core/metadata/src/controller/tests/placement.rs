//! Where new partitions go.

use std::collections::{BTreeMap, BTreeSet};

use types::{BrokerEpoch, BrokerId, ErrorCode, Uuid};

use super::super::placement::{place, start_of};
use crate::{BrokerImage, Image, MetadataRecord};

fn broker(id: i32, rack: Option<&str>) -> BrokerImage {
    BrokerImage {
        id: BrokerId(id),
        epoch: BrokerEpoch(1),
        incarnation: Uuid::ZERO,
        endpoints: Vec::new(),
        rack: rack.map(str::to_owned),
        directories: vec![Uuid::from_random([1; 16])],
        cordoned: Vec::new(),
        is_fenced: false,
        is_in_controlled_shutdown: false,
    }
}

fn image(brokers: impl IntoIterator<Item = BrokerImage>) -> Image {
    let mut image = Image::default();
    brokers.into_iter().for_each(|broker| image.apply(&MetadataRecord::RegisterBroker(broker)));
    image
}

#[test]
fn racks_leaders_and_replicas_are_spread() {
    let racks = ["a", "a", "b", "b", "c", "c"];
    let rack = |id: &BrokerId| racks[usize::try_from(id.0).unwrap()];
    let image = image((0..).zip(racks).map(|(id, rack)| broker(id, Some(rack))));
    for factor in 1..=6_i16 {
        let placed = place(&image, start_of("topic"), 60, factor).unwrap();
        let (mut leads, mut holds) = (BTreeMap::new(), BTreeMap::new());
        for replicas in &placed {
            let distinct: BTreeSet<_> = replicas.iter().collect();
            assert_eq!(distinct.len(), replicas.len());
            let on: BTreeSet<_> = replicas.iter().map(rack).collect();
            assert_eq!(on.len(), replicas.len().min(3), "{replicas:?}");
            *leads.entry(replicas[0]).or_insert(0) += 1;
            replicas.iter().for_each(|id| *holds.entry(*id).or_insert(0) += 1);
        }
        assert!(leads.values().all(|&count| count == 10), "{leads:?}");
        let (few, many) = (holds.values().min().unwrap(), holds.values().max().unwrap());
        assert!(many - few <= 10, "factor {factor}: {holds:?}");
    }
}

#[test]
fn who_is_fenced_stopping_or_cordoned_gets_nothing() {
    let fenced = BrokerImage { is_fenced: true, ..broker(1, None) };
    let stopping = BrokerImage { is_in_controlled_shutdown: true, ..broker(2, None) };
    let whole = broker(3, None);
    let cordoned = BrokerImage { cordoned: whole.directories.clone(), ..whole };
    let half = BrokerImage {
        directories: vec![Uuid::from_random([1; 16]), Uuid::from_random([2; 16])],
        cordoned: vec![Uuid::from_random([1; 16])],
        ..broker(4, None)
    };
    let image = image([broker(0, None), fenced, stopping, cordoned, half]);
    let placed = place(&image, 3, 10, 2).unwrap();
    let used: BTreeSet<_> = placed.iter().flatten().map(|id| id.0).collect();
    assert_eq!(used, BTreeSet::from([0, 4]));
    let refused = place(&image, 3, 1, 3).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidReplicationFactor);
}

#[test]
fn topics_of_one_partition_do_not_share_a_leader() {
    use super::brokers::Office;
    let mut office = Office::with_brokers(4);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (seed, name) in (1..).zip(names) {
        super::create(&mut office.controller, super::topic(name, seed)).unwrap();
    }
    for id in 1..=4 {
        let leads = names.iter().filter(|name| office.seen(name).0 == id).count();
        assert_eq!(leads, 2, "broker {id}");
    }
}
