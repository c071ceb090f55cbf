//! What DescribeConfigs shows: every key with its value, where the value comes from and what it would fall back to.

use crate::catalogue::{broker_definition, broker_definitions, topic_definitions};
use crate::definition::Synonym;
use crate::validate::canonical;
use crate::{BrokerLayers, ConfigDef, Overrides};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Set at run time for one broker.
    DynamicBroker,
    /// Set at run time for all brokers.
    DynamicDefaultBroker,
    /// Set in `broker.yaml`.
    StaticBroker,
    /// Nobody set it.
    Default,
}

impl Source {
    /// `ConfigSource` in DescribeConfigs responses.
    pub const fn code(self) -> i8 {
        match self {
            Source::Topic => 1,
            Source::DynamicBroker => 2,
            Source::DynamicDefaultBroker => 3,
            Source::StaticBroker => 4,
            Source::Default => 5,
        }
    }
}

/// One link of the chain that ends in the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynonymValue {
    /// The topic key or the broker key behind it.
    pub name: &'static str,
    /// Its value there, in that key's own unit.
    pub value: String,
    /// Which layer sets it.
    pub source: Source,
}

/// One key as DescribeConfigs shows it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The key.
    pub definition: &'static ConfigDef,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Every place that sets it, the deciding one first.
    pub synonyms: Vec<SynonymValue>,
    /// Whether only a restart changes it.
    pub is_read_only: bool,
}

/// Every key of a topic.
pub fn describe_topic(overrides: &Overrides, broker: &BrokerLayers<'_>) -> Vec<Described> {
    topic_definitions().iter().map(|definition| describe_topic_key(definition, overrides, broker)).collect()
}

/// Every key of a broker.
pub fn describe_broker(broker: &BrokerLayers<'_>) -> Vec<Described> {
    let mut described: Vec<_> = broker_definitions().map(|d| describe_broker_key(d, broker)).collect();
    described.sort_by_key(|described| described.definition.name);
    described
}

fn describe_topic_key(
    definition: &'static ConfigDef,
    overrides: &Overrides,
    broker: &BrokerLayers<'_>,
) -> Described {
    let own = overrides.get(definition.name).map(|value| SynonymValue {
        name: definition.name,
        value: canonical(definition.kind, value),
        source: Source::Topic,
    });
    // Kafka drops the synonyms before the key's namesake, so that log.retention.hours in the file shows as "default";
    // here the chain says where the value comes from.
    let inherited = chain(definition.synonyms, broker);
    let value = match (&own, inherited.first()) {
        (Some(own), _) => Some(own.value.clone()),
        (None, Some(first)) => convert(definition, first),
        (None, None) => definition.default.map(str::to_owned),
    };
    let synonyms: Vec<_> = own.into_iter().chain(inherited).collect();
    let source = synonyms.first().map_or(Source::Default, |first| first.source);
    Described { definition, value, source, synonyms, is_read_only: false }
}

fn describe_broker_key(definition: &'static ConfigDef, broker: &BrokerLayers<'_>) -> Described {
    let synonyms = chain(&[Synonym { key: definition.name, factor: 1 }], broker);
    Described {
        definition,
        value: synonyms.first().map(|first| first.value.clone()),
        source: synonyms.first().map_or(Source::Default, |first| first.source),
        synonyms,
        is_read_only: definition.update == crate::Update::ReadOnly,
    }
}

/// Every layer that sets one of the broker keys, then their defaults.
fn chain(keys: &[Synonym], broker: &BrokerLayers<'_>) -> Vec<SynonymValue> {
    let definitions = || keys.iter().filter_map(|synonym| broker_definition(synonym.key));
    let set = definitions().flat_map(|definition| {
        broker.values(definition.name).map(|(source, value)| SynonymValue {
            name: definition.name,
            value: canonical(definition.kind, value),
            source,
        })
    });
    let defaults = definitions().filter_map(|definition| {
        Some(SynonymValue {
            name: definition.name,
            value: definition.default?.to_owned(),
            source: Source::Default,
        })
    });
    set.chain(defaults).collect()
}

/// A broker key's value in the topic key's unit.
fn convert(definition: &ConfigDef, from: &SynonymValue) -> Option<String> {
    let factor = definition.synonyms.iter().find(|synonym| synonym.key == from.name)?.factor;
    match factor {
        1 => Some(from.value.clone()),
        factor => Some(scaled(&from.value, factor)?.to_string()),
    }
}

/// A number in another unit; a negative number of hours is, as -1 is, no limit.
pub(crate) fn scaled(value: &str, factor: i64) -> Option<i64> {
    let number: i64 = value.trim().parse().ok()?;
    Some(if number < 0 { -1 } else { number.saturating_mul(factor) })
}

#[cfg(test)]
mod tests {
    use super::{Described, Source, describe_broker, describe_topic};
    use crate::{BrokerLayers, Overrides};

    fn set(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn find<'a>(described: &'a [Described], key: &str) -> &'a Described {
        described.iter().find(|d| d.definition.name == key).unwrap()
    }

    fn links(described: &Described) -> Vec<(&'static str, &str, i8)> {
        described.synonyms.iter().map(|s| (s.name, s.value.as_str(), s.source.code())).collect()
    }

    #[test]
    fn the_chain_goes_from_the_topic_over_the_brokers_layers_to_the_default() {
        let (broker, cluster, fixed) = (
            set(&[("log.segment.bytes", "3000000")]),
            set(&[("log.segment.bytes", "4000000")]),
            set(&[("log.segment.bytes", "5000000")]),
        );
        let layers = BrokerLayers { broker: &broker, cluster: &cluster, fixed: &fixed };
        let described = describe_topic(&set(&[("segment.bytes", " 2000000")]), &layers);
        let segment = find(&described, "segment.bytes");
        assert_eq!((segment.value.as_deref(), segment.source), (Some("2000000"), Source::Topic));
        assert_eq!(
            links(segment),
            [
                ("segment.bytes", "2000000", 1),
                ("log.segment.bytes", "3000000", 2),
                ("log.segment.bytes", "4000000", 3),
                ("log.segment.bytes", "5000000", 4),
                ("log.segment.bytes", "1073741824", 5),
            ]
        );
    }

    #[test]
    fn hours_in_the_file_become_milliseconds_of_the_topic() {
        let fixed = set(&[("log.retention.hours", "2"), ("log.roll.hours", "1")]);
        let layers = BrokerLayers { fixed: &fixed, ..BrokerLayers::none() };
        let described = describe_topic(&Overrides::new(), &layers);
        let retention = find(&described, "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("7200000"), Source::StaticBroker));
        let both = set(&[("log.retention.hours", "2"), ("log.retention.ms", "5")]);
        let layers = BrokerLayers { fixed: &both, ..BrokerLayers::none() };
        let described = describe_topic(&Overrides::new(), &layers);
        assert_eq!(find(&described, "retention.ms").value.as_deref(), Some("5"));
    }

    #[test]
    fn a_key_that_nobody_set_shows_its_default() {
        let described = describe_topic(&Overrides::new(), &BrokerLayers::none());
        for one in &described {
            assert_eq!((one.value.as_deref(), one.source), (one.definition.default, Source::Default));
        }
        let described = describe_broker(&BrokerLayers::none());
        let partitions = find(&described, "num.partitions");
        assert_eq!((partitions.value.as_deref(), partitions.is_read_only), (Some("1"), true));
        assert_eq!(find(&described, "log.retention.ms").value, None);
    }
}
