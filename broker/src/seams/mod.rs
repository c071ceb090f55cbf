//! The seams to the world: sockets, threads and the wall clock. Files are the fourth; their seam is `storage::Disk`. A
//! simulation puts its own parts behind them and runs whole brokers on one thread.

mod blocking;
mod transport;
mod wall;

pub(crate) use blocking::Blocking;
pub(crate) use transport::{Listener, Stream, TcpTransport, Transport};
pub(crate) use wall::Wall;
