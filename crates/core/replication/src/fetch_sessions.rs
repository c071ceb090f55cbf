//! The fetch sessions of one broker, in a bounded number of slots.

use std::collections::BTreeMap;
use std::time::Duration;

use types::{ErrorCode, Monotonic};

use crate::fetch_session::{FetchContext, FetchSession, PartitionAnswer, PartitionRequest, SessionPartition};

/// The epoch of a request that wants a session.
const EPOCH_INITIAL: i32 = 0;
/// The epoch of a request that wants none, or no longer.
const EPOCH_FINAL: i32 = -1;

/// How many sessions there are, and when one may be thrown out for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// `max.incremental.fetch.session.cache.slots`.
    pub slots_max: usize,
    /// A session that was not used for so long makes room for any other (Kafka: two minutes).
    pub eviction_after: Duration,
}

/// The session part of a fetch request.
#[derive(Debug)]
pub struct FetchSessionRequest {
    /// `session_id`; 0 if none.
    pub session_id: i32,
    /// `session_epoch`.
    pub epoch: i32,
    /// Whether topics come by id (Fetch v13 and later).
    pub uses_topic_ids: bool,
    /// Whether a follower asks: its session is not thrown out for a consumer's.
    pub is_follower: bool,
    /// The partitions that the request names.
    pub partitions: Vec<(SessionPartition, PartitionRequest)>,
    /// The partitions that leave the session.
    pub forgotten: Vec<SessionPartition>,
    /// The id for a session that this request makes: random and positive. This crate has no randomness.
    pub fresh_id: i32,
}

/// All fetch sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    config: SessionConfig,
    sessions: BTreeMap<i32, FetchSession>,
}

impl FetchSessions {
    /// No session yet.
    pub fn new(config: SessionConfig) -> FetchSessions {
        FetchSessions { config, sessions: BTreeMap::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many partitions all of them hold.
    pub fn partition_count(&self) -> usize {
        self.sessions.values().map(FetchSession::len).sum()
    }

    /// Finds or makes the session of a request. The error is for the whole response.
    pub fn open(&mut self, now: Monotonic, request: &FetchSessionRequest) -> Result<FetchContext, ErrorCode> {
        match request.epoch {
            EPOCH_FINAL => {
                self.sessions.remove(&request.session_id);
                Ok(FetchContext::Sessionless)
            }
            EPOCH_INITIAL => {
                self.sessions.remove(&request.session_id);
                Ok(self.create(now, request))
            }
            _ => self.resume(now, request),
        }
    }

    /// Takes note of the answers and says, for each, whether the response holds it.
    pub fn answer(
        &mut self,
        context: &FetchContext,
        answers: &[(SessionPartition, PartitionAnswer)],
    ) -> Vec<bool> {
        let (id, is_full) = match context {
            FetchContext::Sessionless => return vec![true; answers.len()],
            FetchContext::Full { session_id } => (session_id, true),
            FetchContext::Incremental { session_id, .. } => (session_id, false),
        };
        match self.sessions.get_mut(id) {
            Some(session) => session.answer(answers, is_full),
            // Closed or thrown out while the request waited: the requester learns everything, and then that.
            None => vec![true; answers.len()],
        }
    }

    fn create(&mut self, now: Monotonic, request: &FetchSessionRequest) -> FetchContext {
        if request.partitions.is_empty() || !self.make_room(now, request) {
            return FetchContext::Sessionless;
        }
        let mut session_id = request.fresh_id.max(1);
        while self.sessions.contains_key(&session_id) {
            session_id = session_id.checked_add(1).unwrap_or(1);
        }
        let partitions = request.partitions.iter().cloned();
        let session = FetchSession::new(now, request.is_follower, request.uses_topic_ids, partitions);
        self.sessions.insert(session_id, session);
        FetchContext::Full { session_id }
    }

    fn resume(&mut self, now: Monotonic, request: &FetchSessionRequest) -> Result<FetchContext, ErrorCode> {
        let id = request.session_id;
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if !session.accepts(request.uses_topic_ids) {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(request.partitions.iter().cloned(), &request.forgotten);
        if session.is_empty() {
            self.sessions.remove(&id);
            return Ok(FetchContext::Sessionless);
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.last_used = now;
        Ok(FetchContext::Incremental { session_id: id, partitions: session.requests() })
    }

    /// Whether there is a slot for a new session, if need be that of another: one that nobody uses any more, or, for
    /// a follower, a consumer's, or one that is smaller and has had its time.
    fn make_room(&mut self, now: Monotonic, request: &FetchSessionRequest) -> bool {
        if self.sessions.len() < self.config.slots_max {
            return true;
        }
        let is_stale = |session: &FetchSession| now.since(session.last_used) > self.config.eviction_after;
        let has_had_its_time =
            |session: &FetchSession| now.since(session.created) > self.config.eviction_after;
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
        let victim = match oldest {
            Some((id, session)) if is_stale(session) => Some(*id),
            _ => self
                .sessions
                .iter()
                .filter(|(_, session)| {
                    let outranks = request.is_follower && !session.is_privileged;
                    let is_peer = request.is_follower == session.is_privileged;
                    outranks
                        || (is_peer && has_had_its_time(session) && session.len() < request.partitions.len())
                })
                .min_by_key(|(_, session)| (session.is_privileged, session.len()))
                .map(|(id, _)| *id),
        };
        match victim {
            Some(id) => self.sessions.remove(&id).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
