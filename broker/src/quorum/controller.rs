//! The task behind the metadata controller: decides on a draft, proposes what it decided, and answers when that is
//! committed. Commands that come together are proposed together and share an fsync.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::{Command, Controller, ControllerDefaults, MetadataRecord, Response};
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use openraft::impls::ProgressResponder;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Decision, Shard};

use super::SubmitError;
use super::codec;
use super::facts::{self, QuorumFacts};
use super::probe::Prober;
use super::raft::{CommittedLeaderId, Proposal, Raft, VoterId};
use super::state_machine::Committed;
use super::voters;
use crate::seams::Wall;

/// Commands that are decided on before the first of them is committed.
const COMMANDS_A_ROUND_MAX: usize = 64;
/// What one command may write: an entry is held in memory several times, and sent to other voters in one piece.
const ENTRY_BYTES_MAX: usize = 8 << 20;

/// Between two attempts of a leader to take office.
const OFFICE_RETRY: Duration = Duration::from_millis(50);
/// A leader that nobody follows any more does not know it: it is not the active controller while it cannot tell.
const OFFICE_TIMEOUT: Duration = Duration::from_secs(1);

/// However much there is to do, time passes no faster than that for the controller.
const BETWEEN_TICKS_MIN: Duration = Duration::from_millis(50);

type Decided = Decision<MetadataRecord, Response>;

/// A command and who waits for it. The answer comes with the end of the log that holds what was decided.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<(Response, u64), SubmitError>>,
}

/// Hands a command to this node's controller, which carries it out if it is the active one.
pub(super) async fn submit_here(
    commands: &mpsc::Sender<Submission>,
    command: Command,
    timeout: Duration,
) -> Result<(Response, u64), SubmitError> {
    let (answer, answered) = oneshot::channel();
    commands.try_send(Submission { command, answer }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
        mpsc::error::TrySendError::Closed(_) => SubmitError::NoController,
    })?;
    match tokio::time::timeout(timeout, answered).await {
        Ok(Ok(outcome)) => outcome,
        // The task ended, or waits for a quorum that is not there.
        Ok(Err(_)) | Err(_) => Err(SubmitError::Unknown),
    }
}

/// What the active controller keeps as long as it is in office.
struct Active {
    office: CommittedLeaderId,
    controller: Controller,
}

/// The task: takes office when this node leads, carries out what comes, and lets time pass.
pub(super) struct Task {
    pub(super) raft: Raft,
    pub(super) voter: VoterId,
    pub(super) prober: Prober,
    pub(super) defaults: ControllerDefaults,
    pub(super) session_timeout: Duration,
    pub(super) wall: Wall,
    pub(super) facts: Arc<QuorumFacts>,
    pub(super) committed: watch::Receiver<Committed>,
    pub(super) waiting: mpsc::Receiver<Submission>,
}

impl Task {
    /// Runs as long as somebody can submit.
    pub(super) async fn run(mut self) {
        let mut active: Option<Active> = None;
        let mut leadership = self.raft.server_metrics();
        let mut submissions = Vec::with_capacity(COMMANDS_A_ROUND_MAX);
        let mut not_before = tokio::time::Instant::now();
        loop {
            let deadline = match &active {
                Some(Active { controller, .. }) => {
                    controller.next_deadline().map(|deadline| self.wall.instant(deadline).max(not_before))
                }
                // Nobody else would have it try again: those who speak to it may all be gone. What is watched here is known
                // before what taking office looks at.
                None => (leadership.borrow_watched().state == ServerState::Leader)
                    .then(|| tokio::time::Instant::now() + OFFICE_RETRY),
            };
            tokio::select! {
                received = self.waiting.recv_many(&mut submissions, COMMANDS_A_ROUND_MAX) => {
                    if received == 0 {
                        return;
                    }
                }
                // A new leader counts from now on who is silent, whether or not somebody asks it for something.
                changed = leadership.changed() => if changed.is_err() { return },
                () = sleep_until(deadline) => {
                    not_before = tokio::time::Instant::now() + BETWEEN_TICKS_MIN;
                    submissions.push(Submission { command: Command::Tick, answer: oneshot::channel().0 });
                }
            }
            active = self.round(active, &mut submissions).await;
        }
    }

