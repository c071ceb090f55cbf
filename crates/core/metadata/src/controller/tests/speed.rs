//! What decisions cost with very many partitions: nothing may grow with the square of them.

use std::time::{Duration, Instant};

use types::{BrokerId, Shard, TopicId, Uuid};

use super::super::{Command, NewTopic, Response};
use super::brokers::{Office, at};

/// Generous: the bounds are for a busy machine and a build that is not optimized. A square would take minutes.
const SLOW: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "it measures the machine, and decides nothing by it")]
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = run();
    let took = started.elapsed();
    assert!(took < SLOW, "{what} took {took:?}");
    result
}

#[test]
fn ten_thousand_partitions_are_no_burden() {
    for (topics, partitions) in [(10u16, 1000), (10_000, 1)] {
        let mut office = Office::with_brokers(3);
        let new = |index: u16| NewTopic {
            name: format!("t{index}"),
            id: {
                let mut id = [1; 16];
                id[..2].copy_from_slice(&index.to_be_bytes());
                TopicId(Uuid::from_random(id))
            },
            partitions,
            replication_factor: 3,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        timed("create", || {
            for first in (0..topics).step_by(usize::from(topics.min(500))) {
                let topics = (first..topics.min(first + 500)).map(new).collect();
                let created = office.run(at(0), Command::CreateTopics { topics, validate_only: false });
                let Ok(Response::CreatedTopics(created)) = created else { panic!("{created:?}") };
                assert!(created.iter().all(Result::is_ok), "{:?}", created[0]);
            }
        });
        let all: usize = office.controller.image().topics().map(|topic| topic.partitions.len()).sum();
        assert_eq!(all, 10_000);
        timed("deadline", || office.controller.next_deadline());
        timed("heartbeat", || office.beat(at(1), 1));
        timed("fence", || office.fence(1));
        timed("unfence", || office.beat(at(2), 1));
        timed("tick", || office.run(at(3), Command::Tick).unwrap());
        timed("all elections", || {
            let partitions = None;
            let election = super::super::ElectionType::Preferred;
            office.run(at(4), Command::ElectLeaders { election, partitions }).unwrap()
        });
        timed("restart check", || {
            office.run(at(5), Command::CheckRestarts { brokers: vec![BrokerId(2)] }).unwrap()
        });
        timed("drain", || office.run(at(5), Command::Drain { broker: BrokerId(2), ttl_ms: 1 }).unwrap());
        office.join(at(6), 4, 1);
        timed("begin to spread", || {
            office.run(at(7), Command::Rebalance { bytes_per_second: None }).unwrap();
            office.run(at(300), Command::Tick).unwrap()
        });
        assert_eq!(office.controller.image().reassigning().count(), 50);
        timed("progress", || office.controller.image().rebalance_progress());
    }
}
