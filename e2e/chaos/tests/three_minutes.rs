//! What `make chaos` does for as long as one likes, for three minutes and with a seed that stays: every kind of fault, on
//! three nodes and on five.

#![allow(clippy::print_stdout, reason = "what a run did is worth a look")]

use std::process::Command;

#[test]
fn what_was_acknowledged_survives_three_minutes_of_faults() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .env("SEED", "20")
        .env("MINUTES", "3")
        .output()
        .expect("the program is built");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{out}\n{error}");
}
