//! Two nodes whose metadata goes up to the same index have the same metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::Image;

use crate::world::World;

/// How many images are remembered.
const REMEMBERED_MAX: usize = 2_000;

/// Images by the index up to which they go.
#[derive(Debug, Default)]
pub struct MetadataEqual {
    images: BTreeMap<u64, Arc<Image>>,
    /// What each node was seen with last.
    seen: BTreeMap<usize, (u64, Arc<Image>)>,
}

impl MetadataEqual {
    /// Looks at all nodes. Gives the newest image.
    pub fn check(&mut self, world: &World, violations: &mut Vec<String>) -> Option<Arc<Image>> {
        for (id, host) in world.hosts.iter().enumerate() {
            let Some(node) = host.node() else { continue };
            let (end, image) = node.metadata();
            if self.seen.get(&id).is_some_and(|seen| seen.0 == end && Arc::ptr_eq(&seen.1, &image)) {
                continue;
            }
            self.seen.insert(id, (end, Arc::clone(&image)));
            let known = self.images.entry(end).or_insert_with(|| Arc::clone(&image));
            if !Arc::ptr_eq(known, &image) && known.to_records() != image.to_records() {
                violations.push(format!("metadata equal: node {id} differs from another at index {end}"));
            }
        }
        while self.images.len() > REMEMBERED_MAX {
            self.images.pop_first();
        }
        self.images.last_key_value().map(|(_, image)| Arc::clone(image))
    }
}
