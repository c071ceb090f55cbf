//! A broker's configuration as the rest of the broker uses it: typed, every key resolved.

use std::str::FromStr;

use crate::catalogue::{RACK_AWARE_SELECTOR, broker_definition};
use crate::validate::parse_bool;
use crate::{BrokerLayers, Overrides};

/// The broker keys whose behaviour exists and that no topic key stands for. The fields are Kafka's keys with `_` for
/// `.`. None of them changes while the broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the key of the same name, which the catalogue documents")]
pub struct BrokerConfig {
    pub auto_create_topics_enable: bool,
    pub broker_heartbeat_interval_ms: i32,
    pub broker_session_timeout_ms: i32,
    pub connections_max_idle_ms: i64,
    pub default_replication_factor: i32,
    pub delete_topic_enable: bool,
    pub fetch_max_bytes: i32,
    pub group_initial_rebalance_delay_ms: i32,
    pub group_max_session_timeout_ms: i32,
    pub group_max_size: i32,
    pub group_min_session_timeout_ms: i32,
    pub log_cleaner_backoff_ms: i64,
    pub log_cleaner_dedupe_buffer_size: i64,
    pub log_cleaner_enable: bool,
    /// Whole bytes: a broker has no use for less than one.
    pub log_cleaner_io_max_bytes_per_second: u64,
    pub log_dir_low_water_bytes: i64,
    /// `log.open.files.max`.
    pub log_open_files_max: i64,
    pub log_flush_offset_checkpoint_interval_ms: i32,
    pub log_flush_scheduler_interval_ms: i64,
    pub log_retention_check_interval_ms: i64,
    pub max_connections: i32,
    pub max_connections_per_ip: i32,
    pub max_incremental_fetch_session_cache_slots: i32,
    pub max_request_partition_size_limit: i32,
    pub num_partitions: i32,
    pub num_replica_fetchers: i32,
    pub offset_metadata_max_bytes: i32,
    pub offsets_commit_timeout_ms: i32,
    pub offsets_retention_check_interval_ms: i64,
    pub offsets_retention_minutes: i32,
    pub offsets_topic_num_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    pub producer_id_expiration_ms: i32,
    pub replica_fetch_backoff_ms: i32,
    pub replica_fetch_max_bytes: i32,
    pub replica_fetch_min_bytes: i32,
    pub replica_fetch_response_max_bytes: i32,
    pub replica_fetch_wait_max_ms: i32,
    pub replica_lag_time_max_ms: i64,
    pub replica_selector_class: Option<String>,
    pub socket_request_max_bytes: i32,
}

