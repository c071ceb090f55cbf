//! Elections: those that are asked for, those that bring leaders back, and what configurations have to do with them.

use types::{BrokerId, ErrorCode, PartitionId, Shard};

use super::super::{
    Command, ConfigOperation, ConfigTarget, ElectionType, PartitionAlteration, ProposedReplica, Response,
};
use super::brokers::{Office, at};
use super::{alter, isr::propose};

fn elect(office: &mut Office, election: ElectionType, topic: Option<&str>) -> Vec<Result<(), ErrorCode>> {
    let partitions = topic.map(|topic| vec![(topic.to_owned(), PartitionId(0))]);
    let response = office.run(at(0), Command::ElectLeaders { election, partitions }).unwrap();
    let Response::ElectedLeaders(elected) = response else { panic!() };
    elected.into_iter().map(|elected| elected.result.map_err(|failure| failure.code)).collect()
}

/// `t` on 1 and 2, led by 2, with 1 back in sync.
fn imbalanced() -> Office {
    let mut office = Office::with_brokers(2);
    office.create("t", 1, &[1, 2], &[]);
    office.fence(1);
    office.beat(at(1), 1);
    assert_eq!(office.seen("t"), (2, vec![2], vec![]));
    let id = office.partition_id("t");
    let state = office.partition("t");
    let wanted = PartitionAlteration {
        id,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: [1, 2].map(|id| ProposedReplica { broker: BrokerId(id), epoch: Some(office.epoch(id)) }).into(),
        is_recovering: false,
    };
    propose(&mut office, 2, wanted).unwrap();
    assert_eq!(office.seen("t"), (2, vec![1, 2], vec![]));
    office
}

#[test]
fn elections_are_held_where_they_are_needed_and_possible() {
    use ElectionType::{Preferred, Unclean};
    let mut office = imbalanced();
    assert_eq!(elect(&mut office, Unclean, Some("t")), [Err(ErrorCode::ElectionNotNeeded)]);
    assert_eq!(elect(&mut office, Preferred, Some("x")), [Err(ErrorCode::UnknownTopicOrPartition)]);
    assert_eq!(elect(&mut office, Preferred, None), [Ok(())]);
    assert_eq!(office.seen("t"), (1, vec![1, 2], vec![]));
    assert_eq!(elect(&mut office, Preferred, Some("t")), [Err(ErrorCode::ElectionNotNeeded)]);
    assert_eq!(elect(&mut office, Preferred, None), [], "who asks for all hears only of what was needed");

    office.fence(1);
    assert_eq!(elect(&mut office, Preferred, Some("t")), [Err(ErrorCode::PreferredLeaderNotAvailable)]);
    office.fence(2);
    assert_eq!(elect(&mut office, Unclean, Some("t")), [Err(ErrorCode::EligibleLeadersNotAvailable)]);
    office.beat(at(2), 1);
    assert_eq!(office.seen("t"), (-1, vec![2], vec![]));
    assert_eq!(elect(&mut office, Unclean, Some("t")), [Ok(())]);
    assert_eq!((office.seen("t"), office.partition("t").is_recovering), ((1, vec![1], vec![]), true));
}

/// Both brokers stay, and the controller does what is due, until `end`.
fn go_on(office: &mut Office, from: u64, end: u64) {
    for ms in (from..=end).step_by(1_000) {
        for id in 1..=2 {
            office.beat(at(ms), id);
        }
        office.run(at(ms), Command::Tick).unwrap();
    }
}

#[test]
fn leaders_go_back_to_a_broker_once_it_has_been_there_for_a_while() {
    let mut office = imbalanced();
    assert_eq!(office.seen("t").0, 2, "broker 1 came at 1 ms");
    go_on(&mut office, 1_000, 10_000);
    assert_eq!(office.seen("t").0, 2, "who has just come may not be reachable for all clients");
    assert_eq!(office.controller.next_deadline(), Some(at(11_000).monotonic), "the next balance");
    office.run(at(10_999), Command::Tick).unwrap();
    assert_eq!(office.seen("t").0, 2);
    go_on(&mut office, 11_000, 11_000);
    assert_eq!(office.seen("t").0, 1);
    assert_eq!(office.controller.next_deadline(), Some(at(14_000).monotonic), "only sessions are left");
}

#[test]
fn an_unclean_election_needs_the_topics_consent_and_no_more() {
    let mut office = Office::with_brokers(2);
    let consent = [("unclean.leader.election.enable", "true")];
    office.create("careful", 1, &[1, 2], &[]);
    office.create("careless", 2, &[1, 2], &consent);
    office.fence(2);
    office.fence(1);
    office.beat(at(1), 2);
    assert_eq!(office.seen("careful"), (-1, vec![1], vec![]));
    assert_eq!(office.seen("careless"), (2, vec![2], vec![]));
    let allow = ConfigOperation::Set("true".to_owned());
    let target = ConfigTarget::Topic("careful".to_owned());
    alter(&mut office.controller, target, false, &[(consent[0].0, allow)]).unwrap();
    assert_eq!(office.seen("careful"), (2, vec![2], vec![]), "consent counts at once");
}

#[test]
fn who_was_eligible_is_so_no_longer_when_the_high_watermark_moves_without_it() {
    for target in [ConfigTarget::Topic("t".to_owned()), ConfigTarget::Cluster] {
        let mut office = Office::with_brokers(3);
        let two = ConfigOperation::Set("2".to_owned());
        alter(&mut office.controller, target.clone(), false, &[]).ok();
        office.create("t", 1, &[1, 2, 3], &[]);
        alter(&mut office.controller, target.clone(), false, &[("min.insync.replicas", two)]).unwrap();
        office.fence(3);
        assert_eq!(office.seen("t"), (1, vec![1, 2], vec![]));
        office.fence(2);
        assert_eq!(office.seen("t"), (1, vec![1], vec![2]));
        alter(&mut office.controller, target, false, &[("min.insync.replicas", ConfigOperation::Delete)])
            .unwrap();
        assert_eq!(office.seen("t"), (1, vec![1], vec![]));
        office.fence(1);
        office.beat(at(1), 2);
        assert_eq!(office.seen("t"), (-1, vec![1], vec![]));
    }
}
