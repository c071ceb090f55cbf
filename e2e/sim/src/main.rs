//! `sim [SEEDS] [FIRST] [basic]`: simulates that many seeds from the first on, one on each core at a time, and prints what
//! came of them: with all faults and clients, or with those that CI has. With one seed it prints what the nodes log.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sim::run::{RunConfig, run};

fn main() -> anyhow::Result<()> {
    let (modes, numbers): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with(char::is_alphabetic));
    let config: fn(u64) -> RunConfig = match modes.first().map(String::as_str) {
        None => RunConfig::wide,
        Some("basic") => RunConfig::new,
        Some(other) => anyhow::bail!("{other} is not a mode; there is `basic`"),
    };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let (seeds, first) = (numbers.first().copied().unwrap_or(1), numbers.get(1).copied().unwrap_or(1));
    if seeds == 1 {
        let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let began = Instant::now();
    let (next, counted, violated) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let outcome = run(&config(seed));
                    println!("{outcome}");
                    counted.fetch_add(u64::from(outcome.counts()), Ordering::Relaxed);
                    violated.fetch_add(u64::from(!outcome.violations.is_empty()), Ordering::Relaxed);
                }
            });
        }
    });
    let (counted, violated) = (counted.into_inner(), violated.into_inner());
    println!("{seeds} seeds in {} s: {counted} count, {violated} with violations", began.elapsed().as_secs());
    anyhow::ensure!(violated == 0, "{violated} seeds violated a property");
    Ok(())
}
