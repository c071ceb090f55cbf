//! One fetch session (KIP-227): the partitions that a consumer or follower is interested in, so that a request names
//! only what changed and a response holds only what is new.

use std::sync::Arc;

use types::{ErrorCode, LeaderEpoch, Monotonic, Offset, PartitionId, TopicId};

/// A topic as the request names it: by id from Fetch v13 on, by name before. One session does not mix them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionTopic {
    /// Fetch v13 and later.
    Id(TopicId),
    /// Before v13.
    Name(Arc<str>),
}

/// A partition of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionPartition {
    /// Its topic.
    pub topic: SessionTopic,
    /// Its index.
    pub partition: PartitionId,
}

/// What a request asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    /// Where to read from.
    pub fetch_offset: Offset,
    /// The requester's own log start, when it is a follower; -1 from consumers.
    pub log_start: Offset,
    /// At most so many bytes, the first batch excepted.
    pub max_bytes: i32,
    /// The leader epoch that the requester knows of; -1 if none.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the requester has; -1 if none.
    pub last_fetched_epoch: LeaderEpoch,
}

/// What the answer for one partition says, as far as a session must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionAnswer {
    /// Its error.
    pub error: ErrorCode,
    /// Whether there are records in it.
    pub has_records: bool,
    /// Whether it carries something that a requester has to hear each time: a preferred replica or a diverging epoch.
    pub is_notable: bool,
    /// The high watermark in it.
    pub high_watermark: Offset,
    /// The log start offset in it.
    pub log_start: Offset,
}

/// How one fetch request is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchContext {
    /// Serve what the request names, answer everything; there is no session.
    Sessionless,
    /// Serve what the request names, answer everything; a session with this id was made.
    Full {
        /// The new session.
        session_id: i32,
    },
    /// Serve the session's partitions, answer what [`crate::FetchSessions::answer`] selects.
    Incremental {
        /// The session.
        session_id: i32,
        /// What it holds, in the order in which to serve it: those that got records last come last.
        partitions: Vec<(SessionPartition, PartitionRequest)>,
    },
}

impl FetchContext {
    /// The session id for the response; 0 means none.
    pub fn session_id(&self) -> i32 {
        match self {
            FetchContext::Sessionless => 0,
            FetchContext::Full { session_id } | FetchContext::Incremental { session_id, .. } => *session_id,
        }
    }
}

/// A partition as the session remembers it.
#[derive(Clone, Debug)]
struct Cached {
    key: SessionPartition,
    request: PartitionRequest,
    /// What the requester was last told; -1 before the first answer.
    high_watermark: Offset,
    log_start: Offset,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct FetchSession {
    /// The epoch that the next request has to carry.
    pub(crate) epoch: i32,
    pub(crate) is_privileged: bool,
    pub(crate) created: Monotonic,
    pub(crate) last_used: Monotonic,
    uses_topic_ids: bool,
    partitions: Vec<Cached>,
}

impl FetchSession {
    pub(crate) fn new(
        now: Monotonic,
        is_privileged: bool,
        uses_topic_ids: bool,
        partitions: impl IntoIterator<Item = (SessionPartition, PartitionRequest)>,
    ) -> FetchSession {
        let mut session = FetchSession {
            epoch: 1,
            is_privileged,
            created: now,
            last_used: now,
            uses_topic_ids,
            partitions: Vec::new(),
        };
        session.update(partitions, &[]);
        session
    }

    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Whether a request that names topics in this way belongs to the session.
    pub(crate) fn accepts(&self, uses_topic_ids: bool) -> bool {
        self.uses_topic_ids == uses_topic_ids
    }

    /// Adds, changes and forgets partitions.
    pub(crate) fn update(
        &mut self,
        wanted: impl IntoIterator<Item = (SessionPartition, PartitionRequest)>,
        forgotten: &[SessionPartition],
    ) {
        // Positions by key, made only when the request changes something: an idle consumer's request does not.
        let mut wanted = wanted.into_iter().peekable();
        if wanted.peek().is_some() {
            let mut positions: std::collections::BTreeMap<_, _> =
                self.partitions.iter().enumerate().map(|(i, cached)| (cached.key.clone(), i)).collect();
            for (key, request) in wanted {
                if let Some(&position) = positions.get(&key) {
                    self.partitions[position].asked_again(request);
                    continue;
                }
                positions.insert(key.clone(), self.partitions.len());
                self.partitions.push(Cached {
                    key,
                    request,
                    high_watermark: Offset(-1),
                    log_start: Offset(-1),
                });
            }
        }
        if !forgotten.is_empty() {
            let forgotten: std::collections::BTreeSet<_> = forgotten.iter().collect();
            self.partitions.retain(|cached| !forgotten.contains(&cached.key));
        }
    }

    /// What to serve, in order.
    pub(crate) fn requests(&self) -> Vec<(SessionPartition, PartitionRequest)> {
        self.partitions.iter().map(|cached| (cached.key.clone(), cached.request)).collect()
    }

    /// Takes note of the answers and says which of them the response holds. `answers` are those of
    /// [`FetchSession::requests`], by key; a partition that left the session meanwhile is not answered.
    pub(crate) fn answer(
        &mut self,
        answers: &[(SessionPartition, PartitionAnswer)],
        is_full: bool,
    ) -> Vec<bool> {
        let mut positions: std::collections::BTreeMap<_, _> =
            self.partitions.iter().enumerate().map(|(i, cached)| (cached.key.clone(), i)).collect();
        let mut served = vec![false; self.partitions.len()];
        let selected = answers
            .iter()
            .map(|(key, answer)| {
                let Some(position) = positions.remove(key) else { return is_full };
                let cached = &mut self.partitions[position];
                let is_new = cached.take_note(answer);
                served[position] = answer.has_records;
                is_full || is_new
            })
            .collect();
        self.rotate(&served);
        selected
    }

    /// Partitions that got records go to the end, so that a response that is cut at its size limit starts with the
    /// others next time.
    fn rotate(&mut self, served: &[bool]) {
        if served.iter().all(|&s| s == served[0]) {
            return;
        }
        let mut index = 0;
        let (last, first): (Vec<_>, Vec<_>) = self.partitions.drain(..).partition(|_| {
            index += 1;
            served[index - 1]
        });
        self.partitions = first;
        self.partitions.extend(last);
    }
}

impl Cached {
    fn asked_again(&mut self, request: PartitionRequest) {
        if request.current_leader_epoch != self.request.current_leader_epoch {
            // What was on its way to a follower of the epoch before was not taken in.
            self.high_watermark = Offset(-1);
        }
        self.request = request;
    }

    /// Whether the answer says something that the requester does not know.
    fn take_note(&mut self, answer: &PartitionAnswer) -> bool {
        let is_new = answer.has_records
            || answer.is_notable
            || !answer.error.is_none()
            || answer.high_watermark != self.high_watermark
            || answer.log_start != self.log_start
            || self.is_behind(answer.log_start);
        self.high_watermark = answer.high_watermark;
        self.log_start = answer.log_start;
        if !answer.error.is_none() || answer.is_notable {
            // The next good answer is news again, whatever it holds: this one is heard for something else.
            self.high_watermark = Offset(-1);
        }
        is_new
    }

    /// A follower that still says it begins earlier was told in vain: it had other things to do, or too few records to
    /// begin there.
    fn is_behind(&self, log_start: Offset) -> bool {
        self.request.log_start >= Offset(0) && self.request.log_start < log_start
    }
}
