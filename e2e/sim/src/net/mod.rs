//! A network in memory that behaves as TCP does over bad links: bytes arrive late, in order and once; where a link is cut
//! they wait for it to heal, as retransmissions do; a dead process's connections are reset, a dead machine's are silent.
//! Time is the simulation's, in steps of a millisecond; all chance comes from its seed.

mod state;
mod transport;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use state::{HostId, Link};
pub use transport::HostTransport;

use chance::Random;
use state::State;

/// The network; clones share it.
#[derive(Clone, Debug)]
pub struct Net {
    state: Arc<Mutex<State>>,
}

impl Net {
    /// A network of hosts with these names.
    pub fn new(names: &[&str], random: Random) -> Net {
        Net { state: Arc::new(Mutex::new(State::new(names, random))) }
    }

    /// The sockets of one host.
    pub fn transport(&self, host: HostId) -> HostTransport {
        HostTransport { net: self.clone(), host }
    }

    /// It is `now`: what is due arrives.
    pub fn deliver(&self, now: Duration) {
        self.state().deliver(now);
    }

    /// How the link from one host to another behaves from now on.
    pub fn set_link(&self, from: HostId, to: HostId, link: Link) {
        self.state().set_link(from, to, link);
    }

    /// The process on a host died: its listeners are closed, its connections reset.
    pub fn process_died(&self, host: HostId) {
        self.state().process_died(host);
    }

    /// The host is without power: it neither sends nor answers.
    pub fn power_lost(&self, host: HostId) {
        self.state().power_lost(host);
    }

    /// The host is there again, without any connection.
    pub fn power_back(&self, host: HostId) {
        self.state().power_back(host);
    }

    /// A number that depends on everything that was ever sent, and when.
    pub fn fingerprint(&self) -> u64 {
        self.state().fingerprint()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
