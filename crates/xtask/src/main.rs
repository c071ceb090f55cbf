//! Development tasks: code generation and the checks of `make verify` that no other tool does.

fn main() {}
