//! Where a node lives: an address and ports that nobody else has.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports are the same on every address.
pub const KAFKA_PORT: u16 = 9092;
/// Of the admin endpoint.
pub const ADMIN_PORT: u16 = 9600;
/// Of the controllers' protocol.
pub const CONTROLLER_PORT: u16 = 19090;

/// Taken on every address of the loopback device that a node has, so that no other test takes the same.
const GUARD_PORT: u16 = 20_009;

/// An address for one node. A free port of 127.0.0.1 could be taken again before the node listens, or while it is down.
#[derive(Debug)]
pub struct Place {
    /// The address.
    pub host: String,
    /// What the process is started by: the words of a command that goes before its own.
    pub launcher: Vec<String>,
    _guard: Option<TcpListener>,
}

impl Place {
    /// An address of the loopback device, which has sixteen million.
    pub fn on_loopback() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..10_000 {
            let mixed =
                (std::process::id() << 8 | NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b1);
            let [_, a, b, c] = mixed.to_be_bytes();
            // 127.0.0.0/16 is everybody's; the first and last addresses of a network mean something to some tools.
            let host = format!("127.{}.{b}.{}", a.clamp(1, 254), c.clamp(1, 254));
            if let Ok(guard) = TcpListener::bind((host.as_str(), GUARD_PORT)) {
                return Place { host, launcher: Vec::new(), _guard: Some(guard) };
            }
        }
        panic!("no address of the loopback device is free");
    }

    /// An address in a network that is the test's own, behind a command that enters it.
    pub fn in_network(host: String, launcher: Vec<String>) -> Place {
        Place { host, launcher, _guard: None }
    }
}
