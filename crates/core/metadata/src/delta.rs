//! What lies between two images, as far as a node has to act on it.

use std::sync::Arc;

use types::TopicId;

use crate::{ConfigResource, Image, TopicImage};

/// From an older image to a newer one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Topics that are new, or have other partitions than before.
    pub changed_topics: Vec<Arc<TopicImage>>,
    /// Topics that are gone, as they were.
    pub deleted_topics: Vec<Arc<TopicImage>>,
    /// Topics whose own configuration changed and that are still there.
    pub configured_topics: Vec<TopicId>,
    /// Whether a configuration changed that topics inherit from.
    pub defaults_changed: bool,
}

impl Delta {
    /// What happened between `from` and `to`.
    pub fn between(from: &Image, to: &Image) -> Delta {
        let mut delta = Delta::default();
        if !Arc::ptr_eq(from.shared_topics(), to.shared_topics()) {
            delta.compare_topics(from, to);
        }
        if !Arc::ptr_eq(from.shared_configs(), to.shared_configs()) {
            delta.compare_configs(from, to);
        }
        delta
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }

    fn compare_topics(&mut self, from: &Image, to: &Image) {
        for topic in to.topics() {
            let is_same = from.topic(topic.id).is_some_and(|old| Arc::ptr_eq(old, topic) || old == topic);
            if !is_same {
                self.changed_topics.push(Arc::clone(topic));
            }
        }
        self.deleted_topics =
            from.topics().filter(|old| to.topic(old.id).is_none()).map(Arc::clone).collect();
    }

    fn compare_configs(&mut self, from: &Image, to: &Image) {
        for topic in to.topics() {
            let resource = ConfigResource::Topic(topic.id);
            if from.config(&resource) != to.config(&resource) {
                self.configured_topics.push(topic.id);
            }
        }
        let is_default = |resource: &ConfigResource| !matches!(resource, ConfigResource::Topic(_));
        let defaults = |image: &Image| -> Vec<_> {
            let configs = image.shared_configs().iter().filter(|(resource, _)| is_default(resource));
            configs.map(|(resource, overrides)| (resource.clone(), Arc::clone(overrides))).collect()
        };
        self.defaults_changed = defaults(from) != defaults(to);
    }
}
