//! A machine of the run's own, as far as Linux gives one: network, mounts and processes in namespaces, which the kernel
//! clears away when the run ends, however it ends.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Set inside, so that nobody enters twice.
const INSIDE: &str = "CHAOS_INSIDE";
/// Leaves everything as it is, for a look at what a run without namespaces does.
const REFUSED: &str = "CHAOS_WITHOUT_NAMESPACES";

/// What there is to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Namespaces: networks can be cut, disks filled.
    Isolated,
    /// Only processes.
    Bare,
}

/// Runs this program again inside namespaces, and does not come back, if there can be any; a program that is inside makes
/// itself at home.
pub fn enter() -> Result<Sandbox> {
    if std::env::var_os(INSIDE).is_some() {
        // Named networks are mounts; they are to be seen by nobody else. What else is in /run nobody needs.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        std::fs::create_dir("/run/netns").context("/run/netns")?;
        run("ip", &["link", "set", "lo", "up"])?;
        return Ok(Sandbox::Isolated);
    }
    if std::env::var_os(REFUSED).is_some() || !can_isolate() {
        return Ok(Sandbox::Bare);
    }
    let program = std::env::current_exe().context("this program")?;
    // The first process of a namespace ignores most signals; a shell takes that place, and all die with it.
    let error = Command::new("unshare")
        .args(arguments())
        .args(["sh", "-c", "\"$0\" \"$@\"; exit $?"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("unshare")
}

/// Runs a command that has nothing to say unless it fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    anyhow::ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn arguments() -> Vec<&'static str> {
    let mut arguments = vec!["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !is_root() {
        arguments.push("--map-root-user");
    }
    arguments
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Tries each thing that a run needs once.
fn can_isolate() -> bool {
    let trial = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && ip link add hub type bridge \
                 && ip netns add n0 && ip link add v0 type veth peer name eth0 netns n0 \
                 && echo 'table inet t { chain c { type filter hook input priority 0; numgen random mod 100 < 1 drop; }; }' \
                 | nsenter --net=/run/netns/n0 nft -f -";
    let mut command = Command::new("unshare");
    command.args(arguments()).args(["sh", "-c", trial]);
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}
