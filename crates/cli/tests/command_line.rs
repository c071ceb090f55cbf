//! The command line as scripts and hurried people use it: bad input, readers that go away, Ctrl-C at any moment.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{BINARY, CLUSTER, Place, send, wait_until};
use rustix::process::Signal;

/// A command that goes on until it is stopped; killed when the test ends.
struct Running {
    child: Child,
}

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> Running {
        let child = Command::new(BINARY)
            .args(arguments)
            .env("KAFKA_BOOTSTRAP_SERVERS", format!("localhost:{}", place.port))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        Running { child }
    }

    /// Reads so many lines of what it prints, and closes its output after that.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let out = BufReader::new(self.child.stdout.take().expect("is piped"));
        out.lines().take(count).map(|line| line.expect("is text")).collect()
    }

    /// Its exit code, once it has ended.
    fn end(&mut self) -> Option<i32> {
        wait_until("the end of the command", || self.child.try_wait().expect("is a child")).code()
    }

    fn errors(&mut self) -> String {
        std::io::read_to_string(self.child.stderr.take().expect("is piped")).expect("is text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The only line that a command in error prints.
fn refusal(place: &Place, arguments: &[&str], input: &str) -> String {
    let output = place.run(arguments, input);
    let text = String::from_utf8(output.stderr).expect("is text");
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{arguments:?}: {text}");
    text
}

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let text = place.ok(&[arguments, &["-o", "json"]].concat(), "");
    serde_json::from_str(&text).expect("is JSON")
}

fn members(place: &Place, group: &str) -> u64 {
    json(place, &["groups", "describe", group])["members"].as_u64().expect("is a number")
}

#[test]
fn what_json_lines_say_is_written_as_it_was_or_refused() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    // Bytes that are not text, a value that is none, a header, and back through a pipe.
    let given = concat!(
        r#"{"key":"a","valueBase64":"//4=","headers":[{"key":"h","valueBase64":"gA=="}],"timestamp":1000}"#,
        "\n",
        r#"{"keyBase64":"/w==","value":null,"headers":[],"timestamp":2000}"#,
        "\n",
    );
    place.ok(&["produce", "orders", "--json"], given);
    let first = place.ok(&["consume", "orders", "--exit", "-o", "json"], "");
    place.ok(&["topics", "create", "copy", "--partitions", "2"], "");
    assert_eq!(place.ok(&["produce", "copy", "--json"], &first), "produced 2 records to copy\n");
    let copied = place.ok(&["consume", "copy", "--exit", "-o", "json"], "");
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(|line| line.replace("\"copy\"", "\"orders\"")).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&copied), sorted(&first));
    assert!(first.contains(r#""valueBase64":"//4=""#) && first.contains(r#""keyBase64":"/w==""#), "{first}");

    let mistake = refusal(&place, &["produce", "copy", "--json"], "{\"value\":\"x\"}\n{\"vlaue\":\"y\"}\n");
    assert!(mistake.contains("line 2") && mistake.contains("vlaue"), "{mistake}");
    assert!(mistake.contains("; 1 line was written"), "{mistake}");
    let broken = refusal(&place, &["produce", "copy", "--json"], "{\"value\":");
    assert!(broken.contains("line 1") && broken.contains("; 0 lines were written"), "{broken}");
    let values = place.ok(&["consume", "copy", "--exit", "-o", "json"], "");
    assert_eq!(values.matches(r#""value":"x""#).count(), 1, "{values}");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_without_complaint() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    let many: String =
        (0..20_000).map(|i| format!("a record that is somewhat longer than a number: {i}\n")).collect();
    place.ok(&["produce", "orders"], &many);
    for arguments in [
        &["consume", "orders", "--exit"][..],
        &["consume", "orders", "--exit", "-o", "json"],
        &["consume", "orders", "--from-beginning", "--group", "heads"],
        &["topics", "describe", "orders"],
        &["configs", "describe", "--topic", "orders", "--all"],
    ] {
        let mut command = Running::start(&place, arguments);
        assert_eq!(command.lines(1).len(), 1);
        assert_eq!((command.end(), command.errors()), (Some(0), String::new()), "{arguments:?}");
    }
    // The member left, and nothing that could not be printed counts as read.
    let group = json(&place, &["groups", "describe", "heads"]);
    assert_eq!(group["members"], 0, "{group}");
    let lag: i64 =
        group["partitions"].as_array().expect("a list").iter().filter_map(|p| p["lag"].as_i64()).sum();
    let uncommitted =
        group["partitions"].as_array().expect("a list").iter().all(|p| p["committed"].is_null());
    assert!(uncommitted || lag > 0, "{group}");
}

#[test]
fn ctrl_c_commits_what_was_printed_and_leaves_the_group() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    place.ok(&["produce", "orders"], "1\n2\n3\n");
    let mut consumer =
        Running::start(&place, &["consume", "orders", "--from-beginning", "--group", "billing"]);
    let out = consumer.child.stdout.take().expect("is piped");
    let mut out = BufReader::new(out).lines();
    let read: Vec<_> = out.by_ref().take(3).map(|line| line.expect("is text")).collect();
    assert_eq!(read.len(), 3);
    send(consumer.child.id(), Signal::INT);
    assert_eq!((consumer.end(), consumer.errors()), (Some(0), String::new()));
    let group = json(&place, &["groups", "describe", "billing"]);
    assert_eq!((&group["state"], &group["members"]), (&"Empty".into(), &0.into()), "{group}");
    let lag: i64 =
        group["partitions"].as_array().expect("a list").iter().filter_map(|p| p["lag"].as_i64()).sum();
    assert_eq!(lag, 0, "{group}");
}

#[test]
fn ctrl_c_while_the_group_rebalances_leaves_nobody_behind() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    place.ok(&["produce", "orders"], "1\n");
    let arguments = ["consume", "orders", "--from-beginning", "--group", "billing"];
    let first = Running::start(&place, &arguments);
    wait_until("the first member", || {
        let group = place.run(&["groups", "describe", "billing", "-o", "json"], "");
        String::from_utf8_lossy(&group.stdout).contains(r#""state": "Stable""#).then_some(())
    });
    // A member that does not answer: the one who joins waits for it.
    send(first.child.id(), Signal::STOP);
    let mut second = Running::start(&place, &arguments);
    wait_until("the second member", || (members(&place, "billing") == 2).then_some(()));
    std::thread::sleep(Duration::from_millis(200));
    send(second.child.id(), Signal::INT);
    assert_eq!((second.end(), second.errors()), (Some(0), String::new()));
    assert_eq!(members(&place, "billing"), 1);
    send(first.child.id(), Signal::CONT);
}

#[test]
fn offsets_are_reset_in_every_form() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    for (time, value) in [("1000", "a"), ("2000", "b"), ("3000", "c"), ("4000", "d")] {
        place.ok(&["produce", "orders", "--partition", "0", "--timestamp", time], &format!("{value}\n"));
    }
    let reset = |more: &[&str]| {
        let moved = json(&place, &[&["groups", "reset-offsets", "billing"], more].concat());
        moved
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["to"].as_i64().expect("a number"))
            .collect::<Vec<_>>()
    };
    let committed = || {
        let group = json(&place, &["groups", "describe", "billing"]);
        let rows = group["partitions"].as_array().expect("a list").clone();
        rows.iter().find(|row| row["partition"] == 0).and_then(|row| row["committed"].as_i64())
    };
    assert_eq!(reset(&["--topic", "orders", "--to-latest", "--execute"]), [4, 0]);
    for (form, expected) in [
        (&["--to-earliest"][..], 0),
        (&["--to-offset", "3"], 3),
        (&["--to-offset", "99"], 4),
        (&["--shift-by", "-2"], 2),
        (&["--shift-by=-1"], 1),
        (&["--shift-by", "2"], 3),
        (&["--to-datetime", "1970-01-01T00:00:02Z"], 1),
        (&["--to-datetime", "3500"], 3),
        (&["--to-latest"], 4),
    ] {
        let before = committed();
        let one = [&["--topic", "orders:0"], form].concat();
        assert_eq!(reset(&one), [expected], "{form:?}");
        assert_eq!(committed(), before, "without --execute nothing changes");
        assert_eq!(reset(&[&one[..], &["--execute"]].concat()), [expected], "{form:?}");
        assert_eq!(committed(), Some(expected), "{form:?}");
    }
    for (arguments, text) in [
        (&["nobody", "--to-latest"][..], "--topic"),
        (&["billing", "--to-latest", "--topic", "nope"], "topic nope does not exist"),
        (&["billing", "--to-latest", "--topic", "orders:7"], "no partition 7"),
        (&["billing", "--to-latest", "--topic", "orders:x"], "write orders:0,2"),
    ] {
        let refused = refusal(&place, &[&["groups", "reset-offsets"], arguments].concat(), "");
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(place.run(&["groups", "reset-offsets", "billing"], "").status.code(), Some(2));
    place.ok(&["groups", "delete", "billing"], "");
    assert!(refusal(&place, &["groups", "delete", "billing"], "").contains("does not exist"));
}

#[test]
fn a_record_that_is_refused_is_named_and_the_others_are_counted() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    let large = format!("small\nalso small\n{}\n", "x".repeat(1_100_000));
    let refused = refusal(&place, &["produce", "orders"], &large);
    assert!(refused.contains("line 3 was not written") && refused.contains("max.message.bytes"), "{refused}");
    // Those that were in one batch with it are not its victims.
    assert!(refused.contains("; 2 lines were written"), "{refused}");
    assert_eq!(place.ok(&["consume", "orders", "--exit"], "").lines().count(), 2);
    place.ok(&["topics", "create", "small", "--partitions", "1", "--config", "max.message.bytes=300"], "");
    let many: String = (0..1000).map(|i| format!("{i}\n")).collect();
    assert_eq!(place.ok(&["produce", "small"], &many), "produced 1000 records to small\n");
    assert_eq!(place.ok(&["consume", "small", "--exit"], ""), many, "all of them, in order");
    let unknown = refusal(&place, &["produce", "orders", "--partition", "9"], "1\n");
    assert!(unknown.contains("no partition 9"), "{unknown}");
    let illegal = refusal(&place, &["produce", "no/topic"], "1\n");
    assert!(illegal.contains("no/topic") && illegal.contains("INVALID_TOPIC_EXCEPTION"), "{illegal}");
    let separator = refusal(&place, &["produce", "orders", "-k", ":"], "a:1\nb\n");
    assert!(
        separator.contains("line 2 has no key") && separator.contains("; 1 line was written"),
        "{separator}"
    );
}

