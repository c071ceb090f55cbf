//! `taffrail groups`.

mod reset;

use std::collections::BTreeMap;

use anyhow::bail;
use client::Admin;
use client::admin::{Committed, GroupDescription, GroupMember, OffsetSpec, TopicPartitionName};
use serde_json::{Value, json};
use types::ErrorCode;

use crate::connect::ConnectArgs;
use crate::output::{Format, OutputArgs, line, or_dash, table};

/// Arguments of `taffrail groups`.
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
    /// List the groups
    List,
    /// Show members, committed offsets and lag
    Describe {
        /// The group
        group: String,
    },
    /// Move the committed offsets of a group that is not running
    ResetOffsets(reset::ResetArgs),
    /// Delete groups with their committed offsets
    Delete {
        /// The groups
        #[arg(required = true)]
        groups: Vec<String>,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let admin = args.connect.admin()?;
    match args.command {
        Command::List => run_list(&admin, &args.output).await,
        Command::Describe { group } => run_describe(&admin, &args.output, &group).await,
        Command::ResetOffsets(reset) => reset::run(&admin, &args.output, reset).await,
        Command::Delete { groups } => run_delete(&admin, &args.output, &groups).await,
    }
}

async fn run_list(admin: &Admin, output: &OutputArgs) -> anyhow::Result<()> {
    let groups = admin.list_groups().await?;
    if groups.is_empty() && output.output == Format::Table {
        return line("no consumer groups yet; `taffrail consume TOPIC --group NAME` makes one");
    }
    let values: Vec<_> = groups
        .iter()
        .map(|group| {
            json!({
                "group": group.group_id, "state": group.state, "type": group.group_type,
                "protocolType": group.protocol_type, "coordinator": group.coordinator,
            })
        })
        .collect();
    output.rows(&["group", "state", "type", "coordinator"], &values, |value| {
        let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
        vec![text("group"), text("state"), text("type"), value["coordinator"].to_string()]
    })
}

/// A group that may not exist: `None` then.
async fn described(admin: &Admin, group: &str) -> anyhow::Result<Option<GroupDescription>> {
    match admin.describe_group(group).await {
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(None),
        described => Ok(Some(described?).filter(|group| group.state != "Dead")),
    }
}

/// One line of the description: a partition that the group has committed or is assigned.
struct Row {
    partition: TopicPartitionName,
    committed: Option<i64>,
    end: Option<i64>,
    member: Option<GroupMember>,
}

impl Row {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

async fn run_describe(admin: &Admin, output: &OutputArgs, group: &str) -> anyhow::Result<()> {
    let description = described(admin, group).await?;
    let committed = admin.committed_offsets(group).await?;
    let Some(description) = description else {
        bail!("group {group} does not exist; `taffrail groups list` shows those that do");
    };
    let rows = rows(admin, &description, committed).await?;
    if output.output == Format::Json {
        return crate::output::json(&json!({
            "group": description.group_id, "state": description.state, "assignor": description.protocol,
            "coordinator": description.coordinator, "members": description.members.len(),
            "partitions": rows.iter().map(row_value).collect::<Vec<_>>(),
        }));
    }
    let lag: i64 = rows.iter().filter_map(Row::lag).sum();
    line(&format!("Group:        {}", description.group_id))?;
    line(&format!("State:        {}", description.state))?;
    line(&format!("Members:      {}", description.members.len()))?;
    line(&format!("Coordinator:  broker {}", description.coordinator))?;
    line(&format!("Total lag:    {lag}"))?;
    if rows.is_empty() {
        return Ok(());
    }
    line("")?;
    table(&["topic", "partition", "committed", "end", "lag", "member", "host"], rows.iter().map(cells))
}

async fn rows(
    admin: &Admin,
    description: &GroupDescription,
    committed: BTreeMap<TopicPartitionName, Committed>,
) -> anyhow::Result<Vec<Row>> {
    let mut owners: BTreeMap<TopicPartitionName, Option<GroupMember>> =
        committed.keys().map(|partition| (partition.clone(), None)).collect();
    for member in &description.members {
        for partition in &member.assignment {
            owners.insert(partition.clone(), Some(member.clone()));
        }
    }
    let ends = ends(admin, owners.keys()).await?;
    let row = |(partition, member): (TopicPartitionName, Option<GroupMember>)| Row {
        committed: committed.get(&partition).map(|committed| committed.offset),
        end: ends.get(&partition).copied(),
        partition,
        member,
    };
    Ok(owners.into_iter().map(row).collect())
}

/// Where partitions end. Those of deleted topics end nowhere.
async fn ends(
    admin: &Admin,
    partitions: impl Iterator<Item = &TopicPartitionName>,
) -> anyhow::Result<BTreeMap<TopicPartitionName, i64>> {
    let partitions: Vec<_> = partitions.cloned().collect();
    let names: Vec<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
    let metadata = admin.describe_topics(&names).await?;
    let exists = |name: &TopicPartitionName| metadata.leader(&name.topic, name.partition).is_ok();
    let existing: Vec<_> = partitions.into_iter().filter(exists).collect();
    let ends = admin.list_offsets(&existing, OffsetSpec::Latest).await?;
    Ok(ends.into_iter().map(|(partition, end)| (partition, end.offset)).collect())
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.partition.topic.clone(),
        row.partition.partition.to_string(),
        or_dash(row.committed),
        or_dash(row.end),
        or_dash(row.lag()),
        or_dash(row.member.as_ref().map(|member| &member.member_id)),
        or_dash(row.member.as_ref().map(|member| member.client_host.trim_start_matches('/'))),
    ]
}

fn row_value(row: &Row) -> Value {
    json!({
        "topic": row.partition.topic, "partition": row.partition.partition, "committed": row.committed,
        "end": row.end, "lag": row.lag(),
        "member": row.member.as_ref().map(|member| &member.member_id),
        "clientId": row.member.as_ref().map(|member| &member.client_id),
        "host": row.member.as_ref().map(|member| &member.client_host),
    })
}

async fn run_delete(admin: &Admin, output: &OutputArgs, groups: &[String]) -> anyhow::Result<()> {
    for group in groups {
        match admin.delete_group(group).await {
            Err(error) if error.code() == Some(ErrorCode::NonEmptyGroup) => {
                bail!("group {group} still has members: stop its consumers first")
            }
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {
                bail!("group {group} does not exist; `taffrail groups list` shows those that do")
            }
            outcome => outcome?,
        }
        output.done(&format!("deleted group {group}"), &json!({"group": group, "deleted": true}))?;
    }
    Ok(())
}
