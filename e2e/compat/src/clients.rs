//! How the tests run other people's clients: Kafka's own tools, Python packages from PyPI, kcat.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Python clients, by their names on PyPI, at versions that were seen to work.
const PACKAGES: [&str; 2] = ["confluent-kafka==2.16.1", "kafka-python==3.0.12"];

/// Runs one of Kafka's own tools and gives back what it printed; fails with all of it if the tool fails.
pub fn kafka_tool(class: &str, arguments: &[&str]) -> String {
    let output = kafka_tool_command(class, arguments).output().expect("KAFKA_PEER can be run");
    printed(class, output)
}

/// One of Kafka's own tools with something on its standard input.
pub fn kafka_tool_with_input(class: &str, arguments: &[&str], input: &str) -> String {
    printed(class, with_input(kafka_tool_command(class, arguments), input))
}

/// One of Kafka's own tools against a cluster, with these words as its arguments and something on its standard input.
pub fn kafka_tool_on(bootstrap: &str, class: &str, arguments: &str, input: &str) -> String {
    let mut all = vec!["--bootstrap-server", bootstrap];
    all.extend(arguments.split_whitespace());
    kafka_tool_with_input(class, &all, input)
}

/// The command that runs one of Kafka's own tools.
pub fn kafka_tool_command(class: &str, arguments: &[&str]) -> Command {
    let peer = std::env::var_os("KAFKA_PEER").expect("KAFKA_PEER names a program that runs Kafka's tools");
    let mut command = Command::new(peer);
    command.arg("tool").arg(class).args(arguments).stdin(Stdio::null());
    command
}

/// kcat waits for ever where another client gives up; a minute is an age for what is asked of it here.
pub fn kcat(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["60", "kcat"]).args(arguments);
    printed("kcat", with_input(command, input))
}

/// Runs a script of `tests/python` with the clients installed.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let output = Command::new(interpreter()).arg(path).args(arguments).output().expect("Python can be run");
    printed(script, output)
}

fn with_input(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client is installed");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("the client reads");
    child.wait_with_output().expect("it is ours")
}

fn printed(what: &str, output: Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what} failed: {}\n{out}\n{error}", output.status);
    out.into_owned()
}

/// A virtual environment with the clients, made once and kept in the user's cache.
fn interpreter() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).expect("a home");
    let folder = home.join(".cache/taffrail/python");
    let (python, marker) = (folder.join("bin/python"), folder.join(PACKAGES.join("+")));
    if !marker.exists() {
        let run = |command: &mut Command| {
            let output = command.output().expect("python3 with venv is installed");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        std::fs::write(&marker, "").expect("the cache can be written");
    }
    python
}
