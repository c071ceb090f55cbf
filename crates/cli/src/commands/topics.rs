//! `taffrail topics`.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use client::admin::{ConfigAlteration, ConfigResource, ConfigSource, NewTopic, Operation};
use client::{Admin, TopicMetadata};
use serde_json::{Value, json};
use types::ErrorCode;

use crate::connect::ConnectArgs;
use crate::output::{Format, OutputArgs, counted, joined, line, or_dash, table};

/// Arguments of `taffrail topics`.
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
    /// Create a topic
    Create(Create),
    /// List the topics
    List {
        /// Also those that belong to the brokers
        #[arg(long)]
        internal: bool,
    },
    /// Show partitions, replicas and what is configured
    Describe {
        /// The topics; all when none is given
        topics: Vec<String>,
    },
    /// Add partitions, or change the configuration
    Alter(Alter),
    /// Delete topics with all their records
    Delete {
        /// The topics
        #[arg(required = true)]
        topics: Vec<String>,
        /// Say nothing about a topic that does not exist
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name
    topic: String,
    /// Number of partitions [default: the broker's num.partitions]
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Replicas of each partition [default: the broker's default.replication.factor]
    #[arg(short, long, value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// Configuration, for example retention.ms=3600000; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// Say nothing if it exists already
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Debug, clap::Args)]
struct Alter {
    /// Its name
    topic: String,
    /// Raise the number of partitions to this
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Set a configuration; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// Return a configuration to its default; may be repeated
    #[arg(short, long = "delete-config", value_name = "KEY")]
    delete_configs: Vec<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let admin = args.connect.admin()?;
    let output = &args.output;
    match args.command {
        Command::Create(create) => run_create(&admin, output, create).await,
        Command::List { internal } => run_list(&admin, output, internal).await,
        Command::Describe { topics } => run_describe(&admin, output, &topics).await,
        Command::Alter(alter) => run_alter(&admin, output, alter).await,
        Command::Delete { topics, if_exists } => run_delete(&admin, output, &topics, if_exists).await,
    }
}

/// Splits `key=value`; the value may hold further equals signs.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

async fn run_create(admin: &Admin, output: &OutputArgs, create: Create) -> anyhow::Result<()> {
    let topic = NewTopic {
        name: create.topic,
        partitions: create.partitions,
        replication_factor: create.replication_factor,
        configs: create.configs.into_iter().collect(),
    };
    let created = match admin.create_topic(&topic).await {
        Err(error) if create.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            let value = json!({"topic": topic.name, "created": false});
            return output.done(&format!("topic {} exists already", topic.name), &value);
        }
        created => created?,
    };
    let partitions = created.partitions.max(topic.partitions.unwrap_or(created.partitions));
    let value = json!({
        "topic": topic.name, "created": true, "topicId": created.topic_id.to_string(),
        "partitions": partitions, "replicationFactor": created.replication_factor,
    });
    let size = usize::try_from(partitions).map(|count| format!(" with {}", counted(count, "partition")));
    output.done(&format!("created topic {}{}", topic.name, size.unwrap_or_default()), &value)
}

async fn run_list(admin: &Admin, output: &OutputArgs, internal: bool) -> anyhow::Result<()> {
    let topics = admin.list_topics().await?;
    let shown: Vec<_> = topics.iter().filter(|topic| internal || !topic.is_internal).collect();
    if shown.is_empty() && output.output == Format::Table {
        return line("no topics yet; create one with `taffrail topics create NAME`");
    }
    let values: Vec<_> = shown.iter().map(|topic| summary(topic)).collect();
    output.rows(&["name", "partitions", "replicas", "topic id"], &values, |value| {
        ["topic", "partitionCount", "replicationFactor", "topicId"].map(|key| plain(&value[key])).to_vec()
    })
}

fn summary(topic: &TopicMetadata) -> Value {
    json!({
        "topic": topic.name, "partitionCount": topic.partitions.len(),
        "replicationFactor": topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
        "topicId": topic.topic_id.to_string(), "internal": topic.is_internal,
    })
}

