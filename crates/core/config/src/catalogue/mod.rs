//! Every key that is described, in alphabetical order, from Kafka 4.4's `LogConfig` and `AbstractKafkaConfig`.

mod broker;
mod broker_log;
mod topic;

pub(crate) use broker::RACK_AWARE_SELECTOR;

use crate::ConfigDef;

/// Every topic key, sorted by name.
pub fn topic_definitions() -> &'static [ConfigDef] {
    topic::TOPIC
}

/// Every broker key, sorted by name within the two groups (the topic defaults, then the others).
pub fn broker_definitions() -> impl Iterator<Item = &'static ConfigDef> {
    broker_log::LOG.iter().chain(broker::BROKER)
}

/// The topic key of this name.
pub fn topic_definition(name: &str) -> Option<&'static ConfigDef> {
    topic::TOPIC.iter().find(|definition| definition.name == name)
}

/// The broker key of this name.
pub fn broker_definition(name: &str) -> Option<&'static ConfigDef> {
    broker_definitions().find(|definition| definition.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{broker_definition, broker_definitions, topic_definitions};
    use crate::ConfigDef;
    use crate::validate::check_value;

    #[test]
    fn names_are_unique_and_sorted() {
        let topic: Vec<_> = topic_definitions().iter().map(|d| d.name).collect();
        assert!(topic.is_sorted());
        // Kafka 4.4 has 36 documented keys and max.decompressed.message.bytes.
        assert_eq!(topic.iter().collect::<BTreeSet<_>>().len(), 37);
        let broker: Vec<_> = broker_definitions().map(|d| d.name).collect();
        assert_eq!(broker.iter().collect::<BTreeSet<_>>().len(), broker.len());
    }

    #[test]
    fn every_default_passes_its_own_validator() {
        let check = |definition: &ConfigDef| {
            if let Some(default) = definition.default {
                assert_eq!(check_value(definition, default), Ok(()), "{}", definition.name);
            }
        };
        topic_definitions().iter().for_each(check);
        broker_definitions().for_each(check);
    }

    #[test]
    fn every_synonym_is_a_broker_key_with_an_equal_default() {
        for topic in topic_definitions() {
            let mut defaults = topic.synonyms.iter().filter_map(|synonym| {
                let broker = broker_definition(synonym.key).expect(synonym.key);
                let default = broker.default?;
                Some(match synonym.factor {
                    1 => default.to_owned(),
                    factor => (default.parse::<i64>().unwrap() * factor).to_string(),
                })
            });
            if let Some(default) = defaults.next() {
                assert_eq!(Some(default.as_str()), topic.default, "{}", topic.name);
            }
        }
    }

    #[test]
    fn every_key_says_what_it_does() {
        for definition in topic_definitions().iter().chain(broker_definitions()) {
            assert!(definition.doc.len() > 20 && definition.doc.ends_with('.'), "{}", definition.name);
        }
    }
}
