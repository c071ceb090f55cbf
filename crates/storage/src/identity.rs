//! Whose a data directory is, and how the process before this one left it.

use std::io;
use std::path::Path;

use types::{BrokerEpoch, Uuid};

use crate::data_dir::{OpenDirError, Shutdown};
use crate::disk::{Disk, Durability, read_file, remove_if_there, write_atomically};
use crate::meta::MetaProperties;
use crate::names::{self, LogDirName};

/// Reads or makes `meta.properties`; true if it was made.
pub(crate) fn identify(
    disk: &dyn Disk,
    path: &Path,
    node_id: i32,
    cluster_id: Option<&str>,
) -> Result<(MetaProperties, bool), OpenDirError> {
    let io_error = |source| OpenDirError::Io { path: path.to_owned(), source };
    let Some(content) = read_file(disk, &path.join(names::META_PROPERTIES)).map_err(io_error)? else {
        // It is written before the first log: without it, logs are not those of a directory that is new.
        if let Some(log) = any_log(disk, path).map_err(io_error)? {
            return Err(OpenDirError::NoMeta { path: path.to_owned(), log });
        }
        let directory_id = Uuid::from_random(disk.random().map_err(io_error)?);
        let meta = MetaProperties { cluster_id: cluster_id.map(str::to_owned), node_id, directory_id };
        return Ok((meta, true));
    };
    let text = String::from_utf8_lossy(&content);
    let meta = MetaProperties::decode(&text)
        .map_err(|source| OpenDirError::InvalidMeta { path: path.to_owned(), source })?;
    if meta.node_id != node_id {
        return Err(OpenDirError::OtherNode {
            path: path.to_owned(),
            found: meta.node_id,
            expected: node_id,
        });
    }
    match (&meta.cluster_id, cluster_id) {
        (Some(found), Some(expected)) if found != expected => {
            let (path, found, expected) = (path.to_owned(), found.clone(), expected.to_owned());
            Err(OpenDirError::OtherCluster { path, found, expected })
        }
        (None, Some(expected)) => {
            Ok((MetaProperties { cluster_id: Some(expected.to_owned()), ..meta }, false))
        }
        _ => Ok((meta, false)),
    }
}

fn any_log(disk: &dyn Disk, path: &Path) -> io::Result<Option<String>> {
    let entries = disk.read_dir(path)?.into_iter();
    let mut logs = entries
        .filter(|entry| entry.is_dir && matches!(names::parse_log_dir(&entry.name), LogDirName::Log { .. }));
    Ok(logs.next().map(|entry| entry.name))
}

pub(crate) fn previous_shutdown(disk: &dyn Disk, path: &Path) -> io::Result<Shutdown> {
    if let Some(content) = read_file(disk, &path.join(names::CLEAN_SHUTDOWN))? {
        return Ok(Shutdown::Clean { broker_epoch: broker_epoch(&content) });
    }
    let boot_id = read_file(disk, &path.join(names::BOOT_ID))?;
    let is_told = read_file(disk, &path.join(names::UNCLEAN_SHUTDOWN))?.is_none();
    Ok(match boot_id.filter(|_| is_told) {
        Some(boot_id) if boot_id == disk.boot_id()?.as_bytes() => Shutdown::ProcessCrash,
        _ => Shutdown::Unclean,
    })
}

/// The number after `"brokerEpoch":`; -1 where an older Kafka wrote none.
fn broker_epoch(content: &[u8]) -> BrokerEpoch {
    let text = String::from_utf8_lossy(content);
    let digits = text.split_once("\"brokerEpoch\"").map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let digits =
        digits.map(|rest| rest.split(|c: char| c != '-' && !c.is_ascii_digit()).next().unwrap_or_default());
    BrokerEpoch(digits.and_then(|digits| digits.parse().ok()).unwrap_or(-1))
}

/// From here on a crash is a crash: the marker goes, the boot id stays.
pub(crate) fn begin_run(
    disk: &dyn Disk,
    path: &Path,
    meta: &MetaProperties,
    previous: Shutdown,
) -> io::Result<()> {
    // Written points are good for the boot in which they were taken: they go before the boot id changes.
    if previous != Shutdown::ProcessCrash {
        remove_if_there(disk, &path.join(names::WRITTEN_POINTS))?;
    }
    // A crash before the controller was told must not make a crash of the process of it.
    if previous == Shutdown::Unclean {
        write_if_new(disk, &path.join(names::UNCLEAN_SHUTDOWN), b"", Durability::Written)?;
    }
    let boot_id = disk.boot_id()?;
    write_if_new(disk, &path.join(names::BOOT_ID), boot_id.as_bytes(), Durability::Written)?;
    remove_if_there(disk, &path.join(names::CLEAN_SHUTDOWN))?;
    write_if_new(disk, &path.join(names::META_PROPERTIES), meta.encode().as_bytes(), Durability::Synced)
}

/// Spares a full disk what is there already.
fn write_if_new(disk: &dyn Disk, path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    if read_file(disk, path)?.as_deref() == Some(content) {
        return Ok(());
    }
    write_atomically(disk, path, content, durability)
}
