//! Where a broker key's value comes from, nearest first.

use std::collections::BTreeMap;

use crate::{ConfigDef, Source};

/// Values by key, as somebody set them.
pub type Overrides = BTreeMap<String, String>;

static NOTHING: Overrides = Overrides::new();

/// The three places in which a broker key can be set, nearest first.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    /// Set at run time for this broker.
    pub broker: &'a Overrides,
    /// Set at run time for all brokers.
    pub cluster: &'a Overrides,
    /// Set in `broker.yaml`.
    pub fixed: &'a Overrides,
}

impl BrokerLayers<'static> {
    /// Nothing set anywhere: every key has its default.
    pub fn none() -> BrokerLayers<'static> {
        BrokerLayers { broker: &NOTHING, cluster: &NOTHING, fixed: &NOTHING }
    }
}

impl<'a> BrokerLayers<'a> {
    /// Every layer that sets `key`, nearest first.
    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = (Source, &'a str)> + use<'a> {
        [
            (Source::DynamicBroker, self.broker.get(key)),
            (Source::DynamicDefaultBroker, self.cluster.get(key)),
            (Source::StaticBroker, self.fixed.get(key)),
        ]
        .into_iter()
        .filter_map(|(source, value)| Some((source, value?.as_str())))
    }

    /// The value of a broker key: the nearest layer's that `parse` takes, or the default's. A stored value that is no
    /// longer legal (an older release wrote it) falls through instead of stopping the node.
    pub(crate) fn resolve<T>(&self, definition: &ConfigDef, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.values(definition.name)
            .find_map(|(_, value)| parse(value))
            .or_else(|| definition.default.and_then(&parse))
    }
}
