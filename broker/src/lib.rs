//! The node process: core and storage wired to sockets, openraft and disks.
