//! The seams to the world: sockets, threads, the wall clock and chance. Files are one more; their seam is `storage::Disk`.
//! A simulation puts its own parts behind them and runs whole brokers on one thread.

mod blocking;
mod chance;
mod transport;
mod wall;

use std::sync::Arc;

use storage::{Disk, RealDisk};

pub use blocking::Blocking;
pub use chance::{Chance, seed_this_thread};
pub(crate) use chance::{random_positive, random_uuid};
pub use transport::{Listener, Stream, TcpTransport, Transport};
pub use wall::Wall;

/// Threads for work that waits for the disk.
const BLOCKING_THREADS: usize = 8;

/// All that one node has of the world.
#[derive(Clone, Debug)]
pub struct Seams {
    /// Its file system.
    pub disk: Arc<dyn Disk>,
    /// Its sockets.
    pub transport: Arc<dyn Transport>,
    /// Its threads for work that waits for the disk.
    pub blocking: Blocking,
    /// Its clocks.
    pub wall: Wall,
}

impl Seams {
    /// The machine's own.
    pub fn real() -> Seams {
        Seams {
            disk: Arc::new(RealDisk),
            transport: Arc::new(TcpTransport),
            blocking: Blocking::pool(BLOCKING_THREADS),
            wall: Wall::real(),
        }
    }
}
