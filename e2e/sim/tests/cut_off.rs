//! An active controller that is cut off, or hangs: to the others it is the same.

use std::time::Duration;

use sim::net::Link;
use sim::world::{World, WorldConfig};
use types::BrokerId;

/// Longer than an election and a session together.
const CUT_OFF: Duration = Duration::from_secs(10);

#[test]
fn brokers_that_wait_for_it_are_not_taken_for_silent_by_the_next_one() {
    for seed in 1..=10 {
        let mut world =
            World::new(&WorldConfig { seed, nodes: 3, controllers: 3, broker_configs: Vec::new() });
        world.found();
        world.run_for(Duration::from_secs(5));
        let old = (0..3).find(|id| world.hosts[*id].node().is_some_and(|node| node.is_controller()));
        let old = old.expect("there is a controller");
        for other in (0..world.hosts.len()).chain([world.client_host()]).filter(|other| *other != old) {
            for (from, to) in [(old, other), (other, old)] {
                world.net.set_link(from, to, Link { is_cut: true, ..Link::default() });
            }
        }
        let others = [(old + 1) % 3, (old + 2) % 3];
        let cut_at = world.now();
        while world.now() < cut_at + CUT_OFF {
            world.step();
            for node in others.iter().filter_map(|id| world.hosts[*id].node()) {
                let (_, image) = node.metadata();
                for id in others {
                    let broker = image.broker(BrokerId(i32::try_from(id).expect("it is small")));
                    let is_fenced = broker.is_none_or(|broker| broker.is_fenced);
                    let at = world.now() - cut_at;
                    assert!(!is_fenced, "seed {seed}: broker {id} is fenced {at:?} after {old} was cut off");
                }
            }
        }
        let leads = |id: &usize| world.hosts[*id].node().is_some_and(|node| node.is_controller());
        assert!(others.iter().any(leads), "seed {seed}: another controller is active");
    }
}
