//! The follower's side of a fetch session (KIP-227): what a request has to name, given what the leader remembers.

use std::collections::BTreeMap;

use protocol::messages::FetchRequest;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use replication::Fetch;
use types::{ErrorCode, TopicId, TopicPartition};

/// A session with one leader, or none yet.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    /// What the next request carries; 0 asks for a new session.
    epoch: i32,
    /// What the leader remembers.
    known: BTreeMap<TopicPartition, FetchPartition>,
}

impl FetchSession {
    /// Puts into `request` what is wanted now. What is no longer wanted is forgotten: the leader would count a partition
    /// that stays in the session as fetched.
    pub(super) fn fill(
        &mut self,
        request: &mut FetchRequest,
        wanted: &[(TopicPartition, Fetch)],
        bytes_max: i32,
    ) {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(id, fetch)| (*id, partition(*id, fetch, bytes_max))).collect();
        let is_full = self.epoch == 0;
        for (id, partition) in &wanted {
            if is_full || self.known.get(id) != Some(partition) {
                topic(&mut request.topics, id.topic).partitions.push(partition.clone());
            }
        }
        for id in self.known.keys().filter(|id| !is_full && !wanted.contains_key(id)) {
            forgotten(&mut request.forgotten_topics_data, id.topic).partitions.push(id.partition.0);
        }
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        self.known = wanted;
    }

    /// Begins again after a request whose answer never came. The leader may drop what it remembers.
    pub(super) fn restart(&mut self) {
        *self = FetchSession { id: self.id, ..FetchSession::default() };
    }

    /// Takes in the answer's header; after an error the next request begins a new session.
    pub(super) fn answered(&mut self, session_id: i32, error_code: i16) {
        if error_code != ErrorCode::None.code() || session_id == 0 {
            *self = FetchSession::default();
            return;
        }
        self.id = session_id;
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }
}

fn partition(id: TopicPartition, fetch: &Fetch, bytes_max: i32) -> FetchPartition {
    FetchPartition {
        partition: id.partition.0,
        current_leader_epoch: fetch.leader_epoch.0,
        fetch_offset: fetch.fetch_offset.0,
        last_fetched_epoch: fetch.last_fetched_epoch.0,
        log_start_offset: fetch.log_start.0,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    }
}

fn topic(topics: &mut Vec<FetchTopic>, id: TopicId) -> &mut FetchTopic {
    if topics.last().is_none_or(|last| last.topic_id != id.0) {
        topics.push(FetchTopic { topic_id: id.0, ..FetchTopic::default() });
    }
    topics.last_mut().expect("there is one now")
}

fn forgotten(topics: &mut Vec<ForgottenTopic>, id: TopicId) -> &mut ForgottenTopic {
    if topics.last().is_none_or(|last| last.topic_id != id.0) {
        topics.push(ForgottenTopic { topic_id: id.0, ..ForgottenTopic::default() });
    }
    topics.last_mut().expect("there is one now")
}

#[cfg(test)]
mod tests {
    use replication::FetchId;
    use types::{BrokerId, LeaderEpoch, Offset, PartitionId, Uuid};

    use super::*;

    fn wanted(partition: i32, offset: i64) -> (TopicPartition, Fetch) {
        let id = TopicPartition { topic: TopicId(Uuid([1; 16])), partition: PartitionId(partition) };
        let fetch = Fetch {
            id: FetchId(0),
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(1),
            fetch_offset: Offset(offset),
            last_fetched_epoch: LeaderEpoch(1),
            log_start: Offset(0),
        };
        (id, fetch)
    }

    /// Session, epoch, what is named and what is forgotten.
    fn ask(session: &mut FetchSession, wanted: &[(TopicPartition, Fetch)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let mut request = FetchRequest::default();
        session.fill(&mut request, wanted, 100);
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone());
        (
            request.session_id,
            request.session_epoch,
            named.map(|partition| partition.partition).collect(),
            forgotten.collect(),
        )
    }

    #[test]
    fn only_what_changed_is_named() {
        let mut session = FetchSession::default();
        let both = [wanted(0, 5), wanted(1, 7)];
        assert_eq!(ask(&mut session, &both), (0, 0, vec![0, 1], vec![]));
        session.answered(9, 0);
        assert_eq!(ask(&mut session, &both), (9, 1, vec![], vec![]));
        session.answered(9, 0);
        assert_eq!(ask(&mut session, &[wanted(1, 8)]), (9, 2, vec![1], vec![0]));
        session.answered(9, 0);
        assert_eq!(ask(&mut session, &both), (9, 3, vec![0, 1], vec![]));
        session.answered(0, ErrorCode::FetchSessionIdNotFound.code());
        assert_eq!(ask(&mut session, &both), (0, 0, vec![0, 1], vec![]), "a new session");
        session.answered(0, 0);
        assert_eq!(ask(&mut session, &both), (0, 0, vec![0, 1], vec![]), "the leader has no slot for one");
        session.answered(5, 0);
        session.restart();
        assert_eq!(ask(&mut session, &both), (5, 0, vec![0, 1], vec![]), "another in its place");
    }
}
