//! Configurations of topics and brokers: describe, and alter key by key.

use protocol::Utf8Bytes;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Admin, optional_text, text};
use crate::{BrokerError, Error, Purpose};

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker, by id.
    Broker(i32),
    /// What all brokers share unless they have a value of their own.
    BrokerDefault,
}

/// One key as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; `None` if there is none or it is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether only a restart changes it.
    pub is_read_only: bool,
    /// Whether the value is secret.
    pub is_sensitive: bool,
    /// Every value that there is for the key, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What the key does.
    pub documentation: Option<String>,
}

/// A value that a key has, or would have without the ones before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key under which it is set.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// Where a value comes from: the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSource(pub i8);

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Give it this value.
    Set(String),
    /// Go back to the default.
    Delete,
    /// Add these values to a list.
    Append(String),
    /// Take these values out of a list.
    Subtract(String),
}

/// A key and what to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// The key.
    pub name: String,
    /// What to do with it.
    pub operation: Operation,
}

impl ConfigSource {
    /// Set on the topic.
    pub const DYNAMIC_TOPIC: ConfigSource = ConfigSource(1);
    /// The default of the key.
    pub const DEFAULT: ConfigSource = ConfigSource(5);

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self.0 {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
            7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => "UNKNOWN",
        }
    }
}

impl ConfigResource {
    fn wire(&self) -> (i8, Utf8Bytes) {
        match self {
            ConfigResource::Topic(name) => (2, Utf8Bytes::from(name)),
            ConfigResource::Broker(id) => (4, Utf8Bytes::from(id.to_string())),
            ConfigResource::BrokerDefault => (4, Utf8Bytes::new()),
        }
    }

    /// A broker knows its own static configuration only.
    fn broker(&self) -> Option<i32> {
        match self {
            ConfigResource::Broker(id) => Some(*id),
            ConfigResource::Topic(_) | ConfigResource::BrokerDefault => None,
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigResource::Topic(name) => write!(f, "topic {name}"),
            ConfigResource::Broker(id) => write!(f, "broker {id}"),
            ConfigResource::BrokerDefault => f.write_str("the brokers' default"),
        }
    }
}

impl Admin {
    /// Every key of a topic or broker, by name.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, Error> {
        let (resource_type, resource_name) = resource.wire();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys: None,
                ..Default::default()
            }],
            include_synonyms: true,
            ..Default::default()
        };
        let response = self
            .client
            .retry(|| async {
                match resource.broker() {
                    Some(id) => self.client.broker_by_id(id, Purpose::Ask).await?.send(&request).await,
                    None => self.client.ask(&request).await,
                }
            })
            .await?;
        let what = format!("describing the configuration of {resource}");
        let result = response.results.first();
        let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the broker's answer is empty")))?;
        BrokerError::check(result.error_code, result.error_message.as_ref())
            .map_err(|error| Error::refused(what, error))?;
        let mut entries: Vec<_> = result.configs.iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes the given keys of a topic or broker and no others.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        alterations: &[ConfigAlteration],
        validate_only: bool,
    ) -> Result<(), Error> {
        let (resource_type, resource_name) = resource.wire();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name,
                configs: alterations.iter().map(alterable).collect(),
                ..Default::default()
            }],
            validate_only,
            ..Default::default()
        };
        let response = self
            .client
            .retry(|| async {
                match resource.broker() {
                    Some(id) => self.client.broker_by_id(id, Purpose::Ask).await?.send(&request).await,
                    None => self.client.ask(&request).await,
                }
            })
            .await?;
        let what = format!("altering the configuration of {resource}");
        let result = response.responses.first();
        let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the broker's answer is empty")))?;
        BrokerError::check(result.error_code, result.error_message.as_ref())
            .map_err(|error| Error::refused(what, error))
    }
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = config.synonyms.iter().map(|synonym| ConfigSynonym {
        name: text(&synonym.name),
        value: optional_text(&synonym.value),
        source: ConfigSource(synonym.source),
    });
    ConfigEntry {
        name: text(&config.name),
        value: optional_text(&config.value),
        source: ConfigSource(config.config_source),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
        documentation: optional_text(&config.documentation),
    }
}

fn alterable(alteration: &ConfigAlteration) -> AlterableConfig {
    let (config_operation, value) = match &alteration.operation {
        Operation::Set(value) => (0, Some(value)),
        Operation::Delete => (1, None),
        Operation::Append(value) => (2, Some(value)),
        Operation::Subtract(value) => (3, Some(value)),
    };
    AlterableConfig {
        name: Utf8Bytes::from(&alteration.name),
        config_operation,
        value: value.map(Utf8Bytes::from),
        ..Default::default()
    }
}
