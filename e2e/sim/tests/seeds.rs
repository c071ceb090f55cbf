//! Whole clusters under faults. `SIM_SEEDS` and `SIM_FIRST` choose other seeds; `make sim` runs as many as one likes.

#![allow(clippy::print_stdout, reason = "what every seed saw is part of the result")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::run::{Outcome, RunConfig, run};

/// Minutes on two cores.
const SEEDS: u64 = 40;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn a_seed_repeats_a_whole_run() {
    let seed = number("SIM_FIRST", 1);
    let threads = [1, 2].map(|_| std::thread::spawn(move || run(&RunConfig::new(seed))));
    let [first, again] = threads.map(|thread| thread.join().unwrap());
    assert_eq!(first, again);
}

#[test]
fn nothing_acknowledged_is_lost_and_replicas_agree() {
    let (seeds, first) = (number("SIM_SEEDS", SEEDS), number("SIM_FIRST", 1));
    let next = AtomicU64::new(first);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let outcome = run(&RunConfig::new(seed));
                    println!("{outcome}");
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let counted = outcomes.iter().filter(|outcome| outcome.counts()).count();
    println!("{counted} of {seeds} seeds saw enough to count");
    let violated: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome.violations.is_empty()).map(Outcome::to_string).collect();
    assert!(violated.is_empty(), "{}", violated.join("\n"));
    assert!(counted as u64 * 2 >= seeds, "most seeds are to say something");
}
