//! `taffrail groups reset-offsets`: shows what would change; changes it with `--execute`.

use std::collections::BTreeMap;

use anyhow::bail;
use client::Admin;
use client::admin::{OffsetSpec, OffsetToCommit, TopicPartitionName};
use serde_json::json;
use types::Timestamp;

use crate::output::{Format, OutputArgs, line, or_dash};

/// Arguments of `taffrail groups reset-offsets`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResetArgs {
    /// The group
    group: String,
    /// A topic, or some of its partitions: orders, orders:0,2; may be repeated [default: all that are committed]
    #[arg(short, long = "topic", value_name = "TOPIC[:PARTITION,…]")]
    topics: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Really do it
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Only show what would change, which is the default
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the first record that is there
    #[arg(long)]
    to_earliest: bool,
    /// To the end, behind all records
    #[arg(long)]
    to_latest: bool,
    /// To this offset, or the nearest that is there
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// Forwards by so many records, or with a minus sign backwards
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record at this time or later, for example 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    to_datetime: Option<i64>,
}

/// Where a partition begins, where it ends and what the group has committed.
struct Bounds {
    earliest: i64,
    latest: i64,
    committed: Option<i64>,
}

struct Move {
    partition: TopicPartitionName,
    from: Option<i64>,
    to: i64,
}

pub(crate) async fn run(admin: &Admin, output: &OutputArgs, args: ResetArgs) -> anyhow::Result<()> {
    let group = &args.group;
    let moves = plan(admin, &args).await?;
    if moves.is_empty() {
        bail!("group {group} has no committed offsets: name what to reset with --topic");
    }
    if args.execute {
        refuse_if_running(admin, group).await?;
        let offsets: Vec<_> = moves
            .iter()
            .map(|planned| OffsetToCommit {
                partition: planned.partition.clone(),
                offset: planned.to,
                leader_epoch: -1,
            })
            .collect();
        admin.commit_offsets(group, &offsets).await?;
    }
    let values: Vec<_> = moves
        .iter()
        .map(|planned| {
            json!({
                "topic": planned.partition.topic, "partition": planned.partition.partition,
                "from": planned.from, "to": planned.to, "executed": args.execute,
            })
        })
        .collect();
    output.rows(&["topic", "partition", "from", "to"], &values, |value| {
        vec![
            value["topic"].as_str().unwrap_or_default().to_owned(),
            value["partition"].to_string(),
            or_dash(value["from"].as_i64()),
            value["to"].to_string(),
        ]
    })?;
    match output.output {
        Format::Table if !args.execute => line("\nnothing was changed; add --execute to do it"),
        Format::Table | Format::Json => Ok(()),
    }
}

async fn refuse_if_running(admin: &Admin, group: &str) -> anyhow::Result<()> {
    let members = super::described(admin, group).await?.map_or(0, |group| group.members.len());
    if members > 0 {
        let members = crate::output::counted(members, "member");
        bail!("group {group} has {members}, which would overwrite the offsets: stop its consumers first");
    }
    Ok(())
}

async fn plan(admin: &Admin, args: &ResetArgs) -> anyhow::Result<Vec<Move>> {
    let committed = admin.committed_offsets(&args.group).await?;
    let partitions = match args.topics.is_empty() {
        true => committed.keys().cloned().collect(),
        false => named(admin, &args.topics).await?,
    };
    let earliest = admin.list_offsets(&partitions, OffsetSpec::Earliest).await?;
    let latest = admin.list_offsets(&partitions, OffsetSpec::Latest).await?;
    let at_time = match args.target.to_datetime {
        Some(time) => admin.list_offsets(&partitions, OffsetSpec::AtOrAfter(Timestamp(time))).await?,
        None => BTreeMap::new(),
    };
    let mut moves = Vec::new();
    for partition in partitions {
        let (Some(first), Some(end)) = (earliest.get(&partition), latest.get(&partition)) else { continue };
        let bounds = Bounds {
            earliest: first.offset,
            latest: end.offset,
            committed: committed.get(&partition).map(|committed| committed.offset),
        };
        let at_time = at_time.get(&partition).map(|found| found.offset);
        let Some(to) = target(&args.target, &bounds, at_time) else {
            bail!("{partition} has no committed offset to shift: use --to-earliest or --to-latest");
        };
        moves.push(Move { partition, from: bounds.committed, to });
    }
    Ok(moves)
}

/// The offset to move to, within what is there.
fn target(target: &Target, bounds: &Bounds, at_time: Option<i64>) -> Option<i64> {
    let wanted = if target.to_earliest {
        bounds.earliest
    } else if let Some(offset) = target.to_offset {
        offset
    } else if let Some(count) = target.shift_by {
        bounds.committed?.saturating_add(count)
    } else if let Some(offset) = at_time {
        // No record is that late: the group continues with the next one.
        if offset < 0 { bounds.latest } else { offset }
    } else {
        bounds.latest
    };
    Some(wanted.clamp(bounds.earliest, bounds.latest))
}

/// The partitions of `orders` and of `orders:0,2`.
async fn named(admin: &Admin, topics: &[String]) -> anyhow::Result<Vec<TopicPartitionName>> {
    let mut partitions = Vec::new();
    for text in topics {
        let (topic, indexes) = text.split_once(':').map_or((text.as_str(), None), |(t, i)| (t, Some(i)));
        let metadata = admin.describe_topics(&[topic]).await?;
        let found = metadata.topic(topic)?;
        match indexes {
            None => {
                let all = found.partitions.iter().map(|found| TopicPartitionName::new(topic, found.index));
                partitions.extend(all);
            }
            Some(indexes) => {
                for index in indexes.split(',') {
                    let Ok(index) = index.trim().parse::<i32>() else {
                        bail!("{text:?}: {index:?} is not the number of a partition; write orders:0,2");
                    };
                    metadata.partition(topic, index)?;
                    partitions.push(TopicPartitionName::new(topic, index));
                }
            }
        }
    }
    partitions.sort();
    partitions.dedup();
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Target, target};

    const NONE: Target =
        Target { to_earliest: false, to_latest: false, to_offset: None, shift_by: None, to_datetime: None };

    #[test]
    fn targets_stay_within_what_is_there() {
        let bounds = Bounds { earliest: 10, latest: 100, committed: Some(50) };
        let to_offset = |offset| Target { to_offset: Some(offset), ..NONE };
        let shift_by = |count| Target { shift_by: Some(count), ..NONE };
        assert_eq!(target(&Target { to_earliest: true, ..NONE }, &bounds, None), Some(10));
        assert_eq!(target(&Target { to_latest: true, ..NONE }, &bounds, None), Some(100));
        assert_eq!(target(&to_offset(5), &bounds, None), Some(10));
        assert_eq!(target(&to_offset(70), &bounds, None), Some(70));
        assert_eq!(target(&shift_by(-20), &bounds, None), Some(30));
        assert_eq!(target(&shift_by(i64::MAX), &bounds, None), Some(100));
        let by_time = Target { to_datetime: Some(1), ..NONE };
        assert_eq!(target(&by_time, &bounds, Some(42)), Some(42));
        assert_eq!(target(&by_time, &bounds, Some(-1)), Some(100));
    }

    #[test]
    fn nothing_committed_cannot_be_shifted() {
        let bounds = Bounds { earliest: 0, latest: 9, committed: None };
        assert_eq!(target(&Target { shift_by: Some(1), ..NONE }, &bounds, None), None);
    }
}
