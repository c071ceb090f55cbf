//! Whether a value may be set, with Kafka's words when it may not.

use crate::catalogue::{broker_definition, broker_definitions, topic_definition, topic_definitions};
use crate::definition::Validator;
use crate::{BrokerLayers, ConfigDef, ConfigError, Kind, Overrides, Support, TopicConfig, Update, nearest};

/// A record's string field holds no more.
const VALUE_LEN_MAX: usize = i16::MAX as usize;

/// The elements of a list value: separated by commas, trimmed; the empty text is the empty list.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let value = value.trim();
    value.split(',').map(str::trim).skip(usize::from(value.is_empty()))
}

/// Checks one topic key and value.
pub fn validate_topic_override(key: &str, value: &str) -> Result<&'static ConfigDef, ConfigError> {
    let definition = topic_definition(key).ok_or_else(|| ConfigError::UnknownTopicKey {
        key: key.to_owned(),
        nearest: nearest(key, topic_definitions().iter().map(|definition| definition.name)),
    })?;
    check(definition, value)?;
    Ok(definition)
}

/// Checks all overrides of one topic, each alone and against each other.
pub fn validate_topic_overrides(overrides: &Overrides, broker: &BrokerLayers<'_>) -> Result<(), ConfigError> {
    for (key, value) in overrides {
        validate_topic_override(key, value)?;
    }
    let config = TopicConfig::resolve(overrides, broker);
    if config.min_compaction_lag_ms > config.max_compaction_lag_ms {
        return Err(ConfigError::Conflict(format!(
            "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
            config.min_compaction_lag_ms, config.max_compaction_lag_ms
        )));
    }
    Ok(())
}

/// Checks one broker key and value that somebody sets at run time.
pub fn validate_broker_override(key: &str, value: &str) -> Result<&'static ConfigDef, ConfigError> {
    let definition = known_broker_key(key)?;
    match definition.update {
        Update::ReadOnly => Err(ConfigError::NotDynamic(key.to_owned())),
        Update::Dynamic => check(definition, value).map(|()| definition),
    }
}

/// Checks the `config` map of `broker.yaml`.
pub fn validate_static_broker(overrides: &Overrides) -> Result<(), ConfigError> {
    overrides.iter().try_for_each(|(key, value)| match known_broker_key(key)? {
        ConfigDef { support: Support::OwnField(field), .. } => {
            Err(ConfigError::OwnField { key: key.clone(), field })
        }
        definition => check(definition, value),
    })
}

fn known_broker_key(key: &str) -> Result<&'static ConfigDef, ConfigError> {
    broker_definition(key).ok_or_else(|| ConfigError::UnknownBrokerKey {
        key: key.to_owned(),
        nearest: nearest(key, broker_definitions().map(|definition| definition.name)),
    })
}

fn check(definition: &ConfigDef, value: &str) -> Result<(), ConfigError> {
    if value.len() > VALUE_LEN_MAX {
        return Err(ConfigError::ValueTooLong);
    }
    check_value(definition, value)?;
    let default = definition.default.unwrap_or_default();
    if definition.support != Support::Full && canonical(definition.kind, value) != default {
        let reason = format!("not supported yet, the only value is {default:?}");
        return Err(invalid(definition, value, reason));
    }
    Ok(())
}

/// Type and range, whether or not the behaviour is built.
pub(crate) fn check_value(definition: &ConfigDef, value: &str) -> Result<(), ConfigError> {
    match definition.kind {
        Kind::Boolean if parse_bool(value).is_none() => {
            Err(invalid(definition, value, "Expected value to be either true or false".to_owned()))
        }
        Kind::Boolean => Ok(()),
        Kind::Int => check_integer(definition, value, value.trim().parse::<i32>().ok().map(i64::from)),
        Kind::Short => check_integer(definition, value, value.trim().parse::<i16>().ok().map(i64::from)),
        Kind::Long => check_integer(definition, value, value.trim().parse::<i64>().ok()),
        Kind::Double => check_double(definition, value),
        Kind::String => check_one_of(definition, value.trim(), value),
        Kind::List => check_list(definition, value),
    }
}

pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The value as Kafka prints it after it has parsed it.
pub(crate) fn canonical(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Boolean => value.trim().to_ascii_lowercase(),
        Kind::List => split_list(value).collect::<Vec<_>>().join(","),
        Kind::Int | Kind::Short | Kind::Long | Kind::Double | Kind::String => value.trim().to_owned(),
    }
}

fn check_integer(definition: &ConfigDef, value: &str, number: Option<i64>) -> Result<(), ConfigError> {
    let Some(number) = number else {
        return Err(invalid(definition, value, format!("Not a number of type {}", definition.kind.name())));
    };
    match definition.validator {
        Validator::AtLeast(min) | Validator::Between(min, _) if number < min => {
            Err(invalid(definition, value, format!("Value must be at least {min}")))
        }
        Validator::Between(_, max) if number > max => {
            Err(invalid(definition, value, format!("Value must be no more than {max}")))
        }
        Validator::GzipLevel if number != -1 && !(1..=9).contains(&number) => {
            Err(invalid(definition, value, "Value must be between 1 and 9 or equal to -1".to_owned()))
        }
        Validator::Any
        | Validator::AtLeast(_)
        | Validator::Between(..)
        | Validator::GzipLevel
        | Validator::Ratio
        | Validator::OneOf(_)
        | Validator::EachOneOf(_)
        | Validator::ThrottledReplicas => Ok(()),
    }
}

