//! Internal topics follow the number of brokers.

use types::{BrokerId, Shard};

use super::super::Command;
use super::brokers::{Office, at};
use super::isr::propose;

const OFFSETS: &str = "__consumer_offsets";

fn tick(office: &mut Office, ms: u64, brokers: i32) {
    for id in 1..=brokers {
        office.beat(at(ms), id);
    }
    office.run(at(ms), Command::Tick).unwrap();
}

fn replicas(office: &Office) -> usize {
    office.partition(OFFSETS).replicas.len()
}

fn catch_up(office: &mut Office) {
    let isr: Vec<i32> = office.partition(OFFSETS).replicas.iter().map(|id| id.0).collect();
    let leader = office.seen(OFFSETS).0;
    let wanted = office.alteration(OFFSETS, &isr);
    propose(office, leader, wanted).unwrap();
}

#[test]
fn offsets_get_up_to_three_replicas_as_brokers_join() {
    let mut office = Office::with_brokers(1);
    office.create(OFFSETS, 1, &[1], &[]);
    office.create("t", 2, &[1], &[]);
    tick(&mut office, 1_000, 1);
    assert_eq!(replicas(&office), 1, "there is nobody else");
    for (count, id) in [(2, 2), (3, 3), (3, 4)] {
        let ms = 2_000 * u64::try_from(id).unwrap();
        office.join(at(ms), id, 1);
        let due = office.controller.next_deadline();
        tick(&mut office, ms + 1_000, id);
        assert_eq!(replicas(&office), count, "with broker {id}");
        if office.partition(OFFSETS).is_reassigning() {
            assert!(due.is_some_and(|due| due <= at(ms + 1_000).monotonic));
            catch_up(&mut office);
        }
        assert!(!office.partition(OFFSETS).is_reassigning());
    }
    assert_eq!(office.partition("t").replicas.len(), 1, "others are their owner's business");
    assert_eq!(office.partition(OFFSETS).replicas[0], BrokerId(1));
}
