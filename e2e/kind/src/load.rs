//! What goes on while a scenario does something to the cluster: a producer that never stops, and a watch of the Pods.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Bed;

/// Between two records: quick enough that none goes unnoticed, slow enough for a machine with two cores.
const PACE: Duration = Duration::from_millis(10);

/// A kcat that sends numbered lines with acks=all and gives each 30 seconds.
#[derive(Debug)]
pub struct Load {
    child: Child,
    /// What its lines begin with: no two producers send the same.
    name: String,
    sender: JoinHandle<std::io::Result<u64>>,
    is_over: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn begin(bed: &Bed, name: &str, image: &str, bootstrap: &str, topic: &str) -> Result<Load> {
        let mut command = bed.beside(&["--namespace", "default", "run", name, image, "--restart=Never"]);
        command.args(["--rm", "--attach", "--stdin", "--quiet", "--", "-b", bootstrap, "-P", "-t", topic]);
        command.args(["-X", "acks=all", "-X", "delivery.timeout.ms=30000", "-X", "linger.ms=0"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("kubectl has a standard input")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (told, prefix) = (Arc::clone(&is_over), name.to_owned());
        let sender = spawn(move || {
            let mut sent = 0_u64;
            while !told.load(Ordering::Relaxed) {
                writeln!(stdin, "{prefix}-{sent:08}")?;
                sent += 1;
                sleep(PACE);
            }
            Ok(sent)
        });
        Ok(Load { child, name: name.to_owned(), sender, is_over })
    }

    /// Stops, and gives the lines that were sent; fails if one was not delivered.
    pub fn end(self) -> Result<BTreeSet<String>> {
        self.is_over.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        let output = self.child.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kcat: {}: {told}", output.status);
        ensure!(!told.contains("elivery failed"), "a delivery error: {told}");
        Ok((0..sent).map(|number| format!("{}-{number:08}", self.name)).collect())
    }
}

/// A watch of a cluster's Pods.
#[derive(Debug)]
pub struct PodWatch {
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

/// What a watch of a cluster's Pods has seen.
#[derive(Debug)]
pub struct Lives {
    /// How many lives each Pod had.
    pub of: BTreeMap<String, usize>,
    /// In which order Pods were told to stop.
    pub stopped: Vec<String>,
    /// Who was down when most were.
    down_at_once: Vec<String>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether each Pod is ready and stays.
    up: BTreeMap<String, bool>,
    /// The identities of each Pod so far.
    uids: BTreeMap<String, BTreeSet<String>>,
    /// In which order Pods were told to stop.
    stopped: Vec<String>,
    /// Who was down when most were.
    down_at_once: Vec<String>,
}

impl PodWatch {
    pub(crate) fn begin(bed: &Bed, cluster: &str) -> Result<PodWatch> {
        let selector = format!("--selector=app.kubernetes.io/instance={cluster}");
        let columns = "--output=custom-columns=NAME:.metadata.name,UID:.metadata.uid,\
                       GOES:.metadata.deletionTimestamp,READY:.status.conditions[?(@.type==\"Ready\")].status";
        let mut command = bed.beside(&["get", "pods", &selector, "--watch", "--no-headers", columns]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("kubectl has a standard output")?).lines();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        spawn(move || {
            for line in lines.map_while(Result::ok) {
                let fields: Vec<_> = line.split_whitespace().collect();
                if let [name, uid, goes, ready] = fields[..] {
                    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.note(name, uid, goes != "<none>", ready == "True");
                }
            }
        });
        Ok(PodWatch { child, seen })
    }

    /// Whether every Pod has had so many lives by now.
    pub fn has_all_lived(&self, lives: usize) -> Result<Option<()>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let short: Vec<_> = seen.uids.iter().filter(|(_, uids)| uids.len() < lives).collect();
        ensure!(!seen.uids.is_empty() && short.is_empty(), "not yet: {short:?}");
        Ok(Some(()))
    }

    /// What it has seen.
    pub fn end(mut self) -> Result<Lives> {
        self.child.kill()?;
        self.child.wait()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of = seen.uids.iter().map(|(name, uids)| (name.clone(), uids.len())).collect();
        Ok(Lives { of, stopped: seen.stopped.clone(), down_at_once: seen.down_at_once.clone() })
    }

    /// The same of a roll: each Pod was restarted once, and one was down at a time.
    pub fn end_of_roll(self) -> Result<Lives> {
        self.end()?.one_down_at_a_time()?.each(2)
    }
}

impl Lives {
    /// Fails if two Pods were down at once, or none ever.
    pub fn one_down_at_a_time(self) -> Result<Lives> {
        ensure!(self.down_at_once.len() == 1, "down at once: {:?}", self.down_at_once);
        Ok(self)
    }

    /// Fails unless each Pod had so many lives.
    pub fn each(self, lives: usize) -> Result<Lives> {
        ensure!(self.of.values().all(|of| *of == lives), "not {lives} lives each: {:?}", self.of);
        Ok(self)
    }
}

impl Seen {
    fn note(&mut self, name: &str, uid: &str, goes: bool, ready: bool) {
        self.uids.entry(name.to_owned()).or_default().insert(uid.to_owned());
        if goes && !self.stopped.iter().any(|stopped| stopped == name) {
            self.stopped.push(name.to_owned());
        }
        self.up.insert(name.to_owned(), ready && !goes);
        let down = self.up.iter().filter(|(_, up)| !**up).map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if down.len() > self.down_at_once.len() {
            self.down_at_once = down;
        }
    }
}
