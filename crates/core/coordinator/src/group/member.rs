//! A member of a group.

use std::time::Duration;

use bytes::Bytes;
use types::Monotonic;

use super::{JoinGroup, StoredMember, WaiterId};

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    /// The assignors that it knows, the preferred first, with its subscription.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// When it counts as gone, unless it is heard of. A member that waits for us cannot be late.
    pub(super) session_deadline: Option<Monotonic>,
    pub(super) awaiting_join: Option<WaiterId>,
    pub(super) awaiting_sync: Option<WaiterId>,
}

impl Member {
    pub(super) fn new(id: &str, join: &JoinGroup) -> Member {
        Member {
            id: id.to_owned(),
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            rebalance_timeout: millis(join.rebalance_timeout_ms),
            session_timeout: millis(join.session_timeout_ms),
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            session_deadline: None,
            awaiting_join: None,
            awaiting_sync: None,
        }
    }

    /// As the log has it. Its other protocols are not stored: it brings them again when it rejoins.
    pub(super) fn from_stored(stored: StoredMember, protocol: Option<&str>) -> Member {
        Member {
            id: stored.id,
            instance_id: stored.instance_id,
            client_id: stored.client_id,
            client_host: stored.client_host,
            rebalance_timeout: millis(stored.rebalance_timeout_ms),
            session_timeout: millis(stored.session_timeout_ms),
            protocols: protocol.map(|name| (name.to_owned(), stored.subscription)).into_iter().collect(),
            assignment: stored.assignment,
            session_deadline: None,
            awaiting_join: None,
            awaiting_sync: None,
        }
    }

    pub(super) fn to_stored(&self, protocol: Option<&str>, assignment: Bytes) -> StoredMember {
        let as_ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        StoredMember {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: as_ms(self.rebalance_timeout),
            session_timeout_ms: as_ms(self.session_timeout),
            subscription: self.subscription(protocol),
            assignment,
        }
    }

    /// What it told for a protocol.
    pub(super) fn subscription(&self, protocol: Option<&str>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        found.map(|(_, subscription)| subscription.clone()).unwrap_or_default()
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Takes what it says of itself when it rejoins.
    pub(super) fn update(&mut self, join: &JoinGroup) {
        self.client_id.clone_from(&join.client_id);
        self.client_host.clone_from(&join.client_host);
        self.rebalance_timeout = millis(join.rebalance_timeout_ms);
        self.session_timeout = millis(join.session_timeout_ms);
        self.protocols.clone_from(&join.protocols);
    }

    /// It was heard of.
    pub(super) fn touch(&mut self, now: Monotonic) {
        self.session_deadline = Some(now.plus(self.session_timeout));
    }
}

pub(super) fn millis(value: i32) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}
