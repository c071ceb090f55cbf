//! The broker keys that are topics' defaults.

use super::topic::{CLEANUP_POLICIES, COMPRESSION_TYPES, LONG_MAX, TIMESTAMP_TYPES};
use crate::ConfigDef;
use crate::Kind::{Boolean, Double, Int, List, Long, String};
use crate::definition::Validator::{AtLeast, Between, EachOneOf, GzipLevel, OneOf, Ratio};

pub(super) static LOG: &[ConfigDef] = &[
    ConfigDef::new("compression.gzip.level", Int, Some("-1"), "The default of the topics' compression.gzip.level.").valid(GzipLevel).default_only(),
    ConfigDef::new("compression.lz4.level", Int, Some("9"), "The default of the topics' compression.lz4.level.").valid(Between(1, 17)).default_only(),
    ConfigDef::new("compression.type", String, Some("producer"), "The default of the topics' compression.type.").valid(OneOf(COMPRESSION_TYPES)).high().default_only(),
    ConfigDef::new("compression.zstd.level", Int, Some("3"), "The default of the topics' compression.zstd.level.").valid(Between(-131_072, 22)).default_only(),
    ConfigDef::new("log.cleaner.delete.retention.ms", Long, Some("86400000"), "The default of the topics' delete.retention.ms.").valid(AtLeast(0)),
    ConfigDef::new("log.cleaner.max.compaction.lag.ms", Long, Some(LONG_MAX), "The default of the topics' max.compaction.lag.ms.").valid(AtLeast(1)),
    ConfigDef::new("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), "The default of the topics' min.cleanable.dirty.ratio.").valid(Ratio),
    ConfigDef::new("log.cleaner.min.compaction.lag.ms", Long, Some("0"), "The default of the topics' min.compaction.lag.ms.").valid(AtLeast(0)),
    ConfigDef::new("log.cleanup.policy", List, Some("delete"), "The default of the topics' cleanup.policy.").valid(EachOneOf(CLEANUP_POLICIES)),
    ConfigDef::new("log.flush.interval.messages", Long, Some(LONG_MAX), "The default of the topics' flush.messages.").valid(AtLeast(1)).high(),
    ConfigDef::new("log.flush.interval.ms", Long, None, "The default of the topics' flush.ms; unset takes log.flush.scheduler.interval.ms.").valid(AtLeast(0)).high(),
    ConfigDef::new("log.flush.scheduler.interval.ms", Long, Some(LONG_MAX), "How often logs are checked for a flush that is due.").valid(AtLeast(0)).high().read_only(),
    ConfigDef::new("log.index.interval.bytes", Int, Some("4096"), "The default of the topics' index.interval.bytes.").valid(AtLeast(0)),
    ConfigDef::new("log.index.size.max.bytes", Int, Some("10485760"), "The default of the topics' segment.index.bytes.").valid(AtLeast(4)),
    ConfigDef::new("log.local.retention.bytes", Long, Some("-2"), "The default of the topics' local.retention.bytes.").valid(AtLeast(-2)).default_only(),
    ConfigDef::new("log.local.retention.ms", Long, Some("-2"), "The default of the topics' local.retention.ms.").valid(AtLeast(-2)).default_only(),
    ConfigDef::new("log.message.timestamp.after.max.ms", Long, Some("3600000"), "The default of the topics' message.timestamp.after.max.ms.").valid(AtLeast(0)),
    ConfigDef::new("log.message.timestamp.before.max.ms", Long, Some(LONG_MAX), "The default of the topics' message.timestamp.before.max.ms.").valid(AtLeast(0)),
    ConfigDef::new("log.message.timestamp.type", String, Some("CreateTime"), "The default of the topics' message.timestamp.type.").valid(OneOf(TIMESTAMP_TYPES)),
    ConfigDef::new("log.preallocate", Boolean, Some("false"), "The default of the topics' preallocate.").default_only(),
    ConfigDef::new("log.retention.bytes", Long, Some("-1"), "The default of the topics' retention.bytes.").high(),
    ConfigDef::new("log.retention.hours", Int, Some("168"), "The default of the topics' retention.ms, in hours, when neither log.retention.ms nor log.retention.minutes is set.").high().read_only(),
    ConfigDef::new("log.retention.minutes", Int, None, "The default of the topics' retention.ms, in minutes, when log.retention.ms is not set.").high().read_only(),
    ConfigDef::new("log.retention.ms", Long, None, "The default of the topics' retention.ms; unset takes log.retention.minutes.").valid(AtLeast(-1)).high(),
    ConfigDef::new("log.roll.hours", Int, Some("168"), "The default of the topics' segment.ms, in hours, when log.roll.ms is not set.").valid(AtLeast(1)).high().read_only(),
    ConfigDef::new("log.roll.jitter.hours", Int, Some("0"), "The default of the topics' segment.jitter.ms, in hours, when log.roll.jitter.ms is not set.").valid(AtLeast(0)).high().read_only(),
    ConfigDef::new("log.roll.jitter.ms", Long, None, "The default of the topics' segment.jitter.ms.").valid(AtLeast(0)).high(),
    ConfigDef::new("log.roll.ms", Long, None, "The default of the topics' segment.ms.").valid(AtLeast(1)).high(),
    ConfigDef::new("log.segment.bytes", Int, Some("1073741824"), "The default of the topics' segment.bytes.").valid(AtLeast(1 << 20)).high(),
    ConfigDef::new("log.segment.delete.delay.ms", Long, Some("60000"), "The default of the topics' file.delete.delay.ms.").valid(AtLeast(0)).high(),
    ConfigDef::new("message.max.bytes", Int, Some("1048588"), "The default of the topics' max.message.bytes.").valid(AtLeast(0)).high(),
    ConfigDef::new("min.insync.replicas", Int, Some("1"), "The default of the topics' min.insync.replicas.").valid(AtLeast(1)).high(),
    ConfigDef::new("unclean.leader.election.enable", Boolean, Some("false"), "The default of the topics' unclean.leader.election.enable.").high(),
];
