//! What the controller decides, case by case.

use types::{BrokerId, ErrorCode, Now, PartitionId, Shard, TopicId, Uuid};

use super::{
    BrokerRegistration, Command, ConfigChange, ConfigOperation, ConfigTarget, Controller, ControllerDefaults,
    NewPartitions, NewTopic, Response, TopicRef,
};
use crate::{ConfigResource, Delta, Endpoint, Image};

mod brokers;
mod cluster;
mod cluster_random;
mod internal;
mod isr;
mod partition_change;
mod placement;
mod random;
mod reassignment;
mod rebalance;
mod restart;
mod speed;

/// A controller of `brokers` live brokers.
fn controller(brokers: i32) -> Controller {
    let defaults =
        ControllerDefaults { num_partitions: 2, replication_factor: 1, fixed: config::Overrides::new() };
    let mut controller = Controller::new(Image::default(), defaults);
    for id in 0..brokers {
        let Response::Registered(epoch) = run(&mut controller, register(id, 1)) else { panic!() };
        run(&mut controller, Command::UnfenceBroker { broker: BrokerId(id), epoch });
    }
    controller
}

fn register(id: i32, incarnation: u8) -> Command {
    let endpoint = Endpoint { listener: "PLAINTEXT".to_owned(), host: "localhost".to_owned(), port: 9092 };
    Command::RegisterBroker(BrokerRegistration {
        broker: BrokerId(id),
        incarnation: Uuid::from_random([incarnation; 16]),
        endpoints: vec![endpoint],
        ..BrokerRegistration::default()
    })
}

fn run(controller: &mut Controller, command: Command) -> Response {
    let decision = controller.decide(Now::default(), command).unwrap();
    decision.records.iter().for_each(|record| controller.apply(record));
    decision.response
}

fn topic(name: &str, seed: u8) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        id: TopicId(Uuid::from_random([seed; 16])),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn create(controller: &mut Controller, topic: NewTopic) -> Result<i32, ErrorCode> {
    let command = Command::CreateTopics { topics: vec![topic], validate_only: false };
    let Response::CreatedTopics(mut results) = run(controller, command) else { panic!() };
    results.remove(0).map(|created| created.partitions).map_err(|failure| failure.code)
}

fn alter(
    controller: &mut Controller,
    target: ConfigTarget,
    replaces: bool,
    operations: &[(&str, ConfigOperation)],
) -> Result<(), ErrorCode> {
    let operations = operations.iter().map(|(key, op)| ((*key).to_owned(), op.clone())).collect();
    let change = ConfigChange { resource: target, operations, replaces };
    let command = Command::AlterConfigs { changes: vec![change], validate_only: false };
    let Response::AlteredConfigs(mut results) = run(controller, command) else { panic!() };
    results.remove(0).map_err(|failure| failure.code)
}

#[test]
fn topics_are_refused_for_kafkas_reasons() {
    let manual = |replicas: &[&[i32]]| NewTopic {
        assignments: (0..)
            .zip(replicas)
            .map(|(index, ids)| (PartitionId(index), ids.iter().map(|&id| BrokerId(id)).collect()))
            .collect(),
        ..topic("t", 1)
    };
    let config = |key: &str, value: Option<&str>| NewTopic {
        configs: vec![(key.to_owned(), value.map(str::to_owned))],
        ..topic("t", 1)
    };
    let cases: [(NewTopic, Result<i32, ErrorCode>); 13] = [
        (topic("t", 1), Ok(2)),
        (NewTopic { partitions: 7, ..topic("t", 1) }, Ok(7)),
        (manual(&[&[1, 0], &[2, 1]]), Ok(2)),
        (config("retention.ms", Some("1000")), Ok(2)),
        (topic("", 1), Err(ErrorCode::InvalidTopicException)),
        (topic("white space", 1), Err(ErrorCode::InvalidTopicException)),
        (NewTopic { partitions: 0, ..topic("t", 1) }, Err(ErrorCode::InvalidPartitions)),
        (NewTopic { replication_factor: 4, ..topic("t", 1) }, Err(ErrorCode::InvalidReplicationFactor)),
        (NewTopic { partitions: 2, ..manual(&[&[0]]) }, Err(ErrorCode::InvalidRequest)),
        (manual(&[&[0, 0]]), Err(ErrorCode::InvalidReplicaAssignment)),
        (manual(&[&[9]]), Err(ErrorCode::InvalidReplicaAssignment)),
        (config("retention.msx", Some("1")), Err(ErrorCode::InvalidConfig)),
        (config("retention.ms", None), Err(ErrorCode::InvalidConfig)),
    ];
    for (new, expected) in cases {
        let text = format!("{new:?}");
        assert_eq!(create(&mut controller(3), new), expected, "{text}");
    }
}

#[test]
fn names_are_unique_also_when_dots_count_as_underscores() {
    let mut controller = controller(1);
    create(&mut controller, topic("a.b", 1)).unwrap();
    assert_eq!(create(&mut controller, topic("a.b", 2)), Err(ErrorCode::TopicAlreadyExists));
    assert_eq!(create(&mut controller, topic("a_b", 2)), Err(ErrorCode::InvalidTopicException));
}

