//! What comes next in each situation, and that following it always ends.

use types::Uuid;

use crate::CONTROLLERS_FROM;

use super::{ControllersSight, Directory, ScaleBroker, ScaleSight, ScaleStep, scale};

fn disk(id: i32) -> Directory {
    (id, Uuid([u8::try_from(id).expect("is small") + 1; 16]))
}

/// A cluster of so many brokers, as it should be.
fn settled(brokers: i32) -> ScaleSight {
    ScaleSight {
        wanted: brokers,
        running: brokers,
        nodes: (0..brokers).map(disk).collect(),
        voters: Some((0..crate::voters(brokers)).map(disk).collect()),
        brokers: (0..brokers)
            .map(|id| ScaleBroker { id, is_fenced: false, is_cordoned: false, is_empty: false })
            .collect(),
        ..ScaleSight::default()
    }
}

/// Follows the steps as a cluster would, and gives them as text.
fn follow(sight: &mut ScaleSight) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..50 {
        let step = scale(sight);
        match &step {
            ScaleStep::Done => return told,
            ScaleStep::Cordon(ids) => {
                for broker in &mut sight.brokers {
                    broker.is_cordoned = ids.contains(&broker.id);
                }
            }
            ScaleStep::Rebalance => {
                (sight.is_rebalancing, sight.is_to_spread) = (true, false);
                (sight.left, sight.rate) = (2, sight.wanted_rate);
            }
            ScaleStep::Moving { .. } => {
                (sight.is_rebalancing, sight.left) = (false, 0);
                for broker in &mut sight.brokers {
                    broker.is_empty = broker.is_cordoned;
                }
            }
            ScaleStep::AddVoter(voter) => sight.voters.as_mut().expect("are known").push(*voter),
            ScaleStep::RemoveVoter(voter) => {
                sight.voters.as_mut().expect("are known").retain(|has| has != voter);
            }
            ScaleStep::Stop => {
                sight.running = sight.wanted;
                sight.nodes.truncate(usize::try_from(sight.wanted).expect("is not negative"));
            }
            ScaleStep::StopControllers => {
                let controllers = sight.controllers.as_mut().expect("there are some");
                controllers.running = controllers.wanted;
                sight.nodes.retain(|node| node.0 < CONTROLLERS_FROM + controllers.wanted);
            }
            ScaleStep::Unregister(id) => sight.brokers.retain(|broker| broker.id != *id),
            ScaleStep::Waiting(_) | ScaleStep::Blocked(_) => {
                told.push(step.to_string());
                return told;
            }
        }
        told.push(step.to_string());
    }
    panic!("it does not end: {told:?}")
}

#[test]
fn a_cluster_as_it_should_be_is_left_alone() {
    for brokers in 1..6 {
        assert_eq!(follow(&mut settled(brokers)), [""; 0], "{brokers}");
    }
}

#[test]
fn brokers_go_when_nothing_is_on_them() {
    let mut sight = ScaleSight { wanted: 3, widest: Some(("orders".to_owned(), 3)), ..settled(5) };
    let expected = [
        "cordon brokers 3,4",
        "rebalance",
        "replicas are being moved off brokers 3,4: 2 partitions left",
        "stop the brokers that are empty",
        "unregister broker 4",
        "unregister broker 3",
    ];
    assert_eq!(follow(&mut sight), expected);
}

#[test]
fn votes_go_before_their_brokers_do() {
    let mut sight = ScaleSight { wanted: 1, ..settled(3) };
    let expected = [
        "cordon brokers 1,2",
        "rebalance",
        "replicas are being moved off brokers 1,2: 2 partitions left",
        "remove voter 2",
        "remove voter 1",
        "stop the brokers that are empty",
        "unregister broker 2",
        "unregister broker 1",
    ];
    assert_eq!(follow(&mut sight), expected);
}

#[test]
fn a_reversal_takes_the_cordon_off() {
    let mut sight = ScaleSight { wanted: 5, is_rebalancing: true, left: 7, ..settled(5) };
    for broker in &mut sight.brokers {
        broker.is_cordoned = broker.id >= 3;
    }
    let expected = ["cordon no broker", "replicas are being spread: 7 partitions left"];
    assert_eq!(follow(&mut sight), expected);
}

