//! One broker process of `dev`: its folder, its configuration, its start, its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use client::node::Answer;
use config::node::NodeConfig;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A broker that does not stop is killed after this, as Kubernetes would.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const READY_PATIENCE: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 12;

/// Tells a broker whose end is its own: see [`die_with_parent`].
const PARENT: &str = "TAFFRAIL_PARENT_PID";

/// A broker process and its folder.
#[derive(Debug)]
pub(super) struct Node {
    folder: PathBuf,
    name: String,
    admin: String,
    child: Child,
    pid: u32,
    /// Where in the log file this process began to write.
    log_start: u64,
}

impl Node {
    /// Writes `broker.yaml` into the folder and starts a broker with it.
    pub(super) fn start(folder: &Path, config: &NodeConfig) -> anyhow::Result<Node> {
        let cannot = |what: &str| format!("cannot {what} {}", folder.display());
        fs::create_dir_all(folder).with_context(|| cannot("create"))?;
        let file = folder.join("broker.yaml");
        fs::write(&file, serde_yaml::to_string(config)?).with_context(|| cannot("write to"))?;
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"));
        let log = log.with_context(|| cannot("write to"))?;
        let log_start = log.metadata().with_context(|| cannot("write to"))?.len();
        let child = Command::new(std::env::current_exe()?)
            .arg("broker")
            .arg("--config")
            .arg(&file)
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches the whole foreground group; who stops when is for `dev` to say.
            .process_group(0)
            .spawn()
            .context("cannot start a broker process")?;
        let pid = child.id().context("the broker ended as it started")?;
        fs::write(folder.join("pid"), format!("{pid}\n")).with_context(|| cannot("write to"))?;
        let name = format!("broker-{}", config.node_id);
        let admin = config.admin.bind.clone();
        Ok(Node { folder: folder.to_owned(), name, admin, child, pid, log_start })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The arguments that start it again.
    pub(super) fn arguments(&self) -> String {
        format!("broker --config {}", self.folder.join("broker.yaml").display())
    }

    /// The token of its admin endpoint.
    pub(super) fn token(&self) -> anyhow::Result<String> {
        let token = fs::read_to_string(self.folder.join("admin-token"));
        Ok(token.with_context(|| format!("cannot read the admin token of {}", self.name))?.trim().to_owned())
    }

    /// Where its admin endpoint listens.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// Asks until the path answers 2xx.
    pub(super) async fn wait_for(&mut self, path: &str) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.check_alive()?;
            let answer = client::node::get(&self.admin, path).await;
            match answer {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) if Instant::now() > deadline => {
                    bail!("{} is not ready: {}\n{}", self.name, answer.body.trim(), self.log_end());
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(anyhow::Error::new(error).context(format!(
                        "{} is not ready\n{}",
                        self.name,
                        self.log_end()
                    )));
                }
                Ok(_) | Err(_) => sleep(POLL_PAUSE).await,
            }
        }
    }

    /// Fails, with the end of the log, if the process is gone.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status})\n{}", self.name, self.log_end()),
        }
    }

    /// Asks it to stop, waits, and kills it if it takes too long.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a pid is positive")?;
            kill_process(pid, Signal::TERM).context("cannot stop a broker")?;
            if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
                self.kill().await?;
                bail!("{} did not stop within {} s and was killed", self.name, STOP_PATIENCE.as_secs());
            }
        }
        self.forget_pid();
        Ok(())
    }

    /// Kills it.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a broker")?;
        self.forget_pid();
        Ok(())
    }

    /// Only while the process runs is the number its own.
    fn forget_pid(&self) {
        let _ = fs::remove_file(self.folder.join("pid"));
    }

    fn log_end(&self) -> String {
        let file = self.folder.join("log");
        let text = fs::read(&file).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(text.len());
        let text = String::from_utf8_lossy(&text[start..]);
        let lines: Vec<_> = text.lines().rev().take(LOG_LINES_SHOWN).collect();
        let shown: Vec<_> = lines.iter().rev().map(|line| format!("    {line}")).collect();
        format!("what it last wrote to {}:\n{}", file.display(), shown.join("\n"))
    }
}

/// Called by a broker that `dev` started: the kernel is to stop it when `dev` is gone, however that came about.
pub(crate) fn die_with_parent() -> anyhow::Result<()> {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|text| text.parse::<i32>().ok()) else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have gone before the kernel knew whom to tell.
    let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if now != parent {
        bail!("`taffrail dev`, which started this broker, is gone");
    }
    Ok(())
}