#[test]
fn one_request_cannot_create_a_topic_twice() {
    let mut controller = controller(1);
    let command = Command::CreateTopics { topics: vec![topic("t", 1), topic("t", 2)], validate_only: false };
    let Response::CreatedTopics(results) = run(&mut controller, command) else { panic!() };
    assert!(results[0].is_ok());
    assert_eq!(results[1].as_ref().unwrap_err().code, ErrorCode::TopicAlreadyExists);
}

#[test]
fn validate_only_changes_nothing() {
    let mut controller = controller(1);
    let before = controller.image().clone();
    let command = Command::CreateTopics { topics: vec![topic("t", 1)], validate_only: true };
    let Response::CreatedTopics(results) = run(&mut controller, command) else { panic!() };
    assert!(results[0].is_ok());
    assert_eq!(controller.image(), &before);
}

#[test]
fn leaders_and_replicas_are_spread() {
    let mut controller = controller(3);
    create(&mut controller, NewTopic { partitions: 6, replication_factor: 2, ..topic("t", 1) }).unwrap();
    let created = controller.image().topic_named("t").unwrap().clone();
    for broker in 0..3 {
        let leads = created.partitions.iter().filter(|p| p.leader == Some(BrokerId(broker))).count();
        let holds = created.partitions.iter().filter(|p| p.replicas.contains(&BrokerId(broker))).count();
        assert_eq!((leads, holds), (2, 4), "broker {broker}");
    }
    assert!(created.partitions.iter().all(|p| p.replicas[0] != p.replicas[1]));
}

#[test]
fn a_recreated_topic_is_another_topic_without_the_old_configuration() {
    let mut controller = controller(1);
    let first =
        NewTopic { configs: vec![("retention.ms".to_owned(), Some("5".to_owned()))], ..topic("t", 1) };
    create(&mut controller, first).unwrap();
    let old = controller.image().topic_named("t").unwrap().id;
    let Response::DeletedTopics(results) = run(
        &mut controller,
        Command::DeleteTopics { topics: vec![TopicRef::Name("t".to_owned()), TopicRef::Id(old)] },
    ) else {
        panic!()
    };
    assert_eq!(results[0], Ok((old, "t".to_owned())));
    assert_eq!(results[1].as_ref().unwrap_err().code, ErrorCode::UnknownTopicId, "gone by then");
    create(&mut controller, topic("t", 2)).unwrap();
    let new = controller.image().topic_named("t").unwrap().id;
    assert_ne!(old, new);
    assert!(controller.image().config(&ConfigResource::Topic(new)).is_empty());
}

#[test]
fn partitions_only_grow() {
    let mut controller = controller(1);
    create(&mut controller, topic("t", 1)).unwrap();
    for (count, expected) in
        [(2, Some(ErrorCode::InvalidPartitions)), (5, None), (1, Some(ErrorCode::InvalidPartitions))]
    {
        let more = NewPartitions { topic: "t".to_owned(), count, assignments: None };
        let command = Command::CreatePartitions { topics: vec![more], validate_only: false };
        let Response::CreatedPartitions(results) = run(&mut controller, command) else { panic!() };
        assert_eq!(results[0].as_ref().err().map(|failure| failure.code), expected);
    }
    assert_eq!(controller.image().topic_named("t").unwrap().partitions.len(), 5);
}

