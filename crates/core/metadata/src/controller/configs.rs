//! Configurations of topics, of one broker and of all.

use config::{
    BrokerLayers, Kind, Overrides, split_list, topic_definition, validate_broker_override,
    validate_topic_override, validate_topic_overrides,
};
use types::{BrokerId, Decision, ErrorCode};

use super::{ConfigChange, Controller, Failure, Outcome, Response, each, failure};
use crate::rules::ELECTION_KEYS;
use crate::{ConfigResource, MetadataRecord};

/// The longest value, in bytes (Kafka: the largest length of a string in an old request).
const VALUE_BYTES_MAX: usize = 32_767;

/// Whose configuration is changed, as clients name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigTarget {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers.
    Cluster,
}

/// How one key is changed (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// To this value.
    Set(String),
    /// Back to the default.
    Delete,
    /// A list gets elements.
    Append(String),
    /// A list loses elements.
    Subtract(String),
}

impl Controller {
    pub(super) fn alter_configs(&self, changes: Vec<ConfigChange>, validate_only: bool) -> Outcome {
        let (records, results) =
            each(self, changes, validate_only, |draft, change| Ok((draft.alter_config(change)?, ())));
        Decision { records, response: Response::AlteredConfigs(results) }
    }

    fn alter_config(&self, change: ConfigChange) -> Result<Vec<MetadataRecord>, Failure> {
        let resource = self.resolve(&change.resource)?;
        let old = self.image.config(&resource);
        let mut new = if change.replaces { Overrides::new() } else { old.clone() };
        for (index, (key, operation)) in change.operations.iter().enumerate() {
            if change.operations[..index].iter().any(|(other, _)| other == key) {
                return Err(failure(
                    ErrorCode::InvalidRequest,
                    format!("{key} is changed twice in one request"),
                ));
            }
            self.apply_operation(&mut new, &resource, key, operation)?;
        }
        if let ConfigResource::Topic(_) = resource {
            validate_topic_overrides(&new, &self.broker_layers()).map_err(invalid)?;
        }
        let mut records = difference(&resource, old, &new);
        records.extend(self.elections_after(&resource, &records));
        Ok(records)
    }

    /// What a configuration means for elections that are waiting for it. With a smaller `min.insync.replicas` the high
    /// watermark moves on without the eligible replicas: they must not be eligible any longer in the same entry.
    fn elections_after(&self, resource: &ConfigResource, changes: &[MetadataRecord]) -> Vec<MetadataRecord> {
        let concerns = |record: &MetadataRecord| matches!(record, MetadataRecord::Config { key, .. } if ELECTION_KEYS.contains(&key.as_str()));
        if !changes.iter().any(concerns) {
            return Vec::new();
        }
        let mut draft = self.clone();
        changes.iter().for_each(|record| draft.image.apply(record));
        match resource {
            ConfigResource::Topic(id) => {
                draft.image.topic(*id).map_or_else(Vec::new, |topic| draft.reconsider(topic))
            }
            ConfigResource::Broker(_) | ConfigResource::Cluster => {
                draft.image.topics().flat_map(|topic| draft.reconsider(topic)).collect()
            }
        }
    }

    fn resolve(&self, target: &ConfigTarget) -> Result<ConfigResource, Failure> {
        match target {
            ConfigTarget::Topic(name) => match self.image.topic_named(name) {
                Some(topic) => Ok(ConfigResource::Topic(topic.id)),
                None => {
                    Err(failure(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name:?}")))
                }
            },
            ConfigTarget::Broker(id) => match self.image.broker(*id) {
                Some(_) => Ok(ConfigResource::Broker(*id)),
                None => Err(failure(ErrorCode::InvalidRequest, format!("there is no broker {id}"))),
            },
            ConfigTarget::Cluster => Ok(ConfigResource::Cluster),
        }
    }

    fn apply_operation(
        &self,
        overrides: &mut Overrides,
        resource: &ConfigResource,
        key: &str,
        operation: &ConfigOperation,
    ) -> Result<(), Failure> {
        let value = match operation {
            ConfigOperation::Delete => {
                overrides.remove(key);
                return Ok(());
            }
            ConfigOperation::Set(value) => value.clone(),
            ConfigOperation::Append(elements) => {
                let mut list = self.current_list(overrides, resource, key)?;
                for element in split_list(elements) {
                    if !list.iter().any(|known| known == element) {
                        list.push(element.to_owned());
                    }
                }
                list.join(",")
            }
            ConfigOperation::Subtract(elements) => {
                let mut list = self.current_list(overrides, resource, key)?;
                list.retain(|known| !split_list(elements).any(|element| element == known));
                list.join(",")
            }
        };
        check_length(key, &value)?;
        match resource {
            ConfigResource::Topic(_) => validate_topic_override(key, &value).map_err(invalid)?,
            ConfigResource::Broker(_) | ConfigResource::Cluster => {
                validate_broker_override(key, &value).map_err(invalid)?
            }
        };
        overrides.insert(key.to_owned(), value);
        Ok(())
    }

    /// What a list holds now, its default included.
    fn current_list(
        &self,
        overrides: &Overrides,
        resource: &ConfigResource,
        key: &str,
    ) -> Result<Vec<String>, Failure> {
        let definition = match resource {
            ConfigResource::Topic(_) => topic_definition(key),
            ConfigResource::Broker(_) | ConfigResource::Cluster => config::broker_definition(key),
        };
        let definition = definition.filter(|definition| definition.kind == Kind::List).ok_or_else(|| {
            failure(ErrorCode::InvalidConfig, format!("{key} is no list: it can be set, not added to"))
        })?;
        let current = match resource {
            ConfigResource::Topic(_) => self.described_topic(overrides, key),
            ConfigResource::Broker(_) | ConfigResource::Cluster => overrides.get(key).cloned(),
        };
        let current = current.or_else(|| definition.default.map(str::to_owned)).unwrap_or_default();
        Ok(split_list(&current).map(str::to_owned).collect())
    }

    fn described_topic(&self, overrides: &Overrides, key: &str) -> Option<String> {
        let layers: BrokerLayers<'_> = self.broker_layers();
        let described = config::describe_topic(overrides, &layers);
        described.into_iter().find(|config| config.definition.name == key)?.value
    }
}

pub(super) fn check_length(key: &str, value: &str) -> Result<(), Failure> {
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("the value of {key} has {} bytes: at most {VALUE_BYTES_MAX}", value.len());
        return Err(failure(ErrorCode::InvalidConfig, message));
    }
    Ok(())
}

fn invalid(error: config::ConfigError) -> Failure {
    failure(ErrorCode::InvalidConfig, error.to_string())
}

fn difference(resource: &ConfigResource, old: &Overrides, new: &Overrides) -> Vec<MetadataRecord> {
    let record = |key: &str, value: Option<&String>| MetadataRecord::Config {
        resource: resource.clone(),
        key: key.to_owned(),
        value: value.cloned(),
    };
    let set = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(k, v)| record(k, Some(v)));
    let unset = old.keys().filter(|key| !new.contains_key(*key)).map(|key| record(key, None));
    set.chain(unset).collect()
}
