//! All machines lose power at once, again and again.

#![allow(clippy::print_stdout, reason = "what the run saw is part of the result")]

use sim::faults::Fault;
use sim::run::{RunConfig, run};

/// How often the power goes.
const POWER_LOSSES: u64 = 10;
/// Over all runs.
const ACKNOWLEDGED_MIN: usize = 100;

/// What is replicated only may be gone, and is counted; what `flush.messages=1` has synced may not.
#[test]
fn after_ten_power_losses_of_all_nodes_with_flush_messages_1_nothing_acknowledged_is_missing() {
    let (mut seeds, mut acknowledged) = (1.., 0);
    for _ in 0..3 {
        // The seed decides when the power goes, and thereby how often.
        let outcome = seeds
            .by_ref()
            .map(|seed| run(&RunConfig { faults: vec![Fault::PowerLossAll], ..RunConfig::new(seed) }))
            .find(|outcome| {
                let losses = outcome.faults.get(&Fault::PowerLossAll).copied().unwrap_or(0);
                losses >= POWER_LOSSES || !outcome.violations.is_empty()
            })
            .expect("seeds do not end");
        println!("{outcome}");
        assert_eq!(outcome.violations, Vec::<String>::new(), "{outcome}");
        acknowledged += outcome.acknowledged_flushed;
    }
    assert!(acknowledged >= ACKNOWLEDGED_MIN, "{acknowledged} are too few to say something");
}
