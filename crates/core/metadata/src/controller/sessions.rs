//! Which brokers were heard of lately. Not replicated: a controller that takes office gives every live broker a full
//! session, as it cannot know when the one before it heard of them.

use std::collections::BTreeMap;
use std::time::Duration;

use types::{BrokerEpoch, BrokerId, Monotonic, Uuid};

use crate::Image;

/// What the active controller knows of its brokers' heartbeats.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    timeout: Duration,
    /// Registrations up to this epoch were made before this term ...
    office_epoch: BrokerEpoch,
    /// ... and stand before this end of the log.
    office_end: u64,
    by_broker: BTreeMap<BrokerId, Session>,
    /// Registrations of this term and the ends of the log behind them, once they are committed.
    registered: BTreeMap<BrokerId, (BrokerEpoch, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    incarnation: Uuid,
    begun: Monotonic,
    expires: Monotonic,
    /// The end of what it has applied.
    applied: u64,
    /// The end of the log behind the entry that began its controlled shutdown.
    shutdown: Option<u64>,
}

impl Sessions {
    /// Everybody who lives has just been heard of.
    pub(super) fn take_office(now: Monotonic, image: &Image, end: u64, timeout: Duration) -> Sessions {
        let office_epoch = image.last_broker_epoch();
        let mut sessions = Sessions { timeout, office_epoch, office_end: end, ..Sessions::default() };
        for broker in image.brokers().filter(|broker| !broker.is_fenced) {
            sessions.touch(now, broker.id, broker.incarnation);
        }
        sessions
    }

    /// A broker was heard of.
    pub(super) fn touch(&mut self, now: Monotonic, broker: BrokerId, incarnation: Uuid) {
        let expires = now.plus(self.timeout);
        let new = Session { incarnation, begun: now, expires, applied: 0, shutdown: None };
        let session = self.by_broker.entry(broker).or_insert(new);
        if session.incarnation != incarnation {
            *session = new;
        }
        session.expires = expires;
    }

    /// A broker says what it has applied. That never goes back.
    pub(super) fn applied(&mut self, broker: BrokerId, end: u64) {
        if let Some(session) = self.by_broker.get_mut(&broker) {
            session.applied = session.applied.max(end);
        }
    }

    /// A registration is committed.
    pub(super) fn registered(&mut self, broker: BrokerId, epoch: BrokerEpoch, end: u64) {
        let known = self.registered.entry(broker).or_insert((epoch, end));
        if known.0 < epoch {
            *known = (epoch, end);
        }
    }

    /// The beginning of a controlled shutdown is committed.
    pub(super) fn shutting_down(&mut self, broker: BrokerId, end: u64) {
        if let Some(session) = self.by_broker.get_mut(&broker) {
            session.shutdown.get_or_insert(end);
        }
    }

    /// A broker needs no session any longer: its next life may register at once.
    pub(super) fn end(&mut self, broker: BrokerId) {
        self.by_broker.remove(&broker);
    }

    /// Forgets who was not heard of in time.
    pub(super) fn expire(&mut self, now: Monotonic) {
        self.by_broker.retain(|_, session| session.expires > now);
    }

    /// Whether a broker was heard of lately.
    pub(super) fn is_live(&self, now: Monotonic, broker: BrokerId) -> bool {
        self.by_broker.get(&broker).is_some_and(|session| session.expires > now)
    }

    /// Since when a broker has been there without a break, as far as this term knows.
    pub(super) fn begun(&self, broker: BrokerId) -> Option<Monotonic> {
        self.by_broker.get(&broker).map(|session| session.begun)
    }

    /// Whether a broker was heard of since its session last ended.
    pub(super) fn has(&self, broker: BrokerId) -> bool {
        self.by_broker.contains_key(&broker)
    }

    /// Whether a broker was heard of lately as another incarnation than this one.
    pub(super) fn is_other_live(&self, now: Monotonic, broker: BrokerId, incarnation: Uuid) -> bool {
        let session = self.by_broker.get(&broker);
        session.is_some_and(|session| session.expires > now && session.incarnation != incarnation)
    }

    /// Whether a broker that has applied all before `end` knows its own registration.
    pub(super) fn knows_itself(&self, broker: BrokerId, epoch: BrokerEpoch, end: u64) -> bool {
        if epoch <= self.office_epoch {
            return self.office_end <= end;
        }
        self.registered.get(&broker).is_some_and(|(known, registered)| *known == epoch && *registered <= end)
    }

    /// Whether all these brokers know that `broker` is shutting down.
    pub(super) fn all_know_shutdown(
        &self,
        broker: BrokerId,
        mut others: impl Iterator<Item = BrokerId>,
    ) -> bool {
        let Some(end) = self.by_broker.get(&broker).and_then(|session| session.shutdown) else {
            return false;
        };
        others.all(|other| self.by_broker.get(&other).is_none_or(|session| session.applied >= end))
    }

    /// When the next session ends.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        self.by_broker.values().map(|session| session.expires).min()
    }
}
