//! The `.snapshot` files of a log: what its idempotent producers had sent up to an offset.

use std::io;
use std::path::Path;

use record::ProducerSnapshotEntry;
use types::Offset;

use crate::disk::{Disk, Durability, read_file, write_atomically};
use crate::names;

/// How many are kept: the newest may be of a point that a crash of the machine undid.
const KEPT: usize = 4;

pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    offset: Offset,
    producers: &[ProducerSnapshotEntry],
    durability: Durability,
) -> io::Result<()> {
    write_encoded(disk, dir, offset, &record::encode_producer_snapshot(producers), durability)
}

pub(crate) fn write_encoded(
    disk: &dyn Disk,
    dir: &Path,
    offset: Offset,
    content: &[u8],
    durability: Durability,
) -> io::Result<()> {
    write_atomically(disk, &names::segment_file(dir, offset, names::PRODUCER_SNAPSHOT), content, durability)
}

/// The newest snapshot at or below `end` that can be read; what cannot be read is removed, and what is past `end` too:
/// it speaks of records that are no longer there.
pub(crate) fn newest(
    disk: &dyn Disk,
    dir: &Path,
    end: Offset,
) -> io::Result<Option<(Offset, Vec<ProducerSnapshotEntry>)>> {
    let (mut found, mut is_changed) = (None, false);
    for offset in offsets(disk, dir)?.into_iter().rev() {
        let path = names::segment_file(dir, offset, names::PRODUCER_SNAPSHOT);
        if offset <= end
            && let Some(content) = read_file(disk, &path)?
            && let Ok(producers) = record::decode_producer_snapshot(&content)
        {
            found = Some((offset, producers));
            break;
        }
        disk.remove_file(&path)?;
        is_changed = true;
    }
    if is_changed {
        // Should it come back once other records have taken its place, it would be believed.
        disk.sync_dir(dir)?;
    }
    Ok(found)
}

/// Removes all but the newest few.
pub(crate) fn prune(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let mut offsets = offsets(disk, dir)?;
    offsets.truncate(offsets.len().saturating_sub(KEPT));
    remove(disk, dir, offsets)
}

/// Removes those past `end`.
pub(crate) fn truncate(disk: &dyn Disk, dir: &Path, end: Offset) -> io::Result<()> {
    remove(disk, dir, offsets(disk, dir)?.into_iter().filter(|&offset| offset > end))
}

fn remove(disk: &dyn Disk, dir: &Path, offsets: impl IntoIterator<Item = Offset>) -> io::Result<()> {
    for offset in offsets {
        match disk.remove_file(&names::segment_file(dir, offset, names::PRODUCER_SNAPSHOT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn offsets(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Offset>> {
    let entries = disk.read_dir(dir)?;
    Ok(entries
        .iter()
        .filter_map(|entry| names::parse_segment_file(&entry.name))
        .filter(|&(_, extension)| extension == names::PRODUCER_SNAPSHOT)
        .map(|(offset, _)| offset)
        .collect())
}
