//! `taffrail configs`.

use anyhow::bail;
use client::admin::{ConfigAlteration, ConfigEntry, ConfigResource, ConfigSource, Operation};
use serde_json::{Value, json};

use super::topics::key_value;
use crate::connect::ConnectArgs;
use crate::output::{Format, OutputArgs, line};

/// Arguments of `taffrail configs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what is in force and where it comes from
    Describe {
        #[command(flatten)]
        resource: Resource,
        /// Also the keys that have their default
        #[arg(long)]
        all: bool,
    },
    /// Change some keys and leave the others alone
    Alter(Alter),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Resource {
    /// A topic
    #[arg(short, long, value_name = "NAME")]
    topic: Option<String>,
    /// One broker
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// What all brokers share
    #[arg(long)]
    broker_default: bool,
}

#[derive(Debug, clap::Args)]
struct Alter {
    #[command(flatten)]
    resource: Resource,
    /// Give a key a value; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Return a key to its default; may be repeated
    #[arg(short, long, value_name = "KEY")]
    delete: Vec<String>,
    /// Add values to a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take values out of a list; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    /// Only say whether it would be accepted
    #[arg(long)]
    dry_run: bool,
}

impl Resource {
    fn resource(self) -> ConfigResource {
        match (self.topic, self.broker) {
            (Some(topic), _) => ConfigResource::Topic(topic),
            (None, Some(id)) => ConfigResource::Broker(id),
            (None, None) => ConfigResource::BrokerDefault,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let admin = args.connect.admin()?;
    match args.command {
        Command::Describe { resource, all } => {
            let resource = resource.resource();
            let mut entries = admin.describe_configs(&resource).await?;
            entries.retain(|entry| all || entry.source != ConfigSource::DEFAULT);
            describe(&args.output, &resource, &entries)
        }
        Command::Alter(alter) => {
            let (resource, alterations, dry_run) = alter.parts()?;
            admin.alter_configs(&resource, &alterations, dry_run).await?;
            let keys = crate::output::counted(alterations.len(), "key");
            let sentence = match dry_run {
                true => format!("{resource} would accept {keys}; nothing was changed"),
                false => format!("altered {keys} of {resource}"),
            };
            let value =
                json!({"resource": resource.to_string(), "keys": alterations.len(), "dryRun": dry_run});
            args.output.done(&sentence, &value)
        }
    }
}

impl Alter {
    fn parts(self) -> anyhow::Result<(ConfigResource, Vec<ConfigAlteration>, bool)> {
        let alteration = |name: String, operation| ConfigAlteration { name, operation };
        let set = self.set.into_iter().map(|(name, value)| alteration(name, Operation::Set(value)));
        let delete = self.delete.into_iter().map(|name| alteration(name, Operation::Delete));
        let append = self.append.into_iter().map(|(name, value)| alteration(name, Operation::Append(value)));
        let subtract =
            self.subtract.into_iter().map(|(name, value)| alteration(name, Operation::Subtract(value)));
        let alterations: Vec<_> = set.chain(delete).chain(append).chain(subtract).collect();
        if alterations.is_empty() {
            bail!("nothing to alter: give --set, --delete, --append or --subtract");
        }
        Ok((self.resource.resource(), alterations, self.dry_run))
    }
}

fn describe(output: &OutputArgs, resource: &ConfigResource, entries: &[ConfigEntry]) -> anyhow::Result<()> {
    if entries.is_empty() && output.output == Format::Table {
        return line(&format!("{resource} has defaults only; --all shows them"));
    }
    let values: Vec<_> = entries.iter().map(value).collect();
    output.rows(&["name", "value", "source", "read only"], &values, |value| {
        let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
        let is_read_only = if value["readOnly"] == json!(true) { "yes" } else { "no" };
        let source = text("source").trim_end_matches("_CONFIG").to_lowercase().replace('_', " ");
        vec![text("name"), text("value"), source, is_read_only.to_owned()]
    })
}

fn value(entry: &ConfigEntry) -> Value {
    let synonyms = entry.synonyms.iter().map(
        |synonym| json!({"name": synonym.name, "value": synonym.value, "source": synonym.source.name()}),
    );
    json!({
        "name": entry.name, "value": entry.value, "source": entry.source.name(),
        "readOnly": entry.is_read_only, "sensitive": entry.is_sensitive,
        "synonyms": synonyms.collect::<Vec<_>>(),
    })
}