impl BrokerConfig {
    /// The `config` map of `broker.yaml` over the defaults.
    pub fn resolve(fixed: &Overrides) -> BrokerConfig {
        let layers = &BrokerLayers { fixed, ..BrokerLayers::none() };
        BrokerConfig {
            auto_create_topics_enable: parsed(layers, "auto.create.topics.enable", parse_bool),
            broker_heartbeat_interval_ms: number(layers, "broker.heartbeat.interval.ms"),
            broker_session_timeout_ms: number(layers, "broker.session.timeout.ms"),
            connections_max_idle_ms: number(layers, "connections.max.idle.ms"),
            default_replication_factor: number(layers, "default.replication.factor"),
            delete_topic_enable: parsed(layers, "delete.topic.enable", parse_bool),
            fetch_max_bytes: number(layers, "fetch.max.bytes"),
            group_initial_rebalance_delay_ms: number(layers, "group.initial.rebalance.delay.ms"),
            group_max_session_timeout_ms: number(layers, "group.max.session.timeout.ms"),
            group_max_size: number(layers, "group.max.size"),
            group_min_session_timeout_ms: number(layers, "group.min.session.timeout.ms"),
            log_cleaner_backoff_ms: number(layers, "log.cleaner.backoff.ms"),
            log_cleaner_dedupe_buffer_size: number(layers, "log.cleaner.dedupe.buffer.size"),
            log_cleaner_enable: parsed(layers, "log.cleaner.enable", parse_bool),
            log_cleaner_io_max_bytes_per_second: parsed(
                layers,
                "log.cleaner.io.max.bytes.per.second",
                parse_rate,
            ),
            log_dir_low_water_bytes: number(layers, "log.dir.low.water.bytes"),
            log_open_files_max: number(layers, "log.open.files.max"),
            log_flush_offset_checkpoint_interval_ms: number(
                layers,
                "log.flush.offset.checkpoint.interval.ms",
            ),
            log_flush_scheduler_interval_ms: number(layers, "log.flush.scheduler.interval.ms"),
            log_retention_check_interval_ms: number(layers, "log.retention.check.interval.ms"),
            max_connections: number(layers, "max.connections"),
            max_connections_per_ip: number(layers, "max.connections.per.ip"),
            max_incremental_fetch_session_cache_slots: number(
                layers,
                "max.incremental.fetch.session.cache.slots",
            ),
            max_request_partition_size_limit: number(layers, "max.request.partition.size.limit"),
            num_partitions: number(layers, "num.partitions"),
            num_replica_fetchers: number(layers, "num.replica.fetchers"),
            offset_metadata_max_bytes: number(layers, "offset.metadata.max.bytes"),
            offsets_commit_timeout_ms: number(layers, "offsets.commit.timeout.ms"),
            offsets_retention_check_interval_ms: number(layers, "offsets.retention.check.interval.ms"),
            offsets_retention_minutes: number(layers, "offsets.retention.minutes"),
            offsets_topic_num_partitions: number(layers, "offsets.topic.num.partitions"),
            offsets_topic_replication_factor: number(layers, "offsets.topic.replication.factor"),
            offsets_topic_segment_bytes: number(layers, "offsets.topic.segment.bytes"),
            producer_id_expiration_ms: number(layers, "producer.id.expiration.ms"),
            replica_fetch_backoff_ms: number(layers, "replica.fetch.backoff.ms"),
            replica_fetch_max_bytes: number(layers, "replica.fetch.max.bytes"),
            replica_fetch_min_bytes: number(layers, "replica.fetch.min.bytes"),
            replica_fetch_response_max_bytes: number(layers, "replica.fetch.response.max.bytes"),
            replica_fetch_wait_max_ms: number(layers, "replica.fetch.wait.max.ms"),
            replica_lag_time_max_ms: number(layers, "replica.lag.time.max.ms"),
            replica_selector_class: broker_definition("replica.selector.class")
                .and_then(|definition| layers.resolve(definition, |value| Some(value.trim().to_owned()))),
            socket_request_max_bytes: number(layers, "socket.request.max.bytes"),
        }
    }
}

/// Whole bytes; the default is more than there are.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn parse_rate(value: &str) -> Option<u64> {
    value.trim().parse::<f64>().ok().map(|rate| (rate as u64).max(1))
}

impl BrokerConfig {
    /// Whether a consumer is sent to a replica in its own rack.
    pub fn is_rack_aware(&self) -> bool {
        self.replica_selector_class.as_deref() == Some(RACK_AWARE_SELECTOR)
    }
}

fn number<T: FromStr>(layers: &BrokerLayers<'_>, key: &str) -> T {
    parsed(layers, key, |value| value.trim().parse().ok())
}

fn parsed<T>(layers: &BrokerLayers<'_>, key: &str, parse: impl Fn(&str) -> Option<T>) -> T {
    let definition = broker_definition(key).expect("only keys of the catalogue are resolved");
    layers.resolve(definition, parse).expect("every resolved broker key has a default of its own type")
}

#[cfg(test)]
mod tests {
    use super::BrokerConfig;
    use crate::Overrides;

    #[test]
    fn the_file_wins_over_the_defaults() {
        let fixed = Overrides::from([
            ("num.partitions".to_owned(), "6".to_owned()),
            ("auto.create.topics.enable".to_owned(), "false".to_owned()),
        ]);
        let config = BrokerConfig::resolve(&fixed);
        assert_eq!((config.num_partitions, config.auto_create_topics_enable), (6, false));
        assert_eq!((config.fetch_max_bytes, config.offsets_topic_num_partitions), (57_671_680, 50));
    }
}
