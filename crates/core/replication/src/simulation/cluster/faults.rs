//! What happens to a cluster apart from its messages: time, heartbeats, crashes.

use std::time::Duration;

use types::ErrorCode;

use super::{Cluster, Message};
use crate::Event;
use crate::simulation::checker::Violation;
use crate::simulation::node::Role;

impl Cluster {
    /// Each node hears of changes in its own time.
    pub(super) fn publish(&mut self) {
        for at in 0..self.nodes.len() {
            if !self.random.one_in(4) {
                let message = Message::Published { to: self.nodes[at].id, image: self.controller.image() };
                self.send(message);
            }
        }
    }

    pub(super) fn sync(&mut self) -> Result<(), Violation> {
        let (at, now, mut effects) = (self.any(), self.clock(), Vec::new());
        self.nodes[at].sync(now, &mut effects);
        self.carry_out(at, effects)
    }

    pub(super) fn tick(&mut self) -> Result<(), Violation> {
        if self.random.one_in(6) {
            self.now += Duration::from_millis(200);
        }
        let at = self.any();
        self.lead(at, Event::Tick)
    }

    /// A node that is down comes back, a fenced one that knows its own registration is unfenced, and every one hears
    /// what is new.
    pub(super) fn heartbeat(&mut self) {
        let at = self.any();
        let node = &self.nodes[at];
        match node.role {
            Role::Down if self.random.one_in(4) => self.start(at),
            Role::Leader(_) | Role::Follower(_) if self.controller.is_fenced(node.id) => {
                self.controller.unfence(node.id);
                self.publish();
            }
            Role::Down => {}
            Role::Waiting | Role::Leader(_) | Role::Follower(_) => {
                let message = Message::Published { to: node.id, image: self.controller.image() };
                self.send(message);
            }
        }
    }

    pub(super) fn fault(&mut self) {
        let at = self.any();
        if self.random.one_in(3) {
            self.fence(at);
        } else if !matches!(self.nodes[at].role, Role::Down) {
            self.crash(at);
        }
    }

    fn start(&mut self, at: usize) {
        let (id, was_unclean) = (self.nodes[at].id, self.nodes[at].is_dirty);
        let mut after = self.controller.clone();
        let applied = after.register(id, was_unclean);
        if self.would_keep(&after) {
            self.controller = after;
            let node = &mut self.nodes[at];
            node.broker_epoch = self.controller.broker_epoch(id);
            node.is_dirty = false;
            node.role = Role::Waiting;
            // An image from before its registration may name it as the leader that it was.
            node.applied = applied - 1;
            self.publish();
        }
    }

    fn fence(&mut self, at: usize) {
        let mut after = self.controller.clone();
        after.fence(self.nodes[at].id);
        if self.would_keep(&after) {
            self.controller = after;
            self.publish();
        }
    }

    fn crash(&mut self, at: usize) {
        let bounds = self.nodes[at].bounds();
        let shown = bounds.map_or(self.nodes[at].disk.start(), |bounds| bounds.high_watermark);
        let back = i64::try_from(self.random.below(6)).unwrap_or(0);
        let id = self.nodes[at].id;
        let others = self.controller.keepers().filter(|keeper| *keeper != id);
        let may_lose = others.into_iter().any(|keeper| !self.nodes[self.index(keeper)].is_dirty);
        let loses_power = may_lose && self.random.one_in(2);
        self.coverage.power_losses += usize::from(loses_power);
        self.nodes[at].crash(shown.plus(-back), loses_power);
        self.proposals.remove(&id);
        // A machine that reboots at once is back before anybody has missed it.
        if self.random.one_in(3) {
            self.start(at);
        }
    }

    /// The shell waits for the controller only so long.
    pub(super) fn give_up_proposal(&mut self) -> Result<(), Violation> {
        let at = self.any();
        match self.proposals.get(&self.nodes[at].id) {
            Some(&proposal) => {
                let result = Err(ErrorCode::RequestTimedOut);
                self.lead(at, Event::IsrAnswered { proposal, result })
            }
            None => Ok(()),
        }
    }

    pub(super) fn delete_or_move(&mut self) -> Result<(), Violation> {
        let at = self.any();
        if self.random.one_in(4) {
            let (now, mut effects) = (self.clock(), Vec::new());
            self.nodes[at].delete_records(now, &mut effects);
            return self.carry_out(at, effects);
        }
        if self.random.one_in(3) {
            self.controller.move_leader(self.nodes[at].id);
            self.publish();
        }
        Ok(())
    }
}
