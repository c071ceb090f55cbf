//! `taffrail broker`: one node, until a signal asks it to stop.

use std::path::{Path, PathBuf};

use anyhow::Context;
use config::node::{LogFormat, Logging, NodeConfig};
use tracing_subscriber::EnvFilter;

/// Arguments of `taffrail broker`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's broker.yaml
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    super::dev::die_with_parent()?;
    let config = read(&args.config)?;
    log_to_stderr(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(broker::run(config, crate::signals::stop()));
    result.with_context(|| args.config.display().to_string())
}

/// Reads and checks the file; errors name the line or the field.
fn read(path: &Path) -> anyhow::Result<NodeConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = with_environment(&text, |name| std::env::var(name).ok())
        .map_err(|name| anyhow::anyhow!("{}: the environment has no {name}", path.display()))?;
    let config: NodeConfig = serde_yaml::from_str(&text).map_err(|error| {
        let whole = error.to_string();
        let problem = whole.split(" at line ").next().unwrap_or(&whole);
        match error.location() {
            Some(location) => anyhow::anyhow!("{}: line {}: {problem}", path.display(), location.line()),
            None => anyhow::anyhow!("{}: {problem}", path.display()),
        }
    })?;
    config.validate().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    Ok(config)
}

/// Puts what the environment has in the place of `${env:NAME}` (Kafka writes it so, KIP-421): one file serves many nodes.
/// Fails with the name that is not there.
fn with_environment(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut parts = text.split("${env:");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').ok_or_else(|| part.to_owned())?;
        whole.push_str(&value(name).ok_or_else(|| name.to_owned())?);
        whole.push_str(rest);
    }
    Ok(whole)
}

/// Logs go to the standard error; RUST_LOG overrules the file for a moment's look.
pub(crate) fn log_to_stderr(log: &Logging) -> anyhow::Result<()> {
    let level = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty());
    // Raft tells every step at the level at which a node tells what happened to it.
    let level = level.unwrap_or_else(|| match log.level.contains("openraft") {
        true => log.level.clone(),
        false => format!("{},openraft={}", log.level, quieter(&log.level)),
    });
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("log.level {:?}: write error, warn, info, debug or trace", log.level))?;
    // A line that cannot be written is lost. Saying so on the same stderr would panic, and end a node whose log lies on a
    // full disk.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            subscriber.with_ansi(is_terminal).init();
        }
        // What a line is about stands in its own fields; the spans of libraries repeat it.
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
    Ok(())
}

fn quieter(level: &str) -> &str {
    match level.trim() {
        "debug" | "trace" => level.trim(),
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::{read, with_environment};

    fn error(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("is writable");
        read(file.path()).expect_err("has a mistake").to_string()
    }

    #[test]
    fn the_environment_is_put_in() {
        let value = |name: &str| (name == "POD_INDEX").then(|| "7".to_owned());
        let put = with_environment("nodeId: ${env:POD_INDEX}\nhost: b-${env:POD_INDEX}.x", value);
        assert_eq!(put.as_deref(), Ok("nodeId: 7\nhost: b-7.x"));
        assert_eq!(with_environment("${env:HOME}", value), Err("HOME".to_owned()));
    }

    #[test]
    fn mistakes_name_line_and_field() {
        let text =
            error("nodeId: 0\nroles: [broker]\ndataDirs: [/d]\nadmin: {bind: '127.0.0.1:0'}\nnodeid: 1\n");
        assert!(text.contains("line 5") && text.contains("nodeid") && text.contains("nodeId"), "{text}");
        let text = error("nodeId: zero\n");
        assert!(text.contains("line 1") && text.contains("nodeId"), "{text}");
        let text = error("nodeId: 0\nroles: []\ndataDirs: [/d]\nadmin: {bind: '127.0.0.1:0'}\n");
        assert!(text.contains("roles: is empty"), "{text}");
    }
}
