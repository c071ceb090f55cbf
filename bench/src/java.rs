//! Kafka's own performance tools: how they are called and what their output means.

use anyhow::{Context, Result};

use crate::systems::Programs;

/// A latency, in milliseconds. The tools cut percentiles to whole ones, so that an average says more than a median.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// What a producer is told to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) topic: &'a str,
    pub(crate) records: u64,
    /// The first of them, which only warm the client up: a JVM compiles for seconds what it will run.
    pub(crate) warm_up: u64,
    /// Records a second; as many as it can if there is no number.
    pub(crate) rate: Option<u64>,
    pub(crate) linger_ms: u64,
}

/// What a producer saw: MB (10^6 bytes) per second, and how long it waited for acknowledgements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Produced {
    pub(crate) mb_s: f64,
    pub(crate) latency: Latency,
}

/// `ProducerPerformance` as fast as it can: MB (10^6 bytes) per second.
pub(crate) fn produce_mb_s(programs: &Programs, bootstrap: &str, topic: &str, records: u64) -> Result<f64> {
    Ok(produce(programs, bootstrap, Load { topic, records, warm_up: 0, rate: None, linger_ms: 5 })?.mb_s)
}

/// `ProducerPerformance`: 1 KiB records, acks=all, batches of up to 64 KiB. It ends with an error if a delivery fails.
/// The last line that it prints leaves out what warms up (KIP-1052).
pub(crate) fn produce(programs: &Programs, bootstrap: &str, load: Load<'_>) -> Result<Produced> {
    let records = load.records.to_string();
    let warm_up = load.warm_up.to_string();
    let rate = load.rate.map_or("-1".to_owned(), |rate| rate.to_string());
    let linger = format!("linger.ms={}", load.linger_ms);
    let output = programs.java_tool(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--bootstrap-server",
            bootstrap,
            "--topic",
            load.topic,
            "--num-records",
            &records,
            "--record-size",
            "1024",
            "--warmup-records",
            &warm_up,
            "--throughput",
            &rate,
            "--command-property",
            "acks=all",
            "batch.size=65536",
            &linger,
        ],
    )?;
    let summary = output.lines().rev().find(|line| line.contains("99.9th")).context("no summary line")?;
    read_summary(summary).with_context(|| summary.to_owned())
}

fn read_summary(line: &str) -> Option<Produced> {
    let latency = Latency {
        mean: number_before(line, " ms avg")?,
        p50: number_before(line, " ms 50th")?,
        p99: number_before(line, " ms 99th")?,
        p999: number_before(line, " ms 99.9th")?,
    };
    Some(Produced { mb_s: number_before(line, " MB/sec")? * 1.048_576, latency })
}

/// The id of the active controller, as `MetadataQuorumCommand` sees it.
pub(crate) fn active_controller(programs: &Programs, bootstrap: &str) -> Result<i32> {
    let arguments = ["--bootstrap-server", bootstrap, "describe", "--status"];
    let output = programs.java_tool("org.apache.kafka.tools.MetadataQuorumCommand", &arguments)?;
    let id = output.lines().find_map(|line| line.strip_prefix("LeaderId:")).context("no leader")?;
    Ok(id.trim().parse()?)
}

/// `ConsumerPerformance` from the start of the topic: MB (10^6 bytes) per second while fetching.
pub(crate) fn consume_mb_s(programs: &Programs, bootstrap: &str, topic: &str, records: u64) -> Result<f64> {
    let records = records.to_string();
    let output = programs.java_tool(
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
    programs: &Programs,
    bootstrap: &str,
    topic: &str,
    records: u64,
) -> Result<Latency> {
    let records = records.to_string();
    let output = programs.java_tool(
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
    Ok(Latency { mean, p50: of("50th")?, p99: of(" 99th")?, p999: of("99.9th")? })
}

fn number_before(text: &str, unit: &str) -> Option<f64> {
    let before = text.split(unit).next()?;
    before.rsplit([' ', '(']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::read_summary;

    #[test]
    fn rate_and_latency_are_read_from_the_summary() {
        let line = "400000 records sent, 19998.0 records/sec (19.53 MB/sec), 4.31 ms avg latency, 231.00 ms max \
                    latency, 3 ms 50th, 9 ms 95th, 35 ms 99th, 52 ms 99.9th.";
        let produced = read_summary(line).expect("a summary");
        assert_eq!(produced.mb_s, 19.53 * 1.048_576);
        let latency = produced.latency;
        assert_eq!((latency.mean, latency.p50, latency.p99, latency.p999), (4.31, 3.0, 35.0, 52.0));
    }
}