#[test]
fn brokers_that_come_get_votes_and_their_share() {
    let mut sight = settled(3);
    sight.voters = Some(vec![disk(0)]);
    sight.is_to_spread = true;
    let expected =
        ["add voter 1", "add voter 2", "rebalance", "replicas are being spread: 2 partitions left"];
    assert_eq!(follow(&mut sight), expected);
    // Not before all of them serve.
    let mut sight = ScaleSight { is_to_spread: true, ..settled(4) };
    sight.brokers[3].is_fenced = true;
    assert_eq!(follow(&mut sight), ["broker 3 is not in service yet"]);
}

#[test]
fn a_wiped_disk_is_another_voter() {
    let mut sight = settled(3);
    sight.nodes[1].1 = Uuid([9; 16]);
    assert_eq!(follow(&mut sight), ["remove voter 1", "add voter 1"]);
    assert!(sight.voters.expect("are known").contains(&(1, Uuid([9; 16]))));
    // Who does not answer keeps its vote.
    let mut sight = settled(3);
    sight.nodes.remove(1);
    assert_eq!(follow(&mut sight), [""; 0]);
}

#[test]
fn a_topic_with_more_replicas_than_brokers_blocks() {
    let sight = ScaleSight { wanted: 2, widest: Some(("orders".to_owned(), 3)), ..settled(3) };
    let expected = "topic orders has 3 replicas and there would be 2 brokers: lower its replicas, or write 3";
    assert_eq!(scale(&sight), ScaleStep::Blocked(expected.to_owned()));
}

#[test]
fn nothing_is_stopped_while_somebody_could_miss_it() {
    // Who votes is not known.
    let mut sight = ScaleSight { wanted: 3, voters: None, ..settled(5) };
    let told = follow(&mut sight);
    assert_eq!(told.last().map(String::as_str), Some("nobody says who votes in the metadata quorum"));
    // One that is to keep its vote has lost it and does not answer.
    let mut sight = ScaleSight { wanted: 3, ..settled(5) };
    sight.voters = Some(vec![disk(0), disk(1), disk(3)]);
    sight.nodes.remove(2);
    assert_eq!(follow(&mut sight).last().map(String::as_str), Some("node 2 has no vote yet"));
    // Everything that is left has nowhere to go.
    let mut sight = ScaleSight { wanted: 4, is_rebalancing: true, left: 3, stuck: 3, ..settled(5) };
    sight.brokers[4].is_cordoned = true;
    assert_eq!(follow(&mut sight), ["3 partitions have no broker to go to that is in service"]);
}

#[test]
fn another_rate_takes_effect_on_the_way() {
    let sight = ScaleSight { is_rebalancing: true, left: 3, wanted_rate: Some(1000), ..settled(5) };
    assert_eq!(scale(&sight), ScaleStep::Rebalance);
    assert!(matches!(scale(&ScaleSight { rate: Some(1000), ..sight }), ScaleStep::Moving { left: 3, .. }));
}

#[test]
fn dedicated_controllers_get_their_votes_and_give_them_back_one_by_one() {
    let controllers = |wanted, running| Some(ControllersSight { wanted, running });
    let directory = |id: i32| (id, types::Uuid([u8::try_from(id - 999).expect("is small"); 16]));
    let mut sight = ScaleSight { controllers: controllers(5, 5), ..settled(3) };
    sight.nodes.extend((1000..1005).map(directory));
    sight.voters = Some((1000..1003).map(directory).collect());
    assert_eq!(follow(&mut sight), ["add voter 1003", "add voter 1004"]);
    sight.controllers = controllers(3, 5);
    assert_eq!(
        follow(&mut sight),
        ["remove voter 1004", "remove voter 1003", "stop the controllers that have no vote"]
    );
    // None goes while one that stays has no vote yet.
    let mut sight = ScaleSight { controllers: controllers(3, 5), ..settled(3) };
    sight.nodes.extend([1000, 1001, 1003, 1004].map(directory));
    sight.voters = Some([1000, 1001, 1003, 1004].map(directory).into());
    assert_eq!(follow(&mut sight), ["node 1002 has no vote yet"]);
}
