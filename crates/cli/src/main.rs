//! The `taffrail` binary: arguments, output, and `dev`.

fn main() {}
