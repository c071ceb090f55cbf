//! `taffrail log`: what the files of a partition hold. Reads them itself, so that it works without a broker.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use record::Batch;
use serde_json::{Value, json};
use storage::RealDisk;
use storage::dump::{Dump, DumpedBatch, LogDump, dump, files};

use crate::output::{Format, OutputArgs, counted, line};

/// Arguments of `taffrail log`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print batches, index entries, producer states or leader epochs
    Dump {
        /// Files of a partition (.log, .index, .timeindex, .snapshot, leader-epoch-checkpoint) or its folder
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Print the records of each batch too
        #[arg(short, long)]
        records: bool,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Command::Dump { paths, records } = &args.command;
    let mut is_damaged = false;
    for path in paths {
        let found = match path.is_dir() {
            true => files(&RealDisk, path)?,
            false => vec![path.clone()],
        };
        if found.is_empty() {
            bail!("{} holds no files of a partition", path.display());
        }
        for file in &found {
            is_damaged |= print_file(args.output.output, file, *records)?;
        }
    }
    if is_damaged { bail!("damaged batches or bytes behind the last batch were found") } else { Ok(()) }
}

/// Prints one file and says whether something is wrong with it. JSON is a line an entry: files are long.
fn print_file(format: Format, path: &Path, records: bool) -> anyhow::Result<bool> {
    let name = path.display().to_string();
    let dumped = dump(&RealDisk, path)?;
    let emit = |mut value: Value, text: String| match format {
        Format::Table => line(&text),
        Format::Json => {
            value["file"] = json!(name);
            line(&value.to_string())
        }
    };
    if format == Format::Table {
        line(&format!("{name}:"))?;
    }
    match dumped {
        Dump::Log(log) => {
            return print_log(&emit, log, records).with_context(|| format!("cannot read {name}"));
        }
        Dump::OffsetIndex(entries) => {
            for entry in entries {
                let value = json!({"offset": entry.last_offset.0, "position": entry.position});
                emit(value, format!("  offset {}  position {}", entry.last_offset, entry.position))?;
            }
        }
        Dump::TimeIndex(entries) => {
            for entry in entries {
                let value = json!({"timestamp": entry.timestamp.0, "offset": entry.last_offset.0});
                emit(value, format!("  timestamp {}  offset {}", entry.timestamp, entry.last_offset))?;
            }
        }
        Dump::Producers(producers) => {
            for state in producers {
                let value = json!({
                    "producerId": state.producer_id.0, "producerEpoch": state.producer_epoch.0,
                    "lastSequence": state.last_sequence.0, "lastOffset": state.last_offset.0,
                    "timestamp": state.timestamp.0,
                });
                let text = format!(
                    "  producer {}  epoch {}  last sequence {}  last offset {}  at {}",
                    state.producer_id,
                    state.producer_epoch,
                    state.last_sequence,
                    state.last_offset,
                    crate::time::format(state.timestamp.0)
                );
                emit(value, text)?;
            }
        }
        Dump::LeaderEpochs(epochs) => {
            for (epoch, start) in epochs {
                let value = json!({"leaderEpoch": epoch.0, "startOffset": start.0});
                emit(value, format!("  leader epoch {epoch}  from offset {start}"))?;
            }
        }
    }
    Ok(false)
}

type Emit<'a> = dyn Fn(Value, String) -> anyhow::Result<()> + 'a;

fn print_log(emit: &Emit<'_>, mut log: LogDump, records: bool) -> anyhow::Result<bool> {
    let mut is_damaged = false;
    for dumped in log.by_ref() {
        let dumped = dumped?;
        is_damaged |= !dumped.is_intact;
        let (value, text) = describe(&dumped);
        emit(value, text)?;
        if records {
            print_records(emit, &dumped.batch)?;
        }
    }
    let left = log.bytes_left();
    if left > 0 {
        let bytes = counted(usize::try_from(left).unwrap_or(usize::MAX), "byte");
        emit(json!({"bytesLeft": left}), format!("  {bytes} behind the last batch are no batch"))?;
    }
    Ok(is_damaged || left > 0)
}

fn describe(dumped: &DumpedBatch) -> (Value, String) {
    let header = dumped.batch.header();
    let batch = header.summary();
    let value = json!({
        "baseOffset": batch.base_offset.0, "lastOffset": batch.last_offset().0,
        "records": batch.record_count, "position": dumped.position, "size": batch.size_bytes,
        "leaderEpoch": batch.leader_epoch.0, "compression": batch.compression.name(),
        "maxTimestamp": batch.max_timestamp.0, "producerId": batch.producer_id.0,
        "producerEpoch": batch.producer_epoch.0, "baseSequence": batch.base_sequence.0,
        "isTransactional": batch.is_transactional, "isControl": batch.is_control,
        "crc": header.crc, "isIntact": dumped.is_intact,
    });
    let producer = match batch.producer_id.0 {
        -1 => String::new(),
        id => format!("  producer {id}/{} sequence {}", batch.producer_epoch, batch.base_sequence),
    };
    let text = format!(
        "  offsets {}-{}  position {}  size {}  epoch {}  {}  {}{producer}{}{}",
        batch.base_offset,
        batch.last_offset(),
        dumped.position,
        batch.size_bytes,
        batch.leader_epoch,
        batch.compression.name(),
        crate::time::format(batch.max_timestamp.0),
        if batch.is_control { "  control" } else { "" },
        if dumped.is_intact { "" } else { "  DAMAGED: the checksum does not match" },
    );
    (value, text)
}

fn print_records(emit: &Emit<'_>, batch: &Batch) -> anyhow::Result<()> {
    let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| bytes.escape_ascii().to_string());
    for record in batch.records()? {
        let record = record?;
        let (key, value) = (text(&record.key), text(&record.value));
        let printed = format!(
            "    offset {}  {}  key {}  value {}",
            record.offset,
            crate::time::format(record.timestamp.0),
            key.as_deref().unwrap_or("null"),
            value.as_deref().unwrap_or("null")
        );
        let object = json!({
            "offset": record.offset.0, "timestamp": record.timestamp.0, "key": key, "value": value,
            "headers": record.headers.len(),
        });
        emit(object, printed)?;
    }
    Ok(())
}
