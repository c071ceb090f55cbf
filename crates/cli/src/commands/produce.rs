//! `taffrail produce`.

mod json;

use std::io::{IsTerminal, stdin};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use client::producer::{Acks, Delivery, Producer, ProducerConfig, ProducerRecord};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use record::{Compression, RecordHeader};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use types::Timestamp;

use super::topics::key_value;
use crate::connect::ConnectArgs;
use crate::output::{OutputArgs, counted};

/// Records that were sent and not acknowledged yet; more make the reader wait.
const UNACKNOWLEDGED_MAX: usize = 50_000;
/// A line of the standard input that is longer is not a record of any broker.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Arguments of `taffrail produce`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The topic
    topic: String,
    /// What stands between key and value; without it lines are values only
    #[arg(short, long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A value that stands for none: it deletes its key from a compacted topic
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = key_value)]
    headers: Vec<(String, String)>,
    /// The partition, instead of the one that the key decides
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The time of the records, for example 2026-01-31T12:00:00Z, instead of now
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    timestamp: Option<i64>,
    /// How batches are compressed
    #[arg(short = 'z', long, value_parser = compression, default_value = "none", value_name = "none|gzip|snappy|lz4|zstd")]
    compression: Compression,
    /// When a record counts as written: once all replicas in sync have it, once the leader has it, at once
    #[arg(long, value_parser = ["all", "1", "0"], default_value = "all")]
    acks: String,
    /// Lines are JSON objects as `taffrail consume -o json` prints them
    #[arg(long, conflicts_with = "key_separator")]
    json: bool,
}

type Pending = FuturesUnordered<BoxFuture<'static, anyhow::Result<()>>>;

fn compression(name: &str) -> Result<Compression, String> {
    Compression::from_name(name).ok_or_else(|| "write none, gzip, snappy, lz4 or zstd".to_owned())
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let acks = match args.acks.as_str() {
        "0" => Acks::None,
        "1" => Acks::Leader,
        _ => Acks::All,
    };
    let config = ProducerConfig {
        acks,
        compression: args.compression,
        is_idempotent: acks == Acks::All,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(args.connect.client()?, config);
    if stdin().is_terminal() {
        eprintln!("one record per line; Ctrl-D ends");
    }
    let mut sent = Sent::new();
    let outcome = send_lines(&args, &producer, &mut sent).await;
    let written = sent.finish().await;
    producer.close().await;
    match outcome {
        Ok(()) => {
            let sentence = format!("produced {} to {}", counted(written, "record"), args.topic);
            args.output.done(&sentence, &json!({"topic": args.topic, "records": written}))
        }
        // Who corrects the mistake and goes on must know what is in the topic already.
        Err(error) => {
            let were = if written == 1 { "was" } else { "were" };
            bail!("{error:#}; {} {were} written", counted(written, "line"))
        }
    }
}

/// What was sent, and what became of it.
struct Sent {
    pending: Pending,
    acknowledged: usize,
    progress: ProgressBar,
}

impl Sent {
    fn new() -> Sent {
        Sent { pending: Pending::new(), acknowledged: 0, progress: progress() }
    }

    /// The next outcome of a line; `None` if none is awaited.
    async fn next(&mut self) -> Option<anyhow::Result<()>> {
        let outcome = self.pending.next().await?;
        self.acknowledged += usize::from(outcome.is_ok());
        self.progress.inc(1);
        Some(outcome)
    }

    /// Waits for what is still under way; how many lines were written in all.
    async fn finish(mut self) -> usize {
        while self.next().await.is_some() {}
        self.progress.finish_and_clear();
        self.acknowledged
    }
}

/// Sends every line, and looks at the acknowledgements while it waits for the next.
async fn send_lines(args: &Args, producer: &Producer, sent: &mut Sent) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(256 << 10, tokio::io::stdin());
    let mut line = Vec::new();
    let mut number = 0;
    let mut is_end = false;
    while !is_end {
        let has_room = sent.pending.len() < UNACKNOWLEDGED_MAX;
        // A read that is given up keeps what it has read in `line` and goes on there.
        is_end = tokio::select! {
            biased;
            Some(outcome) = sent.next() => {
                outcome?;
                continue;
            }
            read = input.read_until(b'\n', &mut line), if has_room => {
                read.context("cannot read the standard input")?;
                line.last() != Some(&b'\n')
            }
        };
        if is_end && line.is_empty() {
            break;
        }
        number += 1;
        if line.len() > LINE_BYTES_MAX {
            bail!("line {number} is longer than any record may be");
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let record = args.record(text.strip_suffix(b"\r").unwrap_or(text), number)?;
        line.clear();
        sent.pending.push(acknowledged(producer.send(record).await?, number));
    }
    while let Some(outcome) = sent.next().await {
        outcome?;
    }
    Ok(())
}

/// For a person who waits for a file to be sent; nothing where lines are typed or nobody looks.
fn progress() -> ProgressBar {
    if stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} records in {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn acknowledged(delivery: Delivery, line: usize) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let delivered = delivery.wait().await;
        delivered.map(drop).map_err(|error| anyhow::anyhow!("line {line} was not written: {error}"))
    })
}

impl Args {
    fn record(&self, line: &[u8], number: usize) -> anyhow::Result<ProducerRecord> {
        let mut record = ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp: self.timestamp.map(Timestamp),
            headers: self.headers.iter().map(|(key, value)| header(key, Some(value))).collect(),
            ..ProducerRecord::default()
        };
        if self.json {
            return json::read(line, record)
                .with_context(|| format!("line {number} is not a record as `consume -o json` prints it"));
        }
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => {
                let Some(at) = find(line, separator.as_bytes()) else {
                    bail!("line {number} has no key: {separator:?} is not in it");
                };
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        let is_null = self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == value);
        record.key = key.map(Bytes::copy_from_slice);
        record.value = (!is_null).then(|| Bytes::copy_from_slice(value));
        Ok(record)
    }
}

fn header(key: &str, value: Option<&String>) -> RecordHeader {
    RecordHeader { key: Bytes::from(key.to_owned()), value: value.cloned().map(Bytes::from) }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    if separator.is_empty() {
        return None;
    }
    line.windows(separator.len()).position(|window| window == separator)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Args;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        args: Args,
    }

    fn args(arguments: &[&str]) -> Args {
        Test::parse_from([&["produce", "t"], arguments].concat()).args
    }

    #[test]
    fn keys_end_at_the_first_separator() {
        let args = args(&["-k", "::", "--null-marker", "NULL"]);
        let record = args.record(b"a::b::c", 1).expect("has a key");
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"a"[..]), Some(&b"b::c"[..])));
        let deleted = args.record(b"a::NULL", 2).expect("has a key");
        assert_eq!((deleted.key.as_deref(), deleted.value), (Some(&b"a"[..]), None));
        assert!(args.record(b"no key", 3).is_err());
    }

    #[test]
    fn json_lines_carry_the_whole_record() {
        let line = br#"{"key":"k","value":null,"headers":[{"key":"h","value":"v"}],"timestamp":7}"#;
        let record = args(&["--json"]).record(line, 1).expect("is a record");
        assert_eq!((record.key.as_deref(), record.value), (Some(&b"k"[..]), None));
        assert_eq!((record.headers.len(), record.timestamp), (1, Some(types::Timestamp(7))));
        assert!(args(&["--json"]).record(b"text", 1).is_err());
    }
}
