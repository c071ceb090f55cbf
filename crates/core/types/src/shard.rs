//! The shape of everything that is replicated by records: the metadata controller, a group, a transaction.

use crate::{Monotonic, Now};

/// A replicated state machine whose state changes only by applying records.
///
/// The leader holds a draft (decide, apply at once, propose) and the committed copy (applied after the commit, read by
/// everybody); a response waits for its commit. On a failed write or lost leadership the draft is rebuilt from the
/// committed copy. The log carries records, not commands: an old and a new release may decide differently during a
/// rolling upgrade, but they apply the same records alike.
pub trait Shard {
    /// What somebody asks for.
    type Command;
    /// A change of the state, as the log carries it.
    type Record;
    /// What the asker is told once the records are committed.
    type Response;
    /// Why a command is refused; a refusal changes nothing.
    type Rejection;

    /// What a command would change. Reads the state, never changes it.
    fn decide(
        &self,
        now: Now,
        command: Self::Command,
    ) -> Result<Decision<Self::Record, Self::Response>, Self::Rejection>;

    /// Takes one record in. Deterministic: no clock, no randomness, no release-dependent choice.
    fn apply(&mut self, record: &Self::Record);

    /// When the next timeout is due; it comes back as a command.
    fn next_deadline(&self) -> Option<Monotonic>;
}

/// What a command led to: records, which are committed together or not at all, and the answer that goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<Record, Response> {
    /// In the order in which they apply.
    pub records: Vec<Record>,
    /// For the asker, after the commit.
    pub response: Response,
}

impl<Record, Response> Decision<Record, Response> {
    /// An answer that changes nothing; it still waits for what it read to be committed.
    pub fn unchanged(response: Response) -> Self {
        Decision { records: Vec::new(), response }
    }
}
