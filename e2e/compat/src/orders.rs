//! Orders as JSON, made with a fixed seed: in by librdkafka, out by Kafka's Java consumer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use crate::clients::{kafka_tool_command, kcat};

const CUSTOMERS: u64 = 5_000;
const SEED: u64 = 0x005e_ed0f_0de2;

/// So many go in with each codec, and come out equal, and in order for each key.
pub fn orders_come_out_as_they_went_in(bootstrap: &str, count: usize, codecs: &[&str]) {
    let text = orders(count);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &text).expect("the disk has space");
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let (key, order) = line.split_once('\t').expect("made above");
        expected.entry(key).or_default().push(order);
    }
    let file = file.path().to_str().expect("a path of ASCII");
    for codec in codecs {
        let begun = Instant::now();
        let (broker, topic) = (bootstrap, format!("orders-{codec}"));
        kcat(&["-b", broker, "-P", "-t", &topic, "-K", "\t", "-z", codec, "-l", file], "");
        let produced = begun.elapsed();
        compare(broker, &topic, count, &expected);
        println!(
            "{codec}: in after {:.1} s, out after {:.1} s",
            produced.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
    }
}

/// A multiplicative generator: the same orders everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One order a line: key, tab, JSON.
fn orders(count: usize) -> String {
    let mut random = Random(SEED);
    let mut text = String::with_capacity(count * 140);
    for id in 0..count {
        let customer = random.below(CUSTOMERS);
        let (cents, items) = (random.below(100_000), 1 + random.below(9));
        let city = ["Basel", "Bern", "Genève", "Zürich", "Lugano"][random.below(5) as usize];
        writeln!(
            text,
            "customer-{customer}\t{{\"order\":{id},\"customer\":{customer},\"items\":{items},\
             \"total\":{}.{:02},\"city\":\"{city}\",\"note\":\"leave at the door\"}}",
            cents / 100,
            cents % 100
        )
        .expect("a string grows");
    }
    text
}

fn compare(broker: &str, topic: &str, orders: usize, expected: &BTreeMap<&str, Vec<&str>>) {
    let count = orders.to_string();
    let mut consumer = kafka_tool_command(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            broker,
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "60000",
            "--formatter-property",
            "print.key=true",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .expect("KAFKA_PEER can be run");
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = 0;
    for line in BufReader::new(consumer.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("UTF-8");
        let (key, order) = line.split_once('\t').expect("a key and an order");
        let (key, ordered) = expected.get_key_value(key).expect("a customer that there is");
        let at = next.entry(key).or_default();
        assert_eq!(order, ordered[*at], "order {at} of {key}");
        *at += 1;
        seen += 1;
    }
    assert!(consumer.wait().expect("it is ours").success());
    assert_eq!(seen, orders, "of {topic}");
}
