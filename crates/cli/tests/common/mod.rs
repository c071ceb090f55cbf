//! `taffrail dev` as a person runs it: the real binary, in a folder of its own, on free ports.

#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_taffrail");
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with the topic `orders`.
pub(crate) const CLUSTER: &str = "\
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: demo
spec:
  brokers:
    replicas: 1
    storage:
      ephemeral: {}
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: orders
spec:
  clusterRef:
    name: demo
  partitions: 2
  replicas: 1
";

/// A folder with a file for `dev`, its data and its port.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
}

/// A running `dev`; killed when the test ends, and its brokers with it.
pub(crate) struct Dev {
    pub(crate) child: Child,
    lines: Arc<Mutex<String>>,
}

impl Place {
    pub(crate) fn new(yaml: &str) -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder"), port: free_port() };
        place.write(yaml);
        place
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("demo.yaml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn write(&self, yaml: &str) {
        std::fs::write(self.file(), yaml).expect("is writable");
    }

    pub(crate) fn command(&self) -> Command {
        self.command_in(&self.data())
    }

    /// The command with its data elsewhere.
    pub(crate) fn command_in(&self, data: &Path) -> Command {
        let mut command = Command::new(BINARY);
        let (file, port) = (self.file(), self.port.to_string());
        command.arg("dev").arg("-f").arg(file).arg("--data").arg(data).args(["--port", &port]);
        command
    }

    /// Starts it and waits until it says that it is up.
    pub(crate) fn start(&self) -> Dev {
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = child.stdout.take().expect("is piped");
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut text = sink.lock().expect("nobody panicked");
                text.push_str(&line);
                text.push('\n');
            }
        });
        let dev = Dev { child, lines };
        dev.wait_for("Kafka is on");
        dev
    }

    /// Runs a command against the cluster.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        run(&self.port, arguments, input)
    }

    /// Runs a command that must succeed, and answers what it prints.
    pub(crate) fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {errors}");
        String::from_utf8(output.stdout).expect("is text")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid_of(0)
    }

    pub(crate) fn pid_of(&self, node: i32) -> u32 {
        let file = self.data().join(format!("node-{node}/pid"));
        let text = std::fs::read_to_string(file).expect("there is a pid");
        text.trim().parse().expect("is a number")
    }
}

impl Dev {
    /// Waits until a line has come that holds `text`.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        wait_until(&format!("{text:?} in the output"), || {
            let lines = self.lines.lock().expect("nobody panicked");
            lines.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    pub(crate) fn output(&self) -> String {
        self.lines.lock().expect("nobody panicked").clone()
    }

    /// Sends a signal and waits for the end; true if the exit code was 0.
    pub(crate) fn stop(&mut self, signal: Signal) -> bool {
        send(self.child.id(), signal);
        wait_until("the end of dev", || self.child.try_wait().expect("is a child")).success()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("is a pid");
    kill_process(pid, signal).expect("the process is there");
}

pub(crate) fn is_running(pid: u32) -> bool {
    // A process that nobody has waited for yet is a zombie, and as good as gone.
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(port: &u16, arguments: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(BINARY)
        .args(arguments)
        .env("KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(input.as_bytes()).expect("is read");
    drop(stdin);
    child.wait_with_output().expect("ends")
}

/// A port that is free with those that follow from it, for three brokers. All of them are below 32,768, from where the
/// kernel takes ports for connections, and would take them between this look and the start.
fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 12_000;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let is_whole = |first: &u16| {
        (0..3)
            .map(|node| first + node)
            .all(|port| is_free(port) && is_free(port + 508) && is_free(port + 9998))
    };
    // Tests that run at the same time begin elsewhere.
    let begin = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ()) as u16 % COUNT;
    let mut candidates = (0..COUNT).map(|i| FIRST + (begin + i) % COUNT);
    candidates.find(is_whole).expect("a free port between 10,000 and 22,000")
}
