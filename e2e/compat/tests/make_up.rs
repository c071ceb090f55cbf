//! `make up`: `taffrail dev` with the example file, three brokers, every topic with three replicas of which two must be in
//! sync. A subset of what single brokers are tested with passes there too.

#![allow(clippy::print_stdout, reason = "a test that takes a while says how far it is")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use compat::clients::{kafka_tool_on, python};
use compat::node::binary;
use compat::{scenarios, wait_until};

const ORDERS: usize = 100_000;

/// Ends with the test, and its brokers with it.
struct Dev {
    child: Child,
    log: PathBuf,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Ports below those that the kernel gives to outgoing connections; another number where somebody else has one of them.
fn start(folder: &Path) -> (Dev, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo.yaml");
    for first in (12_092..22_000).step_by(97) {
        let mut command = Command::new(binary());
        command.arg("dev").arg("-f").arg(&file).args(["--port", &first.to_string()]);
        command.arg("--data").arg(folder.join("data"));
        let log = folder.join("log");
        let to_log = File::create(&log).expect("a log");
        let child = command.stdout(Stdio::piped()).stderr(to_log).spawn().expect("the binary");
        let mut dev = Dev { child, log };
        let mut lines =
            BufReader::new(dev.child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        if lines.any(|line| line.contains("Kafka is on localhost")) {
            // What it says later must not stop it.
            std::thread::spawn(move || lines.for_each(drop));
            return (dev, format!("localhost:{first}"));
        }
    }
    panic!("no ports are free");
}

#[test]
fn three_brokers_serve_what_one_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_dev, bootstrap) = start(folder.path());
    let timed = |name: &str, run: &dyn Fn()| {
        let begin = Instant::now();
        run();
        println!("{name}: {:.1} s", begin.elapsed().as_secs_f64());
    };
    let ends_well = |script: &str| {
        let printed = python(script, &[&bootstrap, "3"]);
        assert!(printed.ends_with("all done\n"), "{printed}");
        let topics = "org.apache.kafka.tools.TopicCommand";
        kafka_tool_on(&bootstrap, topics, "--delete --if-exists --topic t", "");
    };
    timed("kcat", &|| scenarios::kcat_produces_consumes_and_lists(&bootstrap));
    timed("orders", &|| scenarios::orders_come_out_as_they_went_in(&bootstrap, ORDERS, &["none", "zstd"]));
    timed("confluent-kafka", &|| ends_well("confluent_client.py"));
    timed("kafka-python", &|| ends_well("kafka_python_client.py"));
    timed("Kafka's tools", &|| scenarios::records_groups_and_offsets(&bootstrap));
    // On a busy machine a replica may be behind for a moment.
    wait_until("every replica in sync", || {
        let described = kafka_tool_on(&bootstrap, "org.apache.kafka.tools.TopicCommand", "--describe", "");
        let in_sync = |line: &str| {
            let isr = line.split("Isr: ").nth(1).and_then(|rest| rest.split_whitespace().next());
            isr.is_some_and(|isr| isr.split(',').count() == 3)
        };
        let mut partitions = described.lines().filter(|line| line.contains("Partition: ")).peekable();
        partitions.peek().is_some() && partitions.all(in_sync)
    });
}
