//! The node process: core and storage wired to sockets, openraft and disks.

mod api;
mod metrics;
mod net;
mod node;
mod partitions;
mod quorum;
mod seams;
