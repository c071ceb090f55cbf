//! The task behind the metadata controller: decides on a draft, proposes what it decided, and answers when that is
//! committed. Commands that come together are proposed together and share an fsync.

use futures::future::join_all;
use metadata::{Command, Controller, ControllerDefaults, MetadataRecord, Response};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Decision, Shard};

use super::SubmitError;
use super::raft::{Proposal, Raft, VoterId};
use super::state_machine::Committed;
use crate::seams::Wall;

/// Commands that are decided on before the first of them is committed.
const COMMANDS_A_ROUND_MAX: usize = 64;

/// A command and who waits for it. The answer comes with the end of the log that holds what was decided.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<(Response, u64), SubmitError>>,
}

/// Runs as long as somebody can submit.
pub(super) async fn run(
    raft: Raft,
    voter: VoterId,
    defaults: ControllerDefaults,
    wall: Wall,
    committed: watch::Receiver<Committed>,
    mut waiting: mpsc::Receiver<Submission>,
) {
    let mut submissions = Vec::with_capacity(COMMANDS_A_ROUND_MAX);
    while waiting.recv_many(&mut submissions, COMMANDS_A_ROUND_MAX).await > 0 {
        let leads = match lead(&raft, voter).await {
            true => Some(committed.borrow().clone()),
            false => None,
        };
        let Some(base) = leads else {
            for submission in submissions.drain(..) {
                submission.answer.send(Err(SubmitError::NoController)).ok();
            }
            continue;
        };
        // The draft starts from the committed image of the round, because the round before it has been waited for.
        let draft = Controller::new((*base.image).clone(), defaults.clone());
        round(&raft, draft, base.end, wall, submissions.drain(..)).await;
    }
}

/// Whether this node is the active controller: it leads, and has applied all that was in the log when it took office.
async fn lead(raft: &Raft, voter: VoterId) -> bool {
    let is_leader = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.state == ServerState::Leader && metrics.current_leader == Some(voter)
    };
    is_leader && raft.ensure_linearizable(openraft::raft::ReadPolicy::ReadIndex).await.is_ok()
}

async fn round(
    raft: &Raft,
    mut draft: Controller,
    base_end: u64,
    wall: Wall,
    submissions: impl Iterator<Item = Submission>,
) {
    let mut rounds = Vec::new();
    for Submission { command, answer } in submissions {
        match draft.decide(wall.now(), command) {
            Err(rejection) => {
                answer.send(Err(rejection.into())).ok();
            }
            Ok(Decision { records, response }) => {
                records.iter().for_each(|record| draft.apply(record));
                rounds.push((records, response, answer));
            }
        }
    }
    let proposals = rounds.iter_mut().map(|(records, _, _)| propose(raft, std::mem::take(records), base_end));
    let mut results = join_all(proposals).await;
    // What follows a failed proposal was decided on a draft that never came true.
    if let Some(failed) = results.iter().position(Result::is_err) {
        results[failed..].iter_mut().for_each(|result| *result = Err(SubmitError::NoController));
    }
    let last_end = results.iter().flatten().copied().max().unwrap_or(base_end);
    for ((_, response, answer), result) in rounds.into_iter().zip(results) {
        // An answer that changes nothing may have seen what its neighbours changed: it waits for all of them.
        answer.send(result.map(|end| (response, if end == base_end { last_end } else { end }))).ok();
    }
}

/// Commits records and gives the end of the log after them.
async fn propose(raft: &Raft, records: Vec<MetadataRecord>, base_end: u64) -> Result<u64, SubmitError> {
    if records.is_empty() {
        return Ok(base_end);
    }
    match raft.client_write(Proposal(records)).await {
        Ok(written) => Ok(written.log_id.index + 1),
        Err(error) => {
            tracing::warn!(%error, "a change of metadata was not committed");
            Err(SubmitError::NoController)
        }
    }
}
