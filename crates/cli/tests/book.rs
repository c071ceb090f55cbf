//! What the README and the book tell people to type on a laptop works as it is printed, one line after the other.

mod common;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{BINARY, Place};
use rustix::process::Signal;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of a page that are printed as commands for the running cluster.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(page)).expect("the page is there");
    let printed = text.lines().filter_map(|line| line.strip_prefix("    "));
    let is_ours =
        |line: &&str| line.contains("taffrail ") || line.contains("events.txt") || line.starts_with("kcat ");
    let needs_kubernetes = |line: &&str| line.starts_with("helm ") || line.starts_with("kubectl ");
    printed.filter(is_ours).filter(|line| !needs_kubernetes(line)).map(str::to_owned).collect()
}

fn is_there(program: &str) -> bool {
    Command::new("which").arg(program).output().is_ok_and(|found| found.status.success())
}

/// Types a line into a shell that finds `taffrail`, in the folder of the cluster.
fn type_in(place: &Place, line: &str) -> Output {
    let bin = place.folder.path().join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("bash")
        .args(["-o", "pipefail", "-c", &line.replace("localhost:9092", &format!("localhost:{}", place.port))])
        .current_dir(place.folder.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{}", place.port))
        .output()
        .expect("there is a shell")
}

#[test]
fn every_printed_command_works() {
    let demo = std::fs::read_to_string(repository().join("examples/demo.yaml")).expect("is there");
    for page in ["README.md", "docs/book/src/guide/laptop.md"] {
        let place = Place::new(&demo);
        let bin = place.folder.path().join("bin");
        std::fs::create_dir(&bin).expect("is writable");
        symlink(BINARY, bin.join("taffrail")).expect("is writable");
        // Where `make up` has it.
        symlink(place.data(), place.folder.path().join("taffrail-data")).expect("is writable");
        let mut dev = place.start();
        let commands = commands(page);
        assert!(commands.len() >= 4, "{page} has commands: {commands:?}");
        for line in commands {
            if line.contains("kcat ") && !is_there("kcat") {
                continue;
            }
            let output = type_in(&place, &line);
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{page}: {line}: {errors}");
            if line.contains("consume") {
                assert!(!output.stdout.is_empty(), "{page}: {line} prints nothing");
            }
        }
        assert!(dev.stop(Signal::INT), "{}", dev.output());
    }
}

#[test]
fn every_help_text_and_completion_script_can_be_printed() {
    let print = |arguments: &[&str]| {
        let output = Command::new(BINARY).args(arguments).output().expect("starts");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("is text")
    };
    let help = print(&["--help"]);
    for command in [
        "dev",
        "broker",
        "operator",
        "topics",
        "produce",
        "consume",
        "groups",
        "configs",
        "log",
        "completions",
    ] {
        assert!(help.contains(command), "{help}");
        assert!(print(&["help", command]).contains("Usage:"), "{command}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = print(&["completions", shell]);
        assert!(script.contains("reset-offsets") && script.contains("bootstrap-server"), "{shell}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), print(&["completions", "bash"])).expect("is writable");
    let complete =
        "COMP_WORDS=(taffrail to); COMP_CWORD=1; _taffrail taffrail to taffrail; echo ${COMPREPLY[@]}";
    let script = format!("source {}; {complete}", file.path().display());
    let output = Command::new("bash").args(["-c", &script]).output().expect("there is a shell");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "topics\n");
}