#[test]
fn configurations_change_key_by_key_or_as_a_whole() {
    use ConfigOperation::{Append, Delete, Set, Subtract};
    let mut controller = controller(1);
    create(&mut controller, topic("t", 1)).unwrap();
    let id = controller.image().topic_named("t").unwrap().id;
    let of = |controller: &Controller, key: &str| {
        controller.image().config(&ConfigResource::Topic(id)).get(key).cloned()
    };
    let t = || ConfigTarget::Topic("t".to_owned());
    let set = |value: &str| Set(value.to_owned());
    alter(
        &mut controller,
        t(),
        false,
        &[("retention.ms", set("7")), ("cleanup.policy", Append("compact".to_owned()))],
    )
    .unwrap();
    assert_eq!(of(&controller, "cleanup.policy").as_deref(), Some("delete,compact"));
    alter(
        &mut controller,
        t(),
        false,
        &[("cleanup.policy", Subtract("delete".to_owned())), ("retention.ms", Delete)],
    )
    .unwrap();
    assert_eq!(of(&controller, "cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(of(&controller, "retention.ms"), None);
    alter(&mut controller, t(), true, &[("max.message.bytes", set("2000"))]).unwrap();
    assert_eq!(
        (of(&controller, "cleanup.policy"), of(&controller, "max.message.bytes").as_deref()),
        (None, Some("2000"))
    );

    let refused = |controller: &mut Controller, target, operations: &[(&str, ConfigOperation)]| {
        alter(controller, target, false, operations).unwrap_err()
    };
    assert_eq!(refused(&mut controller, t(), &[("nope", set("1"))]), ErrorCode::InvalidConfig);
    assert_eq!(
        refused(&mut controller, t(), &[("retention.ms", Append("1".to_owned()))]),
        ErrorCode::InvalidConfig
    );
    let twice = [("retention.ms", set("1")), ("retention.ms", set("2"))];
    assert_eq!(refused(&mut controller, t(), &twice), ErrorCode::InvalidRequest);
    let unknown = ConfigTarget::Topic("x".to_owned());
    assert_eq!(refused(&mut controller, unknown, &[]), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_broker_gets_a_new_epoch_with_each_life_and_none_for_asking_twice() {
    let mut controller = controller(1);
    let Response::Registered(second) = run(&mut controller, register(0, 2)) else { panic!() };
    let Response::Registered(again) = run(&mut controller, register(0, 2)) else { panic!() };
    assert_eq!(second, again);
    assert!(controller.image().broker(BrokerId(0)).unwrap().is_fenced);
    let stale = Command::AllocateProducerIds { broker: BrokerId(0), epoch: types::BrokerEpoch(second.0 - 1) };
    assert_eq!(controller.decide(Now::default(), stale).unwrap_err().code(), ErrorCode::StaleBrokerEpoch);
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut controller = controller(1);
    let epoch = controller.image().broker(BrokerId(0)).unwrap().epoch;
    let mut next = 0;
    for _ in 0..3 {
        let command = Command::AllocateProducerIds { broker: BrokerId(0), epoch };
        let Response::ProducerIds(block) = run(&mut controller, command) else { panic!() };
        assert_eq!(block.first.0, next);
        next += i64::from(block.len);
    }
}

#[test]
fn a_snapshot_makes_the_same_image_and_a_delta_tells_what_changed() {
    let mut controller = controller(2);
    let empty = controller.image().clone();
    create(&mut controller, NewTopic { partitions: 3, ..topic("a", 1) }).unwrap();
    create(&mut controller, topic("b", 2)).unwrap();
    let epoch = controller.image().broker(BrokerId(1)).unwrap().epoch;
    run(&mut controller, Command::AllocateProducerIds { broker: BrokerId(1), epoch });
    let set = ConfigOperation::Set("9".to_owned());
    alter(&mut controller, ConfigTarget::Topic("a".to_owned()), false, &[("retention.ms", set)]).unwrap();
    let full = controller.image().clone();

    let mut copy = Image::default();
    full.to_records().iter().for_each(|record| copy.apply(record));
    assert_eq!(copy, full);

    let delta = Delta::between(&empty, &full);
    assert_eq!(delta.changed_topics.len(), 2);
    assert_eq!(delta.configured_topics, [full.topic_named("a").unwrap().id]);
    run(&mut controller, Command::DeleteTopics { topics: vec![TopicRef::Name("b".to_owned())] });
    let delta = Delta::between(&full, controller.image());
    assert_eq!(delta.deleted_topics.len(), 1);
    assert!(delta.changed_topics.is_empty() && delta.configured_topics.is_empty());
    assert!(Delta::between(&full, &full).is_empty());
}

#[test]
fn a_request_has_bounds() {
    let mut controller = controller(1);
    let big = |name: &str, seed| NewTopic { partitions: 6_000, ..topic(name, seed) };
    let command = Command::CreateTopics { topics: vec![big("a", 1), big("b", 2)], validate_only: false };
    let Response::CreatedTopics(results) = run(&mut controller, command) else { panic!() };
    let codes: Vec<_> = results.into_iter().map(|result| result.unwrap_err().code).collect();
    assert_eq!(codes, [ErrorCode::PolicyViolation; 2]);
    assert_eq!(create(&mut controller, big("a", 1)), Ok(6_000));
    let grow = |count| {
        let topics = vec![NewPartitions { topic: "a".to_owned(), count, assignments: None }];
        Command::CreatePartitions { topics, validate_only: false }
    };
    let Response::CreatedPartitions(results) = run(&mut controller, grow(16_001)) else { panic!() };
    assert_eq!(results[0].as_ref().unwrap_err().code, ErrorCode::PolicyViolation);
    let Response::CreatedPartitions(results) = run(&mut controller, grow(16_000)) else { panic!() };
    assert_eq!(results, [Ok(())]);
    let long = format!("0:{}", "1".repeat(40_000));
    let set = [("leader.replication.throttled.replicas", ConfigOperation::Set(long))];
    let refused = alter(&mut controller, ConfigTarget::Topic("a".to_owned()), false, &set);
    assert_eq!(refused, Err(ErrorCode::InvalidConfig));
}

#[test]
fn the_quorums_own_log_is_no_topic() {
    let mut controller = controller(1);
    let refused = create(&mut controller, topic("__cluster_metadata", 1));
    assert_eq!(refused, Err(ErrorCode::TopicAuthorizationFailed));
}
