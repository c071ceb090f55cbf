//! Records that were deleted, and of which somebody was told so, stay deleted, on every replica.

use crate::history::{TRIMMED, Told};
use crate::properties::replicas_equal::read_replicas;
use crate::world::World;

/// Looks at where every replica begins.
pub fn check(world: &World, told: &Told, violations: &mut Vec<String>) {
    let part = (TRIMMED, 0);
    let trim = told.trim_of(part);
    for (host, _, start) in read_replicas(world, part, violations) {
        if start.0 < trim.done {
            violations.push(format!(
                "trimmed: node {host} begins at {start} again, and records before {} were deleted",
                trim.done
            ));
        }
        if start.0 > trim.asked {
            violations.push(format!(
                "trimmed: node {host} begins at {start}, and nobody deleted records from {} on",
                trim.asked
            ));
        }
    }
}
