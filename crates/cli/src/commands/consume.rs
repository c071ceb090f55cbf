//! `taffrail consume`.

mod format;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use client::admin::{OffsetSpec, TopicPartitionName};
use client::consumer::{ConsumedRecord, FetchConfig, Fetcher, GroupConfig, GroupConsumer, OffsetReset};
use client::{Admin, Client};

use crate::connect::ConnectArgs;
use crate::output::OutputArgs;

const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of `taffrail consume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The topics
    #[arg(required = true)]
    topics: Vec<String>,
    /// Start at the first record instead of behind the last one
    #[arg(short, long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Consume as a member of this group, from where it has committed
    #[arg(short, long, conflicts_with_all = ["partition", "offset", "exit"])]
    group: Option<String>,
    /// Only these partitions; separate them with commas
    #[arg(short, long, value_delimiter = ',')]
    partition: Vec<i32>,
    /// Start at this offset; a negative one counts from the end
    #[arg(long, allow_negative_numbers = true)]
    offset: Option<i64>,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "COUNT")]
    max_messages: Option<u64>,
    /// Stop at the end, instead of waiting for more
    #[arg(short, long)]
    exit: bool,
    #[command(flatten)]
    print: format::PrintArgs,
}

/// What is read from: partitions by themselves, or a group's share.
enum Source {
    Alone(Fetcher),
    Member(Box<GroupConsumer>),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.connect.client()?;
    let (source, end) = open(&args, client).await?;
    let mut reader = Reader {
        source,
        end,
        next: BTreeMap::new(),
        generation: -1,
        left: args.max_messages.unwrap_or(u64::MAX),
        committed_at: Instant::now(),
        out: BufWriter::with_capacity(256 << 10, io::stdout()),
    };
    let mut stop = std::pin::pin!(crate::signals::stop());
    let result = loop {
        if reader.is_done() {
            break Ok(());
        }
        tokio::select! {
            () = &mut stop => break Ok(()),
            step = Box::pin(reader.step(&args)) => match step {
                Ok(()) => {}
                Err(error) => break Err(error),
            },
        }
    };
    let finished = reader.finish().await;
    result.and(finished)
}

/// The source, and the offsets at which `--exit` stops.
async fn open(
    args: &Args,
    client: Client,
) -> anyhow::Result<(Source, Option<BTreeMap<TopicPartitionName, i64>>)> {
    let reset = if args.from_beginning { OffsetReset::Earliest } else { OffsetReset::Latest };
    let fetch = FetchConfig { reset, ..FetchConfig::default() };
    let admin = Admin::new(client.clone());
    let partitions = partitions(args, &admin).await?;
    if let Some(group) = &args.group {
        let config = GroupConfig { fetch, ..GroupConfig::new(group, args.topics.clone()) };
        return Ok((Source::Member(Box::new(GroupConsumer::new(client, config))), None));
    }
    let earliest = admin.list_offsets(&partitions, OffsetSpec::Earliest).await?;
    let latest = admin.list_offsets(&partitions, OffsetSpec::Latest).await?;
    let mut positions = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for name in partitions {
        let first = earliest.get(&name).map_or(0, |found| found.offset);
        let last = latest.get(&name).map_or(first, |found| found.offset);
        let start = match args.offset {
            Some(offset) if offset < 0 => last.saturating_add(offset).max(first),
            Some(offset) => offset.clamp(first, last),
            None if args.from_beginning || args.exit => first,
            None => last,
        };
        if start < last {
            ends.insert(name.clone(), last);
        }
        positions.insert(name, start);
    }
    let mut fetcher = Fetcher::new(client, fetch);
    fetcher.assign(positions);
    Ok((Source::Alone(fetcher), args.exit.then_some(ends)))
}

async fn partitions(args: &Args, admin: &Admin) -> anyhow::Result<Vec<TopicPartitionName>> {
    let names: Vec<&str> = args.topics.iter().map(String::as_str).collect();
    let metadata = admin.describe_topics(&names).await?;
    let mut partitions = Vec::new();
    for name in names {
        let topic = metadata.topic(name)?;
        for &index in &args.partition {
            metadata.partition(name, index)?;
        }
        let all = topic.partitions.iter().map(|partition| partition.index);
        let wanted = all.filter(|index| args.partition.is_empty() || args.partition.contains(index));
        partitions.extend(wanted.map(|index| TopicPartitionName::new(name, index)));
    }
    if partitions.is_empty() {
        bail!("there is no partition to consume");
    }
    Ok(partitions)
}

/// The loop's state.
struct Reader {
    source: Source,
    end: Option<BTreeMap<TopicPartitionName, i64>>,
    /// Behind what was printed, by partition.
    next: BTreeMap<TopicPartitionName, i64>,
    /// The group's, to which `next` belongs.
    generation: i32,
    left: u64,
    committed_at: Instant,
    out: BufWriter<io::Stdout>,
}

impl Reader {
    fn is_done(&self) -> bool {
        self.left == 0 || self.end.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// Prints what one poll brings.
    async fn step(&mut self, args: &Args) -> anyhow::Result<()> {
        let records = match &mut self.source {
            Source::Alone(fetcher) => fetcher.poll().await?,
            Source::Member(member) => {
                let records = member.poll().await?;
                if self.generation != member.generation() {
                    // Meanwhile others may have had the partitions, and committed more than this member had printed.
                    self.generation = member.generation();
                    self.next.clear();
                }
                records
            }
        };
        let mut printed = BTreeMap::new();
        for record in &records {
            if self.left == 0 {
                break;
            }
            self.print(args, record, &mut printed)?;
        }
        self.out.flush()?;
        // Not before they are out: what a reader who went away has not got is not consumed.
        self.next.append(&mut printed);
        if let (Source::Alone(fetcher), Some(end)) = (&self.source, &mut self.end) {
            end.retain(|name, end| fetcher.positions().get(name).is_some_and(|position| position < end));
        }
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit().await?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        args: &Args,
        record: &ConsumedRecord,
        printed: &mut BTreeMap<TopicPartitionName, i64>,
    ) -> anyhow::Result<()> {
        let name = TopicPartitionName::new(&record.topic, record.partition);
        let is_past_end =
            self.end.as_ref().is_some_and(|end| end.get(&name).is_none_or(|&end| record.offset >= end));
        if is_past_end {
            return Ok(());
        }
        format::write(&mut self.out, args.output.output, &args.print, record)?;
        printed.insert(name, record.offset + 1);
        self.left -= 1;
        Ok(())
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        self.committed_at = Instant::now();
        if let Source::Member(member) = &mut self.source {
            member.commit_offsets(&self.next).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        let flushed = self.out.flush();
        let committed = self.commit().await;
        if let Source::Member(member) = self.source {
            member.leave().await?;
        }
        committed?;
        Ok(flushed?)
    }
}
