//! A produce request is answered, whatever happens to `flush.messages` while it waits for its fsync: the node's own tasks do
//! the work, on real threads and a real disk.

use std::time::Duration;

use futures::future::join_all;
use metadata::{Command, ConfigChange, ConfigOperation, ConfigTarget, Response};
use tokio::time::{Instant, timeout};

use super::Harness;
use super::log::{NOW_MS, batch, produce};

const TOPICS: [&str; 6] = ["t0", "t1", "t2", "t3", "t4", "t5"];
const PRODUCERS_A_TOPIC: usize = 3;
const RUN: Duration = Duration::from_secs(2);
/// Far beyond what an fsync takes.
const LOST_AFTER: Duration = Duration::from_secs(20);

async fn set_flush(harness: &Harness, topic: &str, messages: Option<&str>) {
    let operation = messages.map_or(ConfigOperation::Delete, |value| ConfigOperation::Set(value.to_owned()));
    let change = ConfigChange {
        resource: ConfigTarget::Topic(topic.to_owned()),
        operations: vec![("flush.messages".to_owned(), operation)],
        replaces: false,
    };
    let alter = Command::AlterConfigs { changes: vec![change], validate_only: false };
    let answer = harness.node.metadata().submit(alter).await.unwrap();
    assert_eq!(answer, Response::AlteredConfigs(vec![Ok(())]));
}

#[tokio::test]
async fn every_produce_is_answered_while_flushing_is_switched_on_and_off() {
    let harness = Harness::start().await;
    let mut topics = Vec::new();
    for name in TOPICS {
        topics.push((name, harness.create_topic(name, &[("flush.messages", "1")]).await));
    }
    let until = Instant::now() + RUN;
    let producers = topics.iter().flat_map(|topic| (0..PRODUCERS_A_TOPIC).map(move |_| *topic));
    let producers = producers.map(async |topic| {
        let mut answered = 0;
        while Instant::now() < until {
            let answer = timeout(LOST_AFTER, produce(&harness, 13, topic, batch(NOW_MS))).await;
            assert_eq!(answer.expect("an answer was lost").error_code, 0);
            answered += 1;
            // Without an fsync the answer is there at once: the node's tasks are to have their turn.
            tokio::task::yield_now().await;
        }
        answered
    });
    let switching = async {
        let mut rounds = 0;
        while Instant::now() < until {
            for (at, topic) in TOPICS.iter().enumerate() {
                let messages = [None, Some("1"), Some("3")][(rounds + at) % 3];
                set_flush(&harness, topic, messages).await;
            }
            rounds += 1;
        }
        rounds
    };
    let (answered, rounds) = tokio::join!(join_all(producers), switching);
    let answered: i64 = answered.into_iter().sum();
    assert!(rounds > 1 && answered > 100, "{answered} answers in {rounds} rounds");
    let there: i64 = harness.node.partitions.all().iter().map(|one| one.bounds().high_watermark.0).sum();
    assert_eq!(there, answered);
    harness.stop().await;
}
