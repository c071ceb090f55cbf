//! Random commands: whoever applies the records has the controller's image, and the image stays sound.

use std::collections::BTreeSet;

use proptest::prelude::*;
use types::{BrokerId, Now, ProducerId, Shard, TopicId, Uuid};

use super::super::{
    Command, ConfigChange, ConfigOperation, ConfigTarget, Controller, ControllerDefaults, NewPartitions,
    Response, TopicRef,
};
use super::{register, topic};
use crate::{Delta, Image};

const NAMES: [&str; 5] = ["a", "b", "a.b", "a_b", "not a name"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&NAMES[..]).prop_map(str::to_owned)
}

fn operation() -> impl Strategy<Value = (String, ConfigOperation)> {
    let key = prop::sample::select(&["retention.ms", "cleanup.policy", "segment.bytes", "nonsense"][..]);
    let value = prop::sample::select(&["1", "compact", "delete", "2000000", ""][..]);
    (key, value, 0..4).prop_map(|(key, value, kind)| {
        let value = value.to_owned();
        let operation = match kind {
            0 => ConfigOperation::Set(value),
            1 => ConfigOperation::Append(value),
            2 => ConfigOperation::Subtract(value),
            _ => ConfigOperation::Delete,
        };
        (key.to_owned(), operation)
    })
}

fn target() -> impl Strategy<Value = ConfigTarget> {
    prop_oneof![
        name().prop_map(ConfigTarget::Topic),
        (0..4).prop_map(|id| ConfigTarget::Broker(BrokerId(id))),
        Just(ConfigTarget::Cluster),
    ]
}

/// What stands for a command; the epochs that it needs are known only when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    Register { broker: i32, incarnation: u8 },
    Unfence { broker: i32 },
    ProducerIds { broker: i32 },
    Other(Command),
}

fn step() -> impl Strategy<Value = Step> {
    let create = (prop::collection::vec((name(), any::<u8>(), -1..4, -1..4_i16), 1..3), any::<bool>());
    let create = create.prop_map(|(topics, validate_only)| {
        let new = |(name, seed, partitions, replication_factor): (String, u8, i32, i16)| {
            super::super::NewTopic { partitions, replication_factor, ..topic(&name, seed) }
        };
        Step::Other(Command::CreateTopics { topics: topics.into_iter().map(new).collect(), validate_only })
    });
    let grow = (name(), 0..8, any::<bool>()).prop_map(|(topic, count, validate_only)| {
        let topics = vec![NewPartitions { topic, count, assignments: None }];
        Step::Other(Command::CreatePartitions { topics, validate_only })
    });
    let alter = (target(), prop::collection::vec(operation(), 0..3), any::<bool>(), any::<bool>());
    let alter = alter.prop_map(|(resource, operations, replaces, validate_only)| {
        let changes = vec![ConfigChange { resource, operations, replaces }];
        Step::Other(Command::AlterConfigs { changes, validate_only })
    });
    prop_oneof![
        1 => (0..4, any::<u8>()).prop_map(|(broker, incarnation)| Step::Register { broker, incarnation }),
        3 => (0..4).prop_map(|broker| Step::Unfence { broker }),
        1 => (0..4).prop_map(|broker| Step::ProducerIds { broker }),
        4 => create,
        1 => name().prop_map(|name| Step::Other(Command::DeleteTopics { topics: vec![TopicRef::Name(name)] })),
        2 => grow,
        3 => alter,
    ]
}

impl Step {
    fn command(self, image: &Image) -> Option<Command> {
        let epoch = |broker: i32| image.broker(BrokerId(broker)).map(|broker| broker.epoch);
        Some(match self {
            Step::Register { broker, incarnation } => register(broker, incarnation),
            Step::Unfence { broker } => {
                Command::UnfenceBroker { broker: BrokerId(broker), epoch: epoch(broker)? }
            }
            Step::ProducerIds { broker } => {
                Command::AllocateProducerIds { broker: BrokerId(broker), epoch: epoch(broker)? }
            }
            Step::Other(command) => command,
        })
    }
}

fn assert_sound(image: &Image) {
    for topic in image.topics() {
        assert_eq!(image.topic_named(&topic.name).map(|named| named.id), Some(topic.id));
        assert!(!topic.partitions.is_empty());
        for partition in &topic.partitions {
            let replicas: BTreeSet<_> = partition.replicas.iter().collect();
            assert_eq!(replicas.len(), partition.replicas.len(), "a broker twice");
            assert!(partition.isr.iter().all(|broker| replicas.contains(broker)));
            assert!(partition.leader.is_none_or(|leader| partition.isr.contains(&leader)));
        }
    }
    assert_eq!(image.topics().len(), image.topic_names().len());
    let flat: BTreeSet<_> = image.topic_names().map(|(name, _)| name.replace('.', "_")).collect();
    assert_eq!(flat.len(), image.topics().len(), "names that collide");
}

proptest! {
    #[test]
    fn whoever_applies_the_records_has_the_controllers_image(steps in prop::collection::vec(step(), 1..60)) {
        let defaults =
            ControllerDefaults { num_partitions: 2, replication_factor: 1, fixed: config::Overrides::new() };
        let mut controller = Controller::new(Image::default(), defaults);
        let (mut replica, mut next_producer) = (Image::default(), ProducerId(0));
        // Ids are never given twice by the shell: it draws them at random.
        let mut topics_made = 0_u8;
        for step in steps {
            let Some(mut command) = step.command(controller.image()) else { continue };
            if let Command::CreateTopics { topics, .. } = &mut command {
                for topic in topics {
                    topics_made += 1;
                    topic.id = TopicId(Uuid::from_random([topics_made; 16]));
                }
            }
            let before = replica.clone();
            let is_trial = matches!(
                command,
                Command::CreateTopics { validate_only: true, .. }
                    | Command::CreatePartitions { validate_only: true, .. }
                    | Command::AlterConfigs { validate_only: true, .. }
            );
            let decision = controller.decide(Now::default(), command).expect("a current epoch");
            if let Response::ProducerIds(block) = &decision.response {
                prop_assert_eq!(block.first, next_producer, "a block twice, or a hole");
                next_producer = ProducerId(block.first.0 + i64::from(block.len));
            }
            for record in &decision.records {
                controller.apply(record);
                replica.apply(record);
            }
            prop_assert!(!is_trial || decision.records.is_empty());
            prop_assert_eq!(&replica, controller.image());
            prop_assert_eq!(replica == before, decision.records.is_empty());
            prop_assert!(Delta::between(&replica, controller.image()).is_empty());
            assert_sound(&replica);
        }
        let mut restored = Image::default();
        replica.to_records().iter().for_each(|record| restored.apply(record));
        prop_assert_eq!(&restored, &replica);
    }
}
