//! The two brokers under test: how each is started, reached, restarted and stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::librdkafka;

const KAFKA_BOOTSTRAP: &str = "127.0.0.1:19092";
const TAFFRAIL_PORT: u16 = 29092;
const CLUSTER: &str = "apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata: {name: bench}
spec:
  brokers:
    replicas: 1
    storage: {persistent: {size: 100Gi}}
";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Kafka,
    Taffrail,
}

/// Both brokers, running; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Systems {
    pub(crate) kafka: System,
    pub(crate) taffrail: System,
    kafka_program: PathBuf,
}

/// One broker.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: Name,
    pub(crate) bootstrap: String,
    program: PathBuf,
    data: PathBuf,
    child: Option<Child>,
}

impl Systems {
    pub(crate) fn start(kafka: &Path, taffrail: &Path, data: &Path) -> Result<Systems> {
        let kafka_program = kafka.canonicalize().context("the Kafka peer program")?;
        let mut systems = Systems {
            kafka: System {
                name: Name::Kafka,
                bootstrap: KAFKA_BOOTSTRAP.to_owned(),
                program: kafka_program.clone(),
                data: data.join("kafka"),
                child: None,
            },
            taffrail: System {
                name: Name::Taffrail,
                bootstrap: format!("127.0.0.1:{TAFFRAIL_PORT}"),
                program: taffrail.canonicalize().context("the Taffrail binary")?,
                data: data.join("taffrail"),
                child: None,
            },
            kafka_program,
        };
        for system in systems.both_mut() {
            system.start()?;
        }
        Ok(systems)
    }

    /// Both, in the order in which a round measures them.
    pub(crate) fn both(&self) -> [&System; 2] {
        [&self.kafka, &self.taffrail]
    }

    /// Runs one of Kafka's own tools and gives back what it printed on standard output.
    pub(crate) fn java_tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.kafka_program).arg("tool").arg(class).args(arguments).output()?;
        if !output.status.success() {
            bail!("{class} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn both_mut(&mut self) -> [&mut System; 2] {
        [&mut self.kafka, &mut self.taffrail]
    }
}

impl Drop for Systems {
    fn drop(&mut self) {
        for system in self.both_mut() {
            if let Err(error) = system.stop() {
                eprintln!("stopping {:?}: {error:#}", system.name);
            }
        }
    }
}

impl System {
    /// The broker's process.
    pub(crate) fn pid(&self) -> Result<u32> {
        let path = match self.name {
            Name::Kafka => self.data.join("0.pid"),
            Name::Taffrail => self.data.join("node-0/pid"),
        };
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Stops the node cleanly, starts it over its data and times it from exec to its first answer.
    pub(crate) fn restart(&mut self) -> Result<Duration> {
        self.stop()?;
        let begun = Instant::now();
        match self.name {
            Name::Kafka => self.peer(&["start", "1"])?,
            Name::Taffrail => self.child = Some(self.spawn_node()?),
        }
        librdkafka::wait_until_answers(&self.bootstrap, START_TIMEOUT)?;
        Ok(begun.elapsed())
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        fs::create_dir_all(&self.data)?;
        match self.name {
            Name::Kafka => self.peer(&["start", "1"])?,
            Name::Taffrail => self.child = Some(self.spawn_dev()?),
        }
        librdkafka::wait_until_answers(&self.bootstrap, START_TIMEOUT).with_context(|| {
            format!("{:?} on {} with data in {}", self.name, self.bootstrap, self.data.display())
        })
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        match self.name {
            Name::Kafka => {
                let pid = self.pid();
                self.peer(&["stop"])?;
                pid.and_then(wait_until_gone)
            }
            Name::Taffrail => {
                let Some(mut child) = self.child.take() else { return Ok(()) };
                let pid = rustix::process::Pid::from_child(&child);
                rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
                child.wait()?;
                Ok(())
            }
        }
    }

    /// `start N DIR` or `stop DIR` of the peer program.
    fn peer(&self, verb: &[&str]) -> Result<()> {
        let log = fs::File::create(self.data.join("peer.log"))?;
        let status = Command::new(&self.program)
            .args(verb)
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        if !status.success() {
            bail!("{} {} failed", self.program.display(), verb.join(" "));
        }
        Ok(())
    }

    /// The whole product, as a user starts it.
    fn spawn_dev(&self) -> Result<Child> {
        let manifest = self.data.join("cluster.yaml");
        fs::write(&manifest, CLUSTER)?;
        let mut command = Command::new(&self.program);
        command.arg("dev").arg("-f").arg(&manifest).arg("--data").arg(&self.data);
        command.arg("--port").arg(TAFFRAIL_PORT.to_string());
        self.spawn(command)
    }

    /// The node alone, over the configuration and data that `dev` left.
    fn spawn_node(&self) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("broker").arg("--config").arg(self.data.join("node-0/broker.yaml"));
        let child = self.spawn(command)?;
        fs::write(self.data.join("node-0/pid"), child.id().to_string())?;
        Ok(child)
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        let log = fs::File::create(self.data.join("taffrail.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }
}

fn wait_until_gone(pid: u32) -> Result<()> {
    let begun = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        if begun.elapsed() > START_TIMEOUT {
            bail!("process {pid} does not stop");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
