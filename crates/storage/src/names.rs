//! Kafka's names for files and directories.

use std::path::{Path, PathBuf};

use types::{Offset, PartitionId};

pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TRANSACTION_INDEX: &str = "txnindex";
pub(crate) const PRODUCER_SNAPSHOT: &str = "snapshot";
/// The end of a file's name between its deletion and its removal.
pub(crate) const DELETED: &str = ".deleted";
/// The end of a name under which compaction works, and the one that says that it may take the old files' place.
pub(crate) const CLEANED: &str = ".cleaned";
pub(crate) const SWAP: &str = ".swap";
/// The end of a name under which [`write_atomically`](crate::disk::write_atomically) works.
pub(crate) const TEMPORARY: &str = ".tmp";
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

pub(crate) const LOCK: &str = ".lock";
pub(crate) const META_PROPERTIES: &str = "meta.properties";
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Ours: the kernel's boot id, so that a crash of the process is told from a crash of the machine.
pub(crate) const BOOT_ID: &str = ".taffrail_boot_id";
/// Ours: the machine went down, and nobody was told so yet.
pub(crate) const UNCLEAN_SHUTDOWN: &str = ".taffrail_unclean_shutdown";
/// Ours: space for what has to be written on a full disk.
pub(crate) const RESERVE: &str = ".taffrail_reserve";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const COMPACTED_POINTS: &str = "cleaner-offset-checkpoint";
/// Ours: up to where a log was written whole; as good as a recovery point after a crash of the process alone.
pub(crate) const WRITTEN_POINTS: &str = "taffrail-written-offset-checkpoint";

/// `DIR/00000000000000000042.EXTENSION`.
pub(crate) fn segment_file(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", base.0))
}

/// The base offset and extension in a segment file's name.
pub(crate) fn parse_segment_file(name: &str) -> Option<(Offset, &str)> {
    let (base, extension) = name.split_once('.')?;
    if base.len() != 20 || !base.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Offset(base.parse().ok()?), extension))
}

/// `TOPIC-N`.
pub(crate) fn log_dir(topic: &str, partition: PartitionId) -> String {
    format!("{topic}-{partition}")
}

/// What a directory's name says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogDirName {
    /// A partition's log.
    Log { topic: String, partition: PartitionId },
    /// A log that was deleted and waits for its removal.
    Deleted,
    /// A log that no one knew; an operator decides.
    Stray,
    /// Nothing of ours.
    Other,
}

pub(crate) fn parse_log_dir(name: &str) -> LogDirName {
    if name.ends_with("-delete") {
        return LogDirName::Deleted;
    }
    if name.ends_with("-stray") {
        return LogDirName::Stray;
    }
    let Some((topic, partition)) = name.rsplit_once('-') else { return LogDirName::Other };
    match partition.parse::<u31::U31>() {
        Ok(partition) if types::validate_topic_name(topic).is_ok() => {
            LogDirName::Log { topic: topic.to_owned(), partition: PartitionId(partition.0) }
        }
        _ => LogDirName::Other,
    }
}

mod u31 {
    //! A partition's number: digits only, no sign.
    pub(super) struct U31(pub(super) i32);

    impl std::str::FromStr for U31 {
        type Err = ();

        fn from_str(text: &str) -> Result<U31, ()> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(());
            }
            text.parse().map(U31).map_err(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let path = segment_file(Path::new("/d/t-0"), Offset(4_200_000_000), LOG);
        assert_eq!(path, Path::new("/d/t-0/00000000004200000000.log"));
        assert_eq!(parse_segment_file("00000000004200000000.log"), Some((Offset(4_200_000_000), "log")));
        assert_eq!(
            parse_segment_file("00000000004200000000.log.deleted"),
            Some((Offset(4_200_000_000), "log.deleted"))
        );
        for name in
            ["leader-epoch-checkpoint", "42.log", "-0000000000000000042.log", "99999999999999999999.log"]
        {
            assert_eq!(parse_segment_file(name), None, "{name}");
        }
    }

    #[test]
    fn directories_are_told_apart() {
        let log = |topic: &str, partition| LogDirName::Log {
            topic: topic.into(),
            partition: PartitionId(partition),
        };
        assert_eq!(parse_log_dir("a-b-12"), log("a-b", 12));
        assert_eq!(parse_log_dir("__consumer_offsets-49"), log("__consumer_offsets", 49));
        assert_eq!(parse_log_dir("t-0.0123456789abcdef-delete"), LogDirName::Deleted);
        assert_eq!(parse_log_dir("t-0.0123456789abcdef-stray"), LogDirName::Stray);
        for name in ["lost+found", "t-", "t-+1", "-1", "t"] {
            assert_eq!(parse_log_dir(name), LogDirName::Other, "{name}");
        }
    }
}
