//! Kafka's own performance tools: how they are called and what their output means.

use anyhow::{Context, Result};

use crate::system::Systems;

/// A latency, in milliseconds. The tool cuts percentiles to whole ones, so that its average says more than its median.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// `ProducerPerformance` without a rate limit: MB (10^6 bytes) per second.
pub(crate) fn produce_mb_s(systems: &Systems, bootstrap: &str, topic: &str, records: u64) -> Result<f64> {
    let records = records.to_string();
    let output = systems.java_tool(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--bootstrap-server",
            bootstrap,
            "--topic",
            topic,
            "--num-records",
            &records,
            "--record-size",
            "1024",
            "--throughput",
            "-1",
            "--command-property",
            "acks=all",
            "batch.size=65536",
            "linger.ms=5",
        ],
    )?;
    let summary = output.lines().rev().find(|line| line.contains("99.9th")).context("no summary line")?;
    let mib: f64 = number_before(summary, " MB/sec").with_context(|| summary.to_owned())?;
    Ok(mib * 1.048_576)
}

/// `ConsumerPerformance` from the start of the topic: MB (10^6 bytes) per second while fetching.
pub(crate) fn consume_mb_s(systems: &Systems, bootstrap: &str, topic: &str, records: u64) -> Result<f64> {
    let records = records.to_string();
    let output = systems.java_tool(
        "org.apache.kafka.tools.ConsumerPerformance",
        &["--bootstrap-server", bootstrap, "--topic", topic, "--num-records", &records, "--hide-header"],
    )?;
    // start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    let line = output.lines().rev().find(|line| line.matches(',').count() == 9).context("no result line")?;
    let mib: f64 = line.split(',').nth(8).context("short line")?.trim().parse()?;
    Ok(mib * 1.048_576)
}

/// `EndToEndLatency`: from send to receipt, one record at a time.
pub(crate) fn end_to_end_ms(
    systems: &Systems,
    bootstrap: &str,
    topic: &str,
    records: u64,
) -> Result<Latency> {
    let records = records.to_string();
    let output = systems.java_tool(
        "org.apache.kafka.tools.EndToEndLatency",
        &[
            "--bootstrap-server",
            bootstrap,
            "--topic",
            topic,
            "--num-records",
            &records,
            "--producer-acks",
            "all",
            "--record-size",
            "1024",
        ],
    )?;
    let line = output.lines().find(|line| line.starts_with("Percentiles:")).context("no percentiles")?;
    let of = |label: &str| -> Result<f64> {
        let rest = line.split(label).nth(1).with_context(|| line.to_owned())?;
        Ok(rest.trim_start_matches(" = ").split(',').next().unwrap_or_default().trim().parse()?)
    };
    let mean = output.lines().find_map(|line| line.strip_prefix("Avg latency:")).context("no average")?;
    let mean = mean.trim().trim_end_matches("ms").trim().parse().with_context(|| mean.to_owned())?;
    Ok(Latency { mean, p99: of(" 99th")?, p999: of("99.9th")? })
}

fn number_before(text: &str, unit: &str) -> Option<f64> {
    let before = text.split(unit).next()?;
    before.rsplit([' ', '(']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn the_rate_is_read_from_the_summary() {
        let line = "1000000 records sent, 158002.8 records/sec (154.30 MB/sec), 3.12 ms avg latency, 99.9th.";
        assert_eq!(number_before(line, " MB/sec"), Some(154.30));
    }
}
