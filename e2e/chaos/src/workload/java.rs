//! Kafka's own verifiable producer and consumer: they print as JSON, a line each, what they were told.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compat::clients::kafka_tool_command;
use serde_json::Value;

use super::{JAVA, PLAIN};
use crate::ledger::{Ledger, Part, RecordId, Told};

const PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";
const CONSUMER: &str = "org.apache.kafka.tools.VerifiableConsumer";
/// The tools give up at the first failure unless they are told otherwise.
const PRODUCER_CONFIG: &str = "enable.idempotence=true\nretries=2147483647\ndelivery.timeout.ms=120000\n\
    request.timeout.ms=5000\nretry.backoff.ms=20\nreconnect.backoff.max.ms=500\nlinger.ms=5\n";
const CONSUMER_CONFIG: &str = "request.timeout.ms=5000\ndefault.api.timeout.ms=60000\nretry.backoff.ms=20\nreconnect.backoff.max.ms=500\n";
/// How long one is given to deliver what it has.
const END_TIMEOUT: Duration = Duration::from_secs(150);

/// A process of Kafka's tools, and the thread that reads what it prints.
#[derive(Debug)]
pub struct Tool {
    name: &'static str,
    child: Child,
    reader: Option<JoinHandle<()>>,
    ledger: Ledger,
}

/// Whether there is a program that runs Kafka's tools; fetches them while there is still a network.
pub fn is_there() -> bool {
    std::env::var_os("KAFKA_PEER").is_some()
        && kafka_tool_command(PRODUCER, &[]).output().is_ok_and(|output| output.status.success())
}

/// A producer of 300 records a second.
pub fn produce(bootstrap: &str, producer: u32, folder: &Path, ledger: &Ledger) -> Result<Tool> {
    let config = folder.join("producer.properties");
    std::fs::write(&config, PRODUCER_CONFIG).context("producer.properties")?;
    let prefix = producer.to_string();
    let arguments = ["--throughput", "300", "--value-prefix", &prefix];
    start(PRODUCER, &arguments, (bootstrap, &config), "producer", ledger, produced)
}

/// A group of one consumer that commits after each batch of records.
pub fn consume(bootstrap: &str, folder: &Path, ledger: &Ledger) -> Result<Tool> {
    let config = folder.join("consumer.properties");
    std::fs::write(&config, CONSUMER_CONFIG).context("consumer.properties")?;
    let arguments =
        ["--group-id", JAVA, "--verbose", "--reset-policy", "earliest", "--session-timeout", "6000"];
    start(CONSUMER, &arguments, (bootstrap, &config), "consumer", ledger, consumed)
}

fn start(
    class: &str,
    arguments: &[&str],
    (bootstrap, config): (&str, &Path),
    name: &'static str,
    ledger: &Ledger,
    note: fn(&Value, &mut Told),
) -> Result<Tool> {
    let config = config.to_str().context("a path of UTF-8")?;
    let mut all = vec!["--bootstrap-server", bootstrap, "--topic", PLAIN, "--command-config", config];
    all.extend(arguments);
    let mut command = kafka_tool_command(class, &all);
    // What runs the tool may be a shell: a signal has to reach what it started too.
    let mut child =
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("Java")?;
    let lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
    let told = ledger.clone();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Ok(event) = serde_json::from_str::<Value>(&line) {
                note(&event, &mut told.lock());
            }
        }
    });
    Ok(Tool { name, child, reader: Some(reader), ledger: ledger.clone() })
}

impl Tool {
    /// SIGTERM: it delivers what it has, and ends.
    pub fn finish(mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            self.ledger
                .lock()
                .violation(format!("the Java {} ended before it was told: {status}", self.name));
        }
        self.signal("TERM");
        let begin = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if begin.elapsed() > END_TIMEOUT {
                self.ledger.lock().violation(format!("the Java {} does not end", self.name));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn part_of(event: &Value) -> Option<Part> {
    Some((event["topic"].as_str()?.to_owned(), i32::try_from(event["partition"].as_i64()?).ok()?))
}

fn record_of(event: &Value) -> Option<(Part, i64, RecordId)> {
    let id = RecordId::parse(event["value"].as_str()?.as_bytes())?;
    Some((part_of(event)?, event["offset"].as_i64()?, id))
}

fn produced(event: &Value, told: &mut Told) {
    match (event["name"].as_str(), record_of(event)) {
        (Some("producer_send_success"), Some((part, offset, id))) => told.acknowledged(part, offset, id),
        (Some("producer_send_success" | "producer_send_error"), _) => {
            told.violation(format!("delivery: the Java producer says {event}"));
        }
        _ => {}
    }
}

fn consumed(event: &Value, told: &mut Told) {
    match event["name"].as_str() {
        Some("record_data") => match record_of(event) {
            Some((part, offset, id)) => told.read(JAVA, part, offset, id),
            None => told.violation(format!("the Java consumer was given a strange record: {event}")),
        },
        Some("offsets_committed") => {
            for entry in event["offsets"].as_array().into_iter().flatten() {
                let Some((part, offset)) = part_of(entry).zip(entry["offset"].as_i64()) else { continue };
                match event["success"].as_bool() {
                    Some(true) => told.committed(JAVA, part, offset),
                    _ => told.uncertain_commit(JAVA, part, offset),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(note: fn(&Value, &mut Told), line: &str) -> (u64, u64, u64, usize) {
        let ledger = Ledger::default();
        let mut told = ledger.lock();
        note(&serde_json::from_str(line).expect("JSON"), &mut told);
        (told.acknowledged, told.read, told.commits, told.violations.len())
    }

    #[test]
    fn what_the_tools_print_is_understood() {
        let sent = r#"{"timestamp":1,"name":"producer_send_success","key":null,"value":"3.7","partition":1,"topic":"plain","offset":12}"#;
        assert_eq!(told(produced, sent), (1, 0, 0, 0));
        let failed =
            r#"{"timestamp":1,"name":"producer_send_error","message":"no","value":"3.7","topic":"plain"}"#;
        assert_eq!(told(produced, failed), (0, 0, 0, 1));
        let read = r#"{"timestamp":1,"name":"record_data","key":null,"value":"3.7","topic":"plain","partition":1,"offset":12}"#;
        assert_eq!(told(consumed, read), (0, 1, 0, 0));
        let committed = r#"{"timestamp":1,"name":"offsets_committed","offsets":[{"topic":"plain","partition":1,"offset":13}],"success":true}"#;
        assert_eq!(told(consumed, committed), (0, 0, 1, 0));
    }
}