/// A JSON scalar without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn run_describe(admin: &Admin, output: &OutputArgs, names: &[String]) -> anyhow::Result<()> {
    let topics = match names.is_empty() {
        true => admin.list_topics().await?.into_iter().filter(|topic| !topic.is_internal).collect(),
        false => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let metadata = admin.describe_topics(&names).await?;
            names.iter().map(|name| metadata.topic(name).cloned()).collect::<Result<Vec<_>, _>>()?
        }
    };
    let mut described = Vec::new();
    for topic in &topics {
        described.push((topic, overrides(admin, &topic.name).await?));
    }
    if output.output == Format::Json {
        let values: Vec<_> = described.iter().map(|(topic, configs)| description(topic, configs)).collect();
        return crate::output::json(&values);
    }
    for (i, (topic, configs)) in described.iter().enumerate() {
        if i > 0 {
            line("")?;
        }
        print_description(topic, configs)?;
    }
    Ok(())
}

/// What is set on the topic itself.
async fn overrides(admin: &Admin, topic: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let entries = admin.describe_configs(&ConfigResource::Topic(topic.to_owned())).await?;
    let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DYNAMIC_TOPIC);
    Ok(own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
}

fn description(topic: &TopicMetadata, configs: &BTreeMap<String, String>) -> Value {
    let partitions = topic.partitions.iter().map(|partition| {
        json!({
            "partition": partition.index, "leader": partition.leader, "leaderEpoch": partition.leader_epoch,
            "replicas": partition.replicas, "isr": partition.isr, "offlineReplicas": partition.offline_replicas,
        })
    });
    let mut value = summary(topic);
    value["configs"] = json!(configs);
    value["partitions"] = partitions.collect();
    value
}

fn print_description(topic: &TopicMetadata, configs: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    line(&format!("Topic:       {}", topic.name))?;
    line(&format!("Topic id:    {}", topic.topic_id))?;
    line(&format!("Partitions:  {}", topic.partitions.len()))?;
    line(&format!("Replicas:    {replicas}"))?;
    let configs: Vec<_> = configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    line(&format!("Configured:  {}", if configs.is_empty() { "-".to_owned() } else { configs.join(" ") }))?;
    line("")?;
    let rows = topic.partitions.iter().map(|partition| {
        vec![
            partition.index.to_string(),
            or_dash(partition.leader),
            partition.leader_epoch.to_string(),
            joined(&partition.replicas),
            joined(&partition.isr),
            if partition.offline_replicas.is_empty() {
                "-".to_owned()
            } else {
                joined(&partition.offline_replicas)
            },
        ]
    });
    table(&["partition", "leader", "epoch", "replicas", "in sync", "offline"], rows)
}

async fn run_alter(admin: &Admin, output: &OutputArgs, alter: Alter) -> anyhow::Result<()> {
    let set = alter.configs.iter().map(|(name, value)| ConfigAlteration {
        name: name.clone(),
        operation: Operation::Set(value.clone()),
    });
    let delete = alter
        .delete_configs
        .iter()
        .map(|name| ConfigAlteration { name: name.clone(), operation: Operation::Delete });
    let alterations: Vec<_> = set.chain(delete).collect();
    if alterations.is_empty() && alter.partitions.is_none() {
        bail!("nothing to alter: give --partitions, --config or --delete-config");
    }
    if !alterations.is_empty() {
        admin.alter_configs(&ConfigResource::Topic(alter.topic.clone()), &alterations, false).await?;
    }
    if let Some(count) = alter.partitions {
        admin.create_partitions(&alter.topic, count, false).await?;
    }
    let value = json!({"topic": alter.topic, "altered": true});
    output.done(&format!("altered topic {}", alter.topic), &value)
}

async fn run_delete(
    admin: &Admin,
    output: &OutputArgs,
    topics: &[String],
    if_exists: bool,
) -> anyhow::Result<()> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut deleted = Vec::new();
    let mut refused = Vec::new();
    for (name, outcome) in admin.delete_topics(&names).await? {
        match outcome {
            Ok(()) => deleted.push(name),
            Err(error) if error.code == ErrorCode::UnknownTopicOrPartition => {
                if !if_exists {
                    refused.push(format!("topic {name} does not exist"));
                }
            }
            Err(error) => refused.push(format!("topic {name}: {error}")),
        }
    }
    if output.output == Format::Table {
        deleted.iter().try_for_each(|name| line(&format!("deleted topic {name}")))?;
    } else {
        crate::output::json(&json!({"deleted": deleted})).context("cannot print")?;
    }
    if refused.is_empty() { Ok(()) } else { bail!(refused.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::key_value;

    #[test]
    fn values_may_hold_equals_signs() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("a").is_err() && key_value("=b").is_err());
    }
}
