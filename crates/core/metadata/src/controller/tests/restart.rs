//! The restart gate: what it lets through, and the one grant at a time.

use types::{BrokerId, ErrorCode, Shard};

use super::super::{Command, Rejection, Response};
use super::brokers::{Office, at};
use super::isr::propose;
use crate::PartitionHealth;

fn check(office: &mut Office, broker: i32) -> i32 {
    let command = Command::CheckRestarts { brokers: vec![BrokerId(broker)] };
    let Ok(Response::RestartsChecked(checks)) = office.run(at(0), command) else { panic!() };
    checks[0].refused_count
}

fn drain(office: &mut Office, ms: u64, broker: i32, ttl_ms: i64) -> Result<Response, Rejection> {
    office.run(at(ms), Command::Drain { broker: BrokerId(broker), ttl_ms })
}

#[test]
fn a_restart_is_refused_where_it_would_cost_something() {
    // replicas, min.insync.replicas, who is fenced, who is to be restarted, whether it may
    type Case = (&'static [i32], &'static str, &'static [i32], i32, bool);
    let cases: [Case; 9] = [
        (&[1, 2, 3], "2", &[], 1, true),
        (&[1, 2, 3], "2", &[3], 1, false),
        (&[1, 2, 3], "2", &[3], 3, true),
        (&[1, 2, 3], "2", &[3], 4, true),
        (&[1, 2, 3], "2", &[2, 3], 3, false),
        (&[1, 2, 3], "1", &[2, 3], 1, false),
        (&[1, 2], "2", &[], 1, true),
        (&[1, 2], "2", &[2], 1, true),
        (&[1], "1", &[], 1, true),
    ];
    for (replicas, min_isr, fenced, broker, expected) in cases {
        let mut office = Office::with_brokers(4);
        office.create("t", 1, replicas, &[("min.insync.replicas", min_isr)]);
        fenced.iter().for_each(|id| office.fence(*id));
        let case = format!("{replicas:?} {min_isr} {fenced:?} {broker}");
        assert_eq!(check(&mut office, broker) == 0, expected, "{case}");
        let granted = drain(&mut office, 0, broker, 1000);
        let refused = Rejection::RestartRefused { broker: BrokerId(broker), partitions: 1 };
        assert_eq!(granted, if expected { Ok(Response::Drained) } else { Err(refused) }, "{case}");
    }
}

#[test]
fn a_partition_is_unhealthy_without_a_leader_or_with_too_few_in_sync() {
    let mut office = Office::with_brokers(3);
    office.create("alone", 1, &[3], &[("min.insync.replicas", "2")]);
    office.create("strict", 2, &[1, 2, 3], &[("min.insync.replicas", "2")]);
    office.create("usual", 3, &[1, 2, 3], &[]);
    let fixed = |min_isr: &str| [("min.insync.replicas".to_owned(), min_isr.to_owned())].into();
    let health = |office: &Office, min_isr: &str| {
        let PartitionHealth { total, offline, under_min_isr } =
            office.controller.image().partition_health(&fixed(min_isr));
        (total, offline, under_min_isr)
    };
    assert_eq!(health(&office, "1"), (3, 0, 0), "one replica needs no other");
    office.fence(3);
    assert_eq!(health(&office, "1"), (3, 1, 0));
    assert_eq!(health(&office, "3"), (3, 1, 1), "what stands in broker.yaml is inherited");
    office.fence(2);
    assert_eq!(health(&office, "1"), (3, 1, 1));
}

fn beat_all(office: &mut Office, ms: u64) {
    for id in 1..=3 {
        office.beat(at(ms), id);
    }
}

fn catch_up(office: &mut Office, isr: &[i32]) {
    let leader = office.seen("t").0;
    let wanted = office.alteration("t", isr);
    propose(office, leader, wanted).unwrap();
}

#[test]
fn leadership_goes_first_and_comes_back_with_the_broker() {
    let mut office = Office::with_brokers(3);
    office.create("t", 1, &[1, 2, 3], &[("min.insync.replicas", "2")]);
    assert_eq!(drain(&mut office, 0, 1, 60_000), Ok(Response::Drained));
    assert_eq!(office.seen("t"), (2, vec![1, 2, 3], vec![]));
    // Nobody gives it back meanwhile, and nobody else may go.
    beat_all(&mut office, 1_500);
    office.run(at(1_500), Command::Tick).unwrap();
    assert_eq!(office.seen("t").0, 2);
    assert_eq!(drain(&mut office, 1_500, 2, 1), Err(Rejection::AnotherIsDrained { broker: BrokerId(1) }));
    assert_eq!(drain(&mut office, 1_500, 1, 60_000), Ok(Response::Drained), "again is the same");
    // It restarts.
    office.fence(1);
    office.join(at(2_000), 1, 9);
    assert_eq!(office.controller.image().drain_grant(), None);
    catch_up(&mut office, &[1, 2, 3]);
    for ms in (3_000..=12_000).step_by(1_000) {
        beat_all(&mut office, ms);
        office.run(at(ms), Command::Tick).unwrap();
        assert_eq!(office.seen("t").0, if ms < 12_000 { 2 } else { 1 }, "at {ms}");
    }
}

#[test]
fn a_grant_lapses() {
    let mut office = Office::with_brokers(3);
    office.create("t", 1, &[1, 2, 3], &[("min.insync.replicas", "2")]);
    (1_000..=20_000).step_by(1_000).for_each(|ms| beat_all(&mut office, ms));
    drain(&mut office, 20_000, 1, 5_000).unwrap();
    for ms in (21_000..=27_000).step_by(1_000) {
        beat_all(&mut office, ms);
        let due = office.controller.next_deadline();
        assert!(ms > 25_000 || due.is_some_and(|due| due <= at(ms).monotonic), "{ms}");
        office.run(at(ms), Command::Tick).unwrap();
        // It was there all the time, and need not wait.
        assert_eq!(office.seen("t").0, if ms < 25_000 { 2 } else { 1 }, "at {ms}");
    }
    assert_eq!(office.controller.image().drain_grant(), None);
    let unknown = Rejection::BrokerIdNotRegistered { broker: BrokerId(9) };
    assert_eq!(drain(&mut office, 27_000, 9, 1), Err(unknown));
    assert_eq!(unknown.code(), ErrorCode::BrokerIdNotRegistered);
}