    /// Carries out what came. Gives up the office with the first failure: what was decided on the draft is void then.
    async fn round(&self, active: Option<Active>, submissions: &mut Vec<Submission>) -> Option<Active> {
        let Some(office) = office(&self.raft, self.voter).await else {
            for submission in submissions.drain(..) {
                submission.answer.send(Err(SubmitError::NoController)).ok();
            }
            return None;
        };
        // The draft starts from the committed image of the round, because the round before it has been waited for.
        let base = self.committed.borrow().clone();
        let image = (*base.image).clone();
        let mut controller = match active.filter(|active| active.office == office) {
            Some(mut active) => {
                active.controller.rebase(image);
                active.controller
            }
            None => {
                tracing::info!(term = office.term, "this node is the active controller");
                self.prober.probe_all();
                let finishing = voters::finish_change(self.raft.clone(), self.voter);
                let finishing = self.prober.stopping.clone().run_until_cancelled_owned(finishing);
                self.prober.tasks.spawn(finishing);
                let (now, defaults) = (self.wall.now(), self.defaults.clone());
                Controller::take_office(now, image, base.end, defaults, self.session_timeout)
            }
        };
        let (base_end, wall) = (base.end, self.wall);
        let round = Round { raft: &self.raft, facts: &self.facts, office, base_end, wall };
        let is_committed = round.run(&mut controller, submissions.drain(..)).await;
        is_committed.then_some(Active { office, controller })
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The term in which this node is the active controller: it leads, and has applied all that was in the log when it took
/// office.
async fn office(raft: &Raft, voter: VoterId) -> Option<CommittedLeaderId> {
    let term = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(voter);
        leads.then_some(metrics.current_term)?
    };
    let confirmed = raft.ensure_linearizable(openraft::raft::ReadPolicy::ReadIndex);
    tokio::time::timeout(OFFICE_TIMEOUT, confirmed).await.ok()?.ok()?;
    Some(CommittedLeaderId::new(term))
}

/// Commands that are decided on together, each on the draft that those before it led to.
struct Round<'a> {
    raft: &'a Raft,
    facts: &'a QuorumFacts,
    office: CommittedLeaderId,
    base_end: u64,
    wall: Wall,
}

/// Resolves to the end of the log behind what was proposed, once that is committed.
type Proposed = BoxFuture<'static, Result<u64, SubmitError>>;

impl Round<'_> {
    /// Whether all that was decided is committed, so that the draft is what came of it.
    async fn run(&self, draft: &mut Controller, submissions: impl Iterator<Item = Submission>) -> bool {
        let mut proposed = Vec::new();
        for Submission { command, answer } in submissions {
            draft.observe(self.wall.now(), &command);
            let (records, outcome) = match decide(draft, self.wall, command) {
                Ok(Decision { records, response }) => (records, Ok(response)),
                Err(error) => (Vec::new(), Err(error)),
            };
            let mut elections = Vec::new();
            for record in &records {
                elections.extend(facts::election(draft.image(), record));
                draft.apply(record);
            }
            proposed.push((self.propose(records).await, outcome, answer, elections));
        }
        let mut end = Ok(self.base_end);
        for (written, outcome, answer, elections) in proposed {
            // Also a refusal, and an answer that changes nothing, may have seen what was proposed before it: it waits for
            // that, and after a failure it is void, as the draft that it was decided on never came true.
            end = match (end, written.await) {
                (Ok(before), Ok(after)) => Ok(before.max(after)),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            if let (Ok(end), Ok(response)) = (&end, &outcome) {
                self.facts.count(&elections);
                draft.committed(self.wall.now(), response, *end);
            }
            answer.send(end.and_then(|end| Ok((outcome?, end)))).ok();
        }
        end.is_ok()
    }

    /// Hands records to raft, in the order of the calls. In a later term than that of the decision they are refused: others
    /// may have decided in between.
    async fn propose(&self, records: Vec<MetadataRecord>) -> Proposed {
        if records.is_empty() {
            return ready(Ok(self.base_end)).boxed();
        }
        let (responder, written) = ProgressResponder::complete_only();
        let write = self.raft.write(Proposal(records)).with_leader(self.office).responder(responder);
        let handed_over = write.await;
        let proposed = async move {
            handed_over.map_err(|error| not_committed(&error))?;
            match written.await {
                Ok(Ok(written)) => Ok(written.log_id.index + 1),
                Ok(Err(error)) => Err(not_committed(&error)),
                Err(error) => Err(not_committed(&error)),
            }
        };
        proposed.boxed()
    }
}

fn not_committed(error: &dyn fmt::Display) -> SubmitError {
    tracing::warn!(%error, "a change of metadata was not committed");
    SubmitError::Unknown
}

/// Decides, and refuses what would make an entry that the log cannot carry.
fn decide(draft: &Controller, wall: Wall, command: Command) -> Result<Decided, SubmitError> {
    let decision = draft.decide(wall.now(), command)?;
    match codec::encode_all(&decision.records) {
        Ok(bytes) if bytes.len() <= ENTRY_BYTES_MAX => Ok(decision),
        _ => Err(SubmitError::TooLarge),
    }
}

#[cfg(test)]
mod tests;
