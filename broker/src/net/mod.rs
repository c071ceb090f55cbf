//! Connections: frames in, frames out, in order and bounded. Knows requests only by their header.

mod connection;
pub(crate) mod framing;
mod server;

pub(crate) use server::{Server, ServerLimits};