fn check_double(definition: &ConfigDef, value: &str) -> Result<(), ConfigError> {
    let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match number {
        None => Err(invalid(definition, value, "Not a number of type DOUBLE".to_owned())),
        Some(number) if definition.validator == Validator::Ratio && number < 0.0 => {
            Err(invalid(definition, value, "Value must be at least 0".to_owned()))
        }
        Some(number) if definition.validator == Validator::Ratio && number > 1.0 => {
            Err(invalid(definition, value, "Value must be no more than 1".to_owned()))
        }
        Some(_) => Ok(()),
    }
}

fn check_one_of(definition: &ConfigDef, element: &str, value: &str) -> Result<(), ConfigError> {
    match definition.validator {
        Validator::OneOf(known) | Validator::EachOneOf(known) if !known.contains(&element) => {
            Err(invalid(definition, value, format!("String must be one of: {}", known.join(", "))))
        }
        Validator::Any
        | Validator::AtLeast(_)
        | Validator::Between(..)
        | Validator::GzipLevel
        | Validator::Ratio
        | Validator::OneOf(_)
        | Validator::EachOneOf(_)
        | Validator::ThrottledReplicas => Ok(()),
    }
}

fn check_list(definition: &ConfigDef, value: &str) -> Result<(), ConfigError> {
    let elements: Vec<&str> = split_list(value).collect();
    if definition.validator == Validator::ThrottledReplicas {
        return check_throttled(definition, value, &elements);
    }
    for (i, element) in elements.iter().enumerate() {
        check_one_of(definition, element, element)?;
        if elements[..i].contains(element) {
            return Err(ConfigError::Duplicated { key: definition.name.to_owned() });
        }
    }
    Ok(())
}

fn check_throttled(definition: &ConfigDef, value: &str, elements: &[&str]) -> Result<(), ConfigError> {
    let is_pair = |element: &&str| {
        element.split_once(':').is_some_and(|(partition, broker)| {
            [partition, broker].iter().all(|id| id.parse::<i32>().is_ok_and(|id| id >= 0))
        })
    };
    if elements == ["*"] || elements.iter().all(is_pair) {
        return Ok(());
    }
    let name = definition.name;
    let reason = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(invalid(definition, value, reason))
}

fn invalid(definition: &ConfigDef, value: &str, reason: String) -> ConfigError {
    ConfigError::InvalidValue { key: definition.name.to_owned(), value: value.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use types::ErrorCode;

    use super::{split_list, validate_broker_override, validate_static_broker, validate_topic_override};
    use crate::Overrides;

    fn topic_error(key: &str, value: &str) -> String {
        validate_topic_override(key, value).unwrap_err().to_string()
    }

    #[test]
    fn refusals_are_worded_as_kafka_words_them() {
        for (key, value, message) in [
            (
                "retention.ms",
                "soon",
                "Invalid value soon for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "retention.ms",
                "-2",
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
            ),
            (
                "segment.bytes",
                "1024",
                "Invalid value 1024 for configuration segment.bytes: Value must be at least 1048576",
            ),
            (
                "segment.bytes",
                "99999999999",
                "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT",
            ),
            (
                "cleanup.policy",
                "compact,erase",
                "Invalid value erase for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            (
                "cleanup.policy",
                "delete,delete",
                "Configuration 'cleanup.policy' values must not be duplicated.",
            ),
            (
                "preallocate",
                "yes",
                "Invalid value yes for configuration preallocate: Expected value to be either true or false",
            ),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "message.timestamp.type",
                "createtime",
                "Invalid value createtime for configuration message.timestamp.type: \
                 String must be one of: CreateTime, LogAppendTime",
            ),
            ("retention.m", "1", "Unknown topic config name: retention.m (did you mean retention.ms?)"),
            ("colour", "blue", "Unknown topic config name: colour"),
        ] {
            assert_eq!(topic_error(key, value), message);
        }
    }

    #[test]
    fn an_unbuilt_behaviour_takes_its_default_only() {
        assert!(validate_topic_override("remote.storage.enable", "false").is_ok());
        assert!(validate_topic_override("remote.storage.enable", "FALSE").is_ok());
        assert!(validate_topic_override("leader.replication.throttled.replicas", "").is_ok());
        let error = validate_topic_override("remote.storage.enable", "true").unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidConfig);
        assert!(error.to_string().contains("not supported yet"), "{error}");
    }

    #[test]
    fn legal_values_pass() {
        for (key, value) in [
            ("cleanup.policy", "compact, delete"),
            ("cleanup.policy", ""),
            ("retention.ms", " 1000 "),
            ("retention.bytes", "-1"),
            ("min.insync.replicas", "2"),
            ("message.timestamp.type", "LogAppendTime"),
        ] {
            assert!(validate_topic_override(key, value).is_ok(), "{key}={value}");
        }
    }

    #[test]
    fn a_read_only_broker_key_is_refused_at_run_time_and_taken_in_the_file() {
        let error = validate_broker_override("num.partitions", "3").unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
        assert_eq!(error.to_string(), "Cannot update these configs dynamically: Set(num.partitions)");
        let file =
            |key: &str, value: &str| validate_static_broker(&Overrides::from([(key.into(), value.into())]));
        assert_eq!(file("num.partitions", "3"), Ok(()));
        assert_eq!(
            file("node.id", "3").unwrap_err().to_string(),
            "node.id does not belong under `config`: set `nodeId` instead"
        );
        assert!(
            file("num.partition", "3").unwrap_err().to_string().ends_with("(did you mean num.partitions?)")
        );
    }

    #[test]
    fn lists_are_split_as_kafka_splits_them() {
        assert_eq!(split_list("").count(), 0);
        assert_eq!(split_list(" a , b,c").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