#[test]
fn every_command_says_that_nobody_is_there() {
    let place = Place::new(CLUSTER);
    for arguments in [
        &["topics", "list"][..],
        &["topics", "create", "t"],
        &["topics", "describe"],
        &["topics", "delete", "t"],
        &["consume", "t", "--exit"],
        &["consume", "t", "--group", "g"],
        &["groups", "list"],
        &["groups", "describe", "g"],
        &["groups", "reset-offsets", "g", "--to-latest"],
        &["groups", "delete", "g"],
        &["configs", "describe", "--topic", "t"],
        &["configs", "alter", "--topic", "t", "--set", "retention.ms=1"],
        &["produce", "t"],
    ] {
        let refused = refusal(&place, arguments, "1\n");
        assert!(refused.contains("no broker answers at localhost:"), "{arguments:?}: {refused}");
    }
    let unknown = refusal(&place, &["topics", "list", "-b", "nobody.invalid:9092"], "");
    assert!(unknown.contains("nobody.invalid:9092"), "{unknown}");
    let malformed = refusal(&place, &["topics", "list", "-b", "localhost"], "");
    assert!(malformed.contains("is not host:port, for example localhost:9092"), "{malformed}");
}

#[test]
fn mistakes_about_topics_and_configurations_say_what_to_do() {
    let place = Place::new(CLUSTER);
    let _dev = place.start();
    for (arguments, expected) in [
        (&["topics", "describe", "nope"][..], "topic nope does not exist; `taffrail topics list`"),
        (&["topics", "delete", "nope"], "topic nope does not exist"),
        (&["topics", "create", "orders"], "TOPIC_ALREADY_EXISTS"),
        (&["topics", "create", "new", "--replication-factor", "3"], "INVALID_REPLICATION_FACTOR"),
        (&["topics", "create", "new", "--config", "retention.sm=1"], "did you mean retention.ms?"),
        (&["topics", "alter", "orders", "--partitions", "1"], "INVALID_PARTITIONS"),
        (&["topics", "alter", "orders"], "give --partitions, --config or --delete-config"),
        (&["consume", "nope", "--exit"], "topic nope does not exist"),
        (&["consume", "orders", "--partition", "7", "--exit"], "no partition 7"),
        (&["configs", "alter", "--topic", "orders", "--set", "retention.ms=week"], "Invalid value week"),
        (&["configs", "alter", "--topic", "orders"], "give --set"),
        (&["configs", "alter", "--broker", "0", "--set", "node.id=4"], "INVALID_CONFIG"),
        (&["configs", "describe", "--broker", "7"], "no broker 7"),
        (&["configs", "describe", "--topic", "nope"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["groups", "describe", "nope"], "group nope does not exist; `taffrail groups list`"),
    ] {
        let refused = refusal(&place, arguments, "");
        assert!(refused.contains(expected), "{arguments:?}: {refused}");
    }
    assert!(place.ok(&["topics", "delete", "nope", "--if-exists"], "").is_empty());
    place.ok(&["topics", "create", "orders", "--if-not-exists"], "");

    // A dry run changes nothing; lists take and give single values; a deleted key has its default again.
    let altered = |more: &[&str]| place.ok(&[&["configs", "alter", "--topic", "orders"], more].concat(), "");
    let value = |key: &str| {
        let entries = json(&place, &["configs", "describe", "--topic", "orders", "--all"]);
        let entries = entries.as_array().expect("a list").clone();
        entries.into_iter().find(|entry| entry["name"] == key).expect("is known")["value"].clone()
    };
    altered(&["--set", "retention.ms=1000", "--dry-run"]);
    assert_eq!(value("retention.ms"), "604800000");
    altered(&["--set", "retention.ms=1000", "--append", "cleanup.policy=compact"]);
    assert_eq!((value("retention.ms"), value("cleanup.policy")), ("1000".into(), "delete,compact".into()));
    altered(&["--delete", "retention.ms", "--subtract", "cleanup.policy=delete"]);
    assert_eq!((value("retention.ms"), value("cleanup.policy")), ("604800000".into(), "compact".into()));
}

#[test]
fn a_log_is_dumped_and_damage_in_it_is_found() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    let produce = ["produce", "orders", "--partition", "0", "-k", ":", "-z", "zstd"];
    place.ok(&produce, "a:1\nb:2\n");
    place.ok(&produce, "c:3\n");
    assert!(dev.stop(Signal::INT), "{}", dev.output());
    let folder = place.data().join("node-0/data/orders-0");
    let log = folder.join("00000000000000000000.log");
    let path = log.to_str().expect("is text");
    let dumped = place.ok(&["log", "dump", path, "--records", "-o", "json"], "");
    let lines: Vec<serde_json::Value> =
        dumped.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    assert!(lines.iter().any(|line| line["compression"] == "zstd" && line["isIntact"] == true), "{dumped}");
    assert!(dumped.contains(r#""key":"c""#) && dumped.contains(r#""value":"3""#), "{dumped}");
    // The folder: every file that is there, the indexes too.
    let all = place.ok(&["log", "dump", folder.to_str().expect("is text")], "");
    assert!(all.contains(".timeindex:") && all.contains("leader epoch 0  from offset 0"), "{all}");

    let mut bytes = std::fs::read(&log).expect("is there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&log, &bytes).expect("is writable");
    let damaged = place.run(&["log", "dump", path], "");
    let text = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert_eq!(damaged.status.code(), Some(1), "{text}");
    assert!(text.contains("damaged"), "{text}");
    for (path, expected) in
        [("/nowhere/00000000000000000000.log", "No such file"), ("notes.txt", "notes.txt is not")]
    {
        assert!(refusal(&place, &["log", "dump", path], "").contains(expected));
    }
}
