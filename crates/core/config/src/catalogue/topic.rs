//! The topic keys.

use crate::ConfigDef;
use crate::Kind::{Boolean, Double, Int, List, Long, String};
use crate::definition::Synonym;
use crate::definition::Validator::{AtLeast, Between, EachOneOf, GzipLevel, OneOf, Ratio, ThrottledReplicas};

pub(super) const LONG_MAX: &str = "9223372036854775807";
pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 3_600_000;

const fn same(key: &'static str) -> Synonym {
    Synonym { key, factor: 1 }
}

const fn times(key: &'static str, factor: i64) -> Synonym {
    Synonym { key, factor }
}

pub(super) static TOPIC: &[ConfigDef] = &[
    ConfigDef::new("cleanup.policy", List, Some("delete"), "What happens to old segments: delete them by time and size, compact them to the latest record per key, both, or (empty) neither.")
        .valid(EachOneOf(CLEANUP_POLICIES)).synonyms(&[same("log.cleanup.policy")]),
    ConfigDef::new("compression.gzip.level", Int, Some("-1"), "The level when compression.type is gzip.")
        .valid(GzipLevel).synonyms(&[same("compression.gzip.level")]).default_only(),
    ConfigDef::new("compression.lz4.level", Int, Some("9"), "The level when compression.type is lz4.")
        .valid(Between(1, 17)).synonyms(&[same("compression.lz4.level")]).default_only(),
    ConfigDef::new("compression.type", String, Some("producer"), "How batches are compressed in the log; `producer` keeps what the producer chose.")
        .valid(OneOf(COMPRESSION_TYPES)).synonyms(&[same("compression.type")]).default_only(),
    ConfigDef::new("compression.zstd.level", Int, Some("3"), "The level when compression.type is zstd.")
        .valid(Between(-131_072, 22)).synonyms(&[same("compression.zstd.level")]).default_only(),
    ConfigDef::new("delete.retention.ms", Long, Some("86400000"), "How long a compacted topic keeps tombstones, so that a reader from offset 0 sees them.")
        .valid(AtLeast(0)).synonyms(&[same("log.cleaner.delete.retention.ms")]),
    ConfigDef::new("errors.deadletterqueue.group.enable", Boolean, Some("false"), "Whether share groups may write undeliverable records to this topic.")
        .default_only(),
    ConfigDef::new("file.delete.delay.ms", Long, Some("60000"), "How long a deleted file stays on disk under its `.deleted` name.")
        .valid(AtLeast(0)).synonyms(&[same("log.segment.delete.delay.ms")]),
    ConfigDef::new("flush.messages", Long, Some(LONG_MAX), "After how many records the log is forced to disk.")
        .valid(AtLeast(1)).synonyms(&[same("log.flush.interval.messages")]),
    ConfigDef::new("flush.ms", Long, Some(LONG_MAX), "After how long the log is forced to disk.")
        .valid(AtLeast(0)).synonyms(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    ConfigDef::new("follower.replication.throttled.replicas", List, Some(""), "Replicas whose replication is throttled on the follower, as partition:broker pairs or *.")
        .valid(ThrottledReplicas),
    ConfigDef::new("index.interval.bytes", Int, Some("4096"), "How many bytes of log lie between two entries of the offset index.")
        .valid(AtLeast(0)).synonyms(&[same("log.index.interval.bytes")]),
    ConfigDef::new("leader.replication.throttled.replicas", List, Some(""), "Replicas whose replication is throttled on the leader, as partition:broker pairs or *.")
        .valid(ThrottledReplicas),
    ConfigDef::new("local.retention.bytes", Long, Some("-2"), "Bytes of a tiered partition that stay on local disk; -2 takes retention.bytes.")
        .valid(AtLeast(-2)).synonyms(&[same("log.local.retention.bytes")]).default_only(),
    ConfigDef::new("local.retention.ms", Long, Some("-2"), "How long segments of a tiered partition stay on local disk; -2 takes retention.ms.")
        .valid(AtLeast(-2)).synonyms(&[same("log.local.retention.ms")]).default_only(),
    ConfigDef::new("max.compaction.lag.ms", Long, Some(LONG_MAX), "The longest time that a record stays out of compaction.")
        .valid(AtLeast(1)).synonyms(&[same("log.cleaner.max.compaction.lag.ms")]),
    ConfigDef::new("max.decompressed.message.bytes", Int, Some("2147483639"), "The largest record after decompression, where the broker decompresses.")
        .valid(Between(1, 2_147_483_639)).default_only(),
    ConfigDef::new("max.message.bytes", Int, Some("1048588"), "The largest record batch, after compression.")
        .valid(AtLeast(0)).synonyms(&[same("message.max.bytes")]),
    ConfigDef::new("message.timestamp.after.max.ms", Long, Some("3600000"), "How far a record's timestamp may lie in the future when message.timestamp.type is CreateTime.")
        .valid(AtLeast(0)).synonyms(&[same("log.message.timestamp.after.max.ms")]),
    ConfigDef::new("message.timestamp.before.max.ms", Long, Some(LONG_MAX), "How far a record's timestamp may lie in the past when message.timestamp.type is CreateTime.")
        .valid(AtLeast(0)).synonyms(&[same("log.message.timestamp.before.max.ms")]),
    ConfigDef::new("message.timestamp.type", String, Some("CreateTime"), "Whether a record carries its producer's time or the time of its append.")
        .valid(OneOf(TIMESTAMP_TYPES)).synonyms(&[same("log.message.timestamp.type")]),
    ConfigDef::new("min.cleanable.dirty.ratio", Double, Some("0.5"), "The part of a compacted log that must be uncompacted before it is compacted again.")
        .valid(Ratio).synonyms(&[same("log.cleaner.min.cleanable.ratio")]),
    ConfigDef::new("min.compaction.lag.ms", Long, Some("0"), "The shortest time that a record stays uncompacted.")
        .valid(AtLeast(0)).synonyms(&[same("log.cleaner.min.compaction.lag.ms")]),
    ConfigDef::new("min.insync.replicas", Int, Some("1"), "How many replicas must be in sync for a write with acks=all to succeed.")
        .valid(AtLeast(1)).synonyms(&[same("min.insync.replicas")]),
    ConfigDef::new("preallocate", Boolean, Some("false"), "Whether a new segment's file gets its full size at once.")
        .synonyms(&[same("log.preallocate")]).default_only(),
    ConfigDef::new("remote.copy.lag.bytes", Long, Some("-1"), "Bytes by which copying to remote storage may lag; -1 takes local.retention.bytes.")
        .valid(AtLeast(-1)).default_only(),
    ConfigDef::new("remote.copy.lag.ms", Long, Some("0"), "How long copying to remote storage may lag; -1 takes local.retention.ms.")
        .valid(AtLeast(-1)).default_only(),
    ConfigDef::new("remote.log.copy.disable", Boolean, Some("false"), "Whether a tiered topic stops copying segments to remote storage.")
        .default_only(),
    ConfigDef::new("remote.log.delete.on.disable", Boolean, Some("false"), "Whether remote segments are deleted when tiered storage is switched off.")
        .default_only(),
    ConfigDef::new("remote.storage.enable", Boolean, Some("false"), "Whether the topic's old segments move to remote storage.")
        .default_only(),
    ConfigDef::new("retention.bytes", Long, Some("-1"), "Bytes of a partition that are kept under the delete policy; -1 is no limit.")
        .synonyms(&[same("log.retention.bytes")]),
    ConfigDef::new("retention.ms", Long, Some("604800000"), "How long records are kept under the delete policy; -1 is for ever.")
        .valid(AtLeast(-1))
        .synonyms(&[same("log.retention.ms"), times("log.retention.minutes", MS_PER_MINUTE), times("log.retention.hours", MS_PER_HOUR)]),
    ConfigDef::new("segment.bytes", Int, Some("1073741824"), "The size at which a segment is rolled.")
        .valid(AtLeast(1 << 20)).synonyms(&[same("log.segment.bytes")]),
    ConfigDef::new("segment.index.bytes", Int, Some("10485760"), "The size that an index file may reach before its segment is rolled.")
        .valid(AtLeast(4)).synonyms(&[same("log.index.size.max.bytes")]),
    ConfigDef::new("segment.jitter.ms", Long, Some("0"), "Up to how much earlier than segment.ms a segment is rolled, so that not all roll at once.")
        .valid(AtLeast(0)).synonyms(&[same("log.roll.jitter.ms"), times("log.roll.jitter.hours", MS_PER_HOUR)]),
    ConfigDef::new("segment.ms", Long, Some("604800000"), "The age at which a segment is rolled even when it is small.")
        .valid(AtLeast(1)).synonyms(&[same("log.roll.ms"), times("log.roll.hours", MS_PER_HOUR)]),
    ConfigDef::new("unclean.leader.election.enable", Boolean, Some("false"), "Whether a replica outside the ISR may lead as a last resort, losing records.")
        .synonyms(&[same("unclean.leader.election.enable")]),
];
