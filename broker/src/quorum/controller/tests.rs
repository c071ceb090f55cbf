//! Rounds of the controller against a raft that a test holds in its hands.

use std::sync::Arc;

use metadata::{Command, ConfigChange, ConfigOperation, ConfigTarget, Controller, ControllerDefaults};
use storage::fake::FakeDisk;
use tokio::sync::oneshot;

use super::{QuorumFacts, Round, Submission, office};
use crate::quorum::SubmitError;
use crate::quorum::raft::CommittedLeaderId;
use crate::quorum::tests::{Quorum, start_on};
use crate::seams::Wall;

/// A command that writes something, each time another thing.
fn change(value: &str) -> Command {
    let operations = vec![("log.retention.ms".to_owned(), ConfigOperation::Set(value.to_owned()))];
    let change = ConfigChange { resource: ConfigTarget::Cluster, operations, replaces: false };
    Command::AlterConfigs { changes: vec![change], validate_only: false }
}

async fn quorum() -> Quorum {
    let quorum = start_on(Arc::new(FakeDisk::new(1)), "/data".as_ref()).await;
    quorum.found().await;
    quorum
}

/// The office that the quorum's controller holds.
async fn current(quorum: &Quorum) -> CommittedLeaderId {
    office(quorum.raft(), quorum.voter()).await.expect("it leads")
}

/// One that was held before it.
async fn former(quorum: &Quorum) -> CommittedLeaderId {
    CommittedLeaderId::new(current(quorum).await.term - 1)
}

/// To be called when the office is held: by then what was committed before is applied.
fn controller(quorum: &Quorum) -> (Controller, u64) {
    let defaults =
        ControllerDefaults { num_partitions: 1, replication_factor: 1, fixed: config::Overrides::new() };
    let committed = quorum.quorum.handle().committed().borrow().clone();
    (Controller::new((*committed.image).clone(), defaults), committed.end)
}

#[tokio::test]
async fn what_was_decided_in_a_former_term_is_not_committed() {
    let quorum = quorum().await;
    let former = former(&quorum).await;
    let raft = quorum.raft();
    let (mut draft, base_end) = controller(&quorum);
    let (answer, answered) = oneshot::channel();
    let submission = Submission { command: change("1000"), answer };
    let round = Round { raft, facts: &QuorumFacts::default(), office: former, base_end, wall: Wall::real() };
    round.run(&mut draft, [submission].into_iter()).await;
    assert_eq!(answered.await.unwrap(), Err(SubmitError::Unknown));
    let before = quorum.image();

    let (mut draft, base_end) = controller(&quorum);
    let (answer, answered) = oneshot::channel();
    let submission = Submission { command: change("2000"), answer };
    Round {
        raft,
        facts: &QuorumFacts::default(),
        office: current(&quorum).await,
        base_end,
        wall: Wall::real(),
    }
    .run(&mut draft, [submission].into_iter())
    .await;
    let (_, end) = answered.await.unwrap().expect("in its own term it is committed");
    assert_eq!(end, base_end + 1, "nothing else got into the log");
    assert_ne!(quorum.quorum.handle().committed().borrow().image, before);
    quorum.abandon().await;
}

#[tokio::test]
async fn an_answer_waits_for_what_it_saw() {
    let quorum = quorum().await;
    let raft = quorum.raft();
    let office = current(&quorum).await;
    let (mut draft, base_end) = controller(&quorum);
    let commands = [change("1000"), change("1000"), change("2000")];
    let (submissions, answers): (Vec<_>, Vec<_>) = commands
        .into_iter()
        .map(|command| {
            let (answer, answered) = oneshot::channel();
            (Submission { command, answer }, answered)
        })
        .unzip();
    Round { raft, facts: &QuorumFacts::default(), office, base_end, wall: Wall::real() }
        .run(&mut draft, submissions.into_iter())
        .await;
    let mut ends = Vec::new();
    for answer in answers {
        ends.push(answer.await.unwrap().unwrap().1 - base_end);
    }
    assert_eq!(ends, [1, 1, 2], "the second changes nothing, and has seen the first");
    quorum.abandon().await;
}

#[tokio::test]
async fn a_refusal_is_void_when_what_it_saw_was_not_committed() {
    let quorum = quorum().await;
    let former = former(&quorum).await;
    let raft = quorum.raft();
    let (mut draft, base_end) = controller(&quorum);
    let registration = metadata::BrokerRegistration {
        broker: types::BrokerId(0),
        incarnation: types::Uuid::from_random([3; 16]),
        ..metadata::BrokerRegistration::default()
    };
    let stale = Command::UnfenceBroker { broker: types::BrokerId(0), epoch: types::BrokerEpoch(-7) };
    let (first, _) = oneshot::channel();
    let (second, refused) = oneshot::channel();
    let submissions = [
        Submission { command: Command::RegisterBroker(registration), answer: first },
        Submission { command: stale, answer: second },
    ];
    Round { raft, facts: &QuorumFacts::default(), office: former, base_end, wall: Wall::real() }
        .run(&mut draft, submissions.into_iter())
        .await;
    assert_eq!(refused.await.unwrap(), Err(SubmitError::Unknown), "not that its epoch is stale");
    quorum.abandon().await;
}
