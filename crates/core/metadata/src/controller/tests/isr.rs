//! AlterPartition, check by check.

use types::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionId, TopicId, TopicPartition, Uuid,
};

use super::super::{AlterPartition, Command, PartitionAlteration, ProposedReplica, Response};
use super::brokers::{Office, at};
use crate::PartitionImage;

/// What a broker is answered about one partition.
pub(super) fn propose(
    office: &mut Office,
    broker: i32,
    wanted: PartitionAlteration,
) -> Result<PartitionImage, ErrorCode> {
    let epoch = office.epoch(broker);
    let request = AlterPartition { broker: BrokerId(broker), epoch, partitions: vec![wanted] };
    let response = office.run(at(0), Command::AlterPartition(request)).unwrap();
    let Response::AlteredPartitions(mut altered) = response else { panic!() };
    altered.remove(0).result
}

impl Office {
    pub(super) fn partition_id(&self, topic: &str) -> TopicPartition {
        let topic = self.controller.image().topic_named(topic).unwrap().id;
        TopicPartition { topic, partition: PartitionId(0) }
    }

    pub(super) fn alteration(&self, topic: &str, isr: &[i32]) -> PartitionAlteration {
        let state = self.partition(topic);
        let epoch = |id| self.controller.image().broker(BrokerId(id)).map(|broker| broker.epoch);
        let replica = |&id: &i32| ProposedReplica { broker: BrokerId(id), epoch: epoch(id) };
        PartitionAlteration {
            id: self.partition_id(topic),
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: isr.iter().map(replica).collect(),
            is_recovering: false,
        }
    }
}

/// `t` on 1, 2, 3 and 4, led by 1; 4 is fenced and out of sync.
fn office() -> Office {
    let mut office = Office::with_brokers(5);
    office.create("t", 1, &[1, 2, 3, 4], &[]);
    office.fence(4);
    office
}

#[test]
fn each_check_has_its_code() {
    type Change = fn(&mut PartitionAlteration);
    let cases: [(&[i32], Change, ErrorCode); 14] = [
        (&[1], |w| w.id.topic = TopicId(Uuid::from_random([9; 16])), ErrorCode::UnknownTopicId),
        (&[1], |w| w.id.partition = PartitionId(7), ErrorCode::UnknownTopicOrPartition),
        (&[1], |w| w.id.partition = PartitionId(-1), ErrorCode::UnknownTopicOrPartition),
        (&[1], |w| w.leader_epoch.0 += 1, ErrorCode::NotController),
        (&[1], |w| w.partition_epoch.0 += 1, ErrorCode::NotController),
        (&[1], |w| w.leader_epoch.0 -= 1, ErrorCode::FencedLeaderEpoch),
        (&[1], |w| w.partition_epoch.0 -= 1, ErrorCode::InvalidUpdateVersion),
        (&[1, 5], |_| (), ErrorCode::InvalidRequest),
        (&[1, 2, 2], |_| (), ErrorCode::InvalidRequest),
        (&[2, 3], |_| (), ErrorCode::InvalidRequest),
        (&[], |_| (), ErrorCode::InvalidRequest),
        (&[1], |w| w.is_recovering = true, ErrorCode::InvalidRequest),
        (&[1, 4], |_| (), ErrorCode::IneligibleReplica),
        (&[1, 2], |w| w.isr[1].epoch = Some(BrokerEpoch(0)), ErrorCode::IneligibleReplica),
    ];
    for (index, (isr, change, code)) in cases.into_iter().enumerate() {
        let mut office = office();
        let mut wanted = office.alteration("t", isr);
        change(&mut wanted);
        let before = office.controller.image().clone();
        assert_eq!(propose(&mut office, 1, wanted), Err(code), "case {index}");
        assert_eq!(office.controller.image(), &before, "case {index}");
    }
}

#[test]
fn only_the_leader_asks_and_epochs_are_looked_at_before_that() {
    let mut office = office();
    let wanted = office.alteration("t", &[1, 2]);
    assert_eq!(propose(&mut office, 2, wanted.clone()), Err(ErrorCode::InvalidRequest));
    let mut old = wanted.clone();
    old.leader_epoch = LeaderEpoch(-1);
    assert_eq!(propose(&mut office, 2, old), Err(ErrorCode::FencedLeaderEpoch));
    let stale = AlterPartition { broker: BrokerId(1), epoch: BrokerEpoch(0), partitions: vec![wanted] };
    let refused = office.run(at(0), Command::AlterPartition(stale)).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::StaleBrokerEpoch);
}

#[test]
fn the_in_sync_replicas_shrink_and_grow_without_a_new_leader_epoch() {
    let mut office = office();
    let epoch = office.partition("t").leader_epoch;
    let wanted = office.alteration("t", &[1, 3]);
    let state = propose(&mut office, 1, wanted).unwrap();
    assert_eq!((&state, state.partition_epoch), (office.partition("t"), PartitionEpoch(2)));
    assert_eq!((office.seen("t"), state.leader_epoch), ((1, vec![1, 3], vec![]), epoch));
    office.beat(at(1), 4);
    let wanted = office.alteration("t", &[1, 3, 4]);
    propose(&mut office, 1, wanted).unwrap();
    assert_eq!(office.seen("t"), (1, vec![1, 3, 4], vec![]));
    let same = office.alteration("t", &[1, 3, 4]);
    let before = office.partition("t").clone();
    assert_eq!(propose(&mut office, 1, same), Ok(before), "the same again is no change");
}

#[test]
fn one_that_is_stopping_is_not_eligible() {
    let mut office = office();
    office.create("u", 2, &[2, 1], &[]);
    let stop = super::super::BrokerHeartbeat { wants_shut_down: true, ..office.heartbeat(2) };
    office.send(at(0), stop);
    assert_eq!(office.seen("t"), (1, vec![1, 3], vec![]));
    let wanted = office.alteration("t", &[1, 2, 3]);
    assert_eq!(propose(&mut office, 1, wanted), Err(ErrorCode::IneligibleReplica));
}

#[test]
fn a_leader_recovers_alone() {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[("unclean.leader.election.enable", "true")]);
    office.fence(2);
    office.fence(1);
    office.beat(at(1), 2);
    office.beat(at(1), 1);
    assert!(office.partition("t").is_recovering);
    let mut wanted = office.alteration("t", &[1, 2]);
    wanted.is_recovering = true;
    assert_eq!(propose(&mut office, 2, wanted), Err(ErrorCode::InvalidRequest));
    let wanted = office.alteration("t", &[2, 1]);
    assert!(!propose(&mut office, 2, wanted).unwrap().is_recovering);
}
