//! A topic's configuration as the rest of the broker uses it: typed, every key resolved.

use std::str::FromStr;

use crate::catalogue::{broker_definition, topic_definition};
use crate::describe::scaled;
use crate::validate::parse_bool;
use crate::{BrokerLayers, ConfigDef, Overrides, split_list};

/// What happens to old segments; neither means that they stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// By time and size.
    pub delete: bool,
    /// To the latest record of each key.
    pub compact: bool,
}

/// How batches are compressed in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not at all.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// Every topic key whose behaviour exists, resolved. The fields are Kafka's keys with `_` for `.`; -1 is no limit.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each field is the key of the same name, which the catalogue documents")]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: CompressionType,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// A topic's overrides over the broker's layers over the defaults. Values were validated when they were set; one
    /// that is no longer legal falls through to the next layer.
    pub fn resolve(overrides: &Overrides, broker: &BrokerLayers<'_>) -> TopicConfig {
        let values = Values { overrides, broker };
        TopicConfig {
            cleanup_policy: values.parsed("cleanup.policy", parse_cleanup),
            compression_type: values.parsed("compression.type", parse_compression),
            compression_gzip_level: values.number("compression.gzip.level"),
            compression_lz4_level: values.number("compression.lz4.level"),
            compression_zstd_level: values.number("compression.zstd.level"),
            delete_retention_ms: values.number("delete.retention.ms"),
            file_delete_delay_ms: values.number("file.delete.delay.ms"),
            flush_messages: values.number("flush.messages"),
            flush_ms: values.number("flush.ms"),
            index_interval_bytes: values.number("index.interval.bytes"),
            max_compaction_lag_ms: values.number("max.compaction.lag.ms"),
            max_message_bytes: values.number("max.message.bytes"),
            message_timestamp_after_max_ms: values.number("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: values.number("message.timestamp.before.max.ms"),
            message_timestamp_type: values.parsed("message.timestamp.type", parse_timestamp_type),
            min_cleanable_dirty_ratio: values.number("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: values.number("min.compaction.lag.ms"),
            min_insync_replicas: values.number("min.insync.replicas"),
            preallocate: values.parsed("preallocate", parse_bool),
            retention_bytes: values.number("retention.bytes"),
            retention_ms: values.number("retention.ms"),
            segment_bytes: values.number("segment.bytes"),
            segment_index_bytes: values.number("segment.index.bytes"),
            segment_jitter_ms: values.number("segment.jitter.ms"),
            segment_ms: values.number("segment.ms"),
            unclean_leader_election_enable: values.parsed("unclean.leader.election.enable", parse_bool),
        }
    }
}

struct Values<'a> {
    overrides: &'a Overrides,
    broker: &'a BrokerLayers<'a>,
}

impl Values<'_> {
    fn number<T: FromStr>(&self, key: &str) -> T {
        self.parsed(key, |value| value.trim().parse().ok())
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let definition = topic_definition(key).expect("only keys of the catalogue are resolved");
        let own = self.overrides.get(key).and_then(|value| parse(value));
        own.or_else(|| self.inherited(definition, &parse))
            .or_else(|| definition.default.and_then(&parse))
            .expect("every topic key has a default of its own type")
    }

    /// The first of the synonyms that somebody set or that has a default, in the topic key's unit.
    fn inherited<T>(&self, definition: &ConfigDef, parse: &impl Fn(&str) -> Option<T>) -> Option<T> {
        definition.synonyms.iter().find_map(|synonym| {
            let broker_key = broker_definition(synonym.key)?;
            self.broker.resolve(broker_key, |value| match synonym.factor {
                1 => parse(value),
                factor => parse(&scaled(value, factor)?.to_string()),
            })
        })
    }
}

fn parse_cleanup(value: &str) -> Option<CleanupPolicy> {
    split_list(value).try_fold(CleanupPolicy { delete: false, compact: false }, |policy, element| {
        match element {
            "delete" => Some(CleanupPolicy { delete: true, ..policy }),
            "compact" => Some(CleanupPolicy { compact: true, ..policy }),
            _ => None,
        }
    })
}

fn parse_compression(value: &str) -> Option<CompressionType> {
    match value.trim() {
        "producer" => Some(CompressionType::Producer),
        "uncompressed" => Some(CompressionType::Uncompressed),
        "gzip" => Some(CompressionType::Gzip),
        "snappy" => Some(CompressionType::Snappy),
        "lz4" => Some(CompressionType::Lz4),
        "zstd" => Some(CompressionType::Zstd),
        _ => None,
    }
}

fn parse_timestamp_type(value: &str) -> Option<TimestampType> {
    match value.trim() {
        "CreateTime" => Some(TimestampType::CreateTime),
        "LogAppendTime" => Some(TimestampType::LogAppendTime),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
    use crate::{BrokerLayers, Overrides};

    fn set(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn an_empty_topic_has_kafkas_defaults() {
        let config = TopicConfig::resolve(&Overrides::new(), &BrokerLayers::none());
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: false });
        assert_eq!(config.compression_type, CompressionType::Producer);
        assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
        assert_eq!(
            (config.retention_ms, config.segment_ms, config.flush_ms),
            (604_800_000, 604_800_000, i64::MAX)
        );
        assert_eq!((config.max_message_bytes, config.min_insync_replicas), (1_048_588, 1));
    }

    #[test]
    fn the_topic_wins_over_the_broker_and_an_illegal_value_falls_through() {
        let fixed = set(&[("log.retention.minutes", "3"), ("message.max.bytes", "2000")]);
        let cluster = set(&[("message.max.bytes", "oops")]);
        let layers = BrokerLayers { cluster: &cluster, fixed: &fixed, ..BrokerLayers::none() };
        let config = TopicConfig::resolve(&set(&[("cleanup.policy", "compact")]), &layers);
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: false, compact: true });
        assert_eq!((config.retention_ms, config.max_message_bytes), (180_000, 2000));
        let config = TopicConfig::resolve(&set(&[("retention.ms", "-1")]), &layers);
        assert_eq!(config.retention_ms, -1);
    }
}
