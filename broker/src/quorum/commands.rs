//! The controller's commands and answers as they travel from the node that was asked to the active controller.

use metadata::{
    AlterPartition, AlteredPartition, BrokerHeartbeat, BrokerRegistration, Command, ConfigChange,
    ConfigOperation, ConfigTarget, CreatedTopic, ElectedLeader, ElectionType, Endpoint, Failure,
    HeartbeatReply, NewPartitions, NewTopic, PartitionAlteration, PartitionImage, ProducerIdBlock,
    ProposedReplica, Reassignment, Rejection, Response, RestartCheck, TopicRef,
};

use super::SubmitError;
use super::wire::{Wire, wire_enum, wire_struct};

wire_enum!(Command {
    1 = CreateTopics { topics, validate_only },
    2 = DeleteTopics { topics },
    3 = CreatePartitions { topics, validate_only },
    4 = AlterConfigs { changes, validate_only },
    5 = RegisterBroker(registration),
    6 = BrokerHeartbeat(heartbeat),
    7 = FenceBroker { broker, epoch },
    8 = UnregisterBroker { broker },
    9 = Tick,
    10 = AlterPartition(request),
    11 = ElectLeaders { election, partitions },
    12 = AlterReassignments { reassignments, allows_factor_change },
    13 = UnfenceBroker { broker, epoch },
    14 = AllocateProducerIds { broker, epoch },
    15 = Cordon { brokers },
    16 = Rebalance { bytes_per_second },
    17 = CheckRestarts { brokers },
    18 = Drain { broker, ttl_ms },
});

wire_enum!(Response {
    1 = CreatedTopics(results),
    2 = DeletedTopics(results),
    3 = CreatedPartitions(results),
    4 = AlteredConfigs(results),
    5 = Registered(epoch),
    6 = Heartbeat(reply),
    7 = Fenced,
    8 = Unregistered,
    9 = Ticked,
    10 = AlteredPartitions(results),
    11 = ElectedLeaders(results),
    12 = AlteredReassignments(results),
    13 = Unfenced,
    14 = ProducerIds(block),
    15 = Cordoned,
    16 = Rebalancing,
    17 = RestartsChecked(checks),
    18 = Drained,
});

wire_enum!(SubmitError {
    1 = Rejected(rejection),
    2 = NoController,
    3 = Busy,
    4 = TooLarge,
    5 = Unknown,
});

wire_enum!(Rejection {
    1 = StaleBrokerEpoch { broker, epoch },
    2 = BrokerIdNotRegistered { broker },
    3 = DuplicateBrokerRegistration { broker },
    4 = DirectoryTaken { directory, owner },
    5 = TooFewBrokers { needed, left },
    6 = AnotherIsDrained { broker },
    7 = RestartRefused { broker, partitions },
});

wire_struct!(NewTopic { name, id, partitions, replication_factor, assignments, configs });
wire_enum!(TopicRef { 1 = Name(name), 2 = Id(id) });
wire_struct!(NewPartitions { topic, count, assignments });
wire_struct!(ConfigChange { resource, operations, replaces });
wire_enum!(ConfigTarget { 1 = Topic(name), 2 = Broker(id), 3 = Cluster });
wire_enum!(ConfigOperation { 1 = Set(value), 2 = Delete, 3 = Append(value), 4 = Subtract(value) });
wire_struct!(BrokerRegistration {
    broker,
    incarnation,
    endpoints,
    rack,
    directories,
    cordoned,
    previous_epoch,
    previous_incarnation
});
wire_struct!(Endpoint { listener, host, port });
wire_struct!(BrokerHeartbeat {
    broker,
    epoch,
    metadata_end,
    wants_fence,
    wants_shut_down,
    offline,
    cordoned
});
wire_struct!(AlterPartition { broker, epoch, partitions });
wire_struct!(PartitionAlteration { id, leader_epoch, partition_epoch, isr, is_recovering });
wire_struct!(ProposedReplica { broker, epoch });
wire_enum!(ElectionType { 1 = Preferred, 2 = Unclean });
wire_struct!(Reassignment { topic, partition, replicas });

wire_struct!(Failure { code, message });
wire_struct!(CreatedTopic { id, partitions, replication_factor, configs });
wire_struct!(HeartbeatReply { broker, is_caught_up, is_fenced, is_in_controlled_shutdown, should_shut_down });
wire_struct!(AlteredPartition { id, result });
wire_struct!(PartitionImage {
    replicas,
    isr,
    adding,
    removing,
    elr,
    last_known_elr,
    is_recovering,
    leader,
    leader_epoch,
    partition_epoch
});
wire_struct!(ElectedLeader { topic, partition, result });
wire_struct!(ProducerIdBlock { first, len });
wire_struct!(RestartCheck { refused, refused_count });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::wire::{from_bytes, to_bytes};
    use types::{BrokerEpoch, BrokerId, ErrorCode, PartitionId, TopicId, Uuid};

    fn commands() -> Vec<Command> {
        let topic = NewTopic {
            name: "orders".to_owned(),
            id: TopicId(Uuid::from_random([4; 16])),
            partitions: -1,
            replication_factor: 3,
            assignments: vec![(PartitionId(0), vec![BrokerId(1), BrokerId(2)])],
            configs: vec![("retention.ms".to_owned(), Some("1".to_owned())), ("a".to_owned(), None)],
        };
        let change = ConfigChange {
            resource: ConfigTarget::Cluster,
            operations: vec![("x".to_owned(), ConfigOperation::Append("é".repeat(40_000)))],
            replaces: true,
        };
        vec![
            Command::CreateTopics { topics: vec![topic], validate_only: true },
            Command::AlterConfigs { changes: vec![change], validate_only: false },
            Command::DeleteTopics { topics: vec![TopicRef::Name("a".to_owned())] },
            Command::Tick,
            Command::ElectLeaders { election: ElectionType::Unclean, partitions: None },
            Command::FenceBroker { broker: BrokerId(7), epoch: BrokerEpoch(8) },
        ]
    }

    #[test]
    fn what_is_sent_arrives() {
        for command in commands() {
            let bytes = to_bytes(&command);
            let back: Command = from_bytes(bytes.clone()).unwrap();
            assert_eq!(format!("{command:?}"), format!("{back:?}"));
            for end in 0..bytes.len() {
                assert!(from_bytes::<Command>(bytes.slice(..end)).is_err(), "{end} bytes of {command:?}");
            }
        }
        let failure = Failure { code: ErrorCode::TopicAlreadyExists, message: "is there".to_owned() };
        let answer: Result<Response, SubmitError> =
            Ok(Response::CreatedPartitions(vec![Ok(()), Err(failure)]));
        assert_eq!(from_bytes::<Result<Response, SubmitError>>(to_bytes(&answer)).unwrap(), answer);
    }

    #[test]
    fn announced_items_take_no_memory() {
        // DeleteTopics of 4 billion topics.
        let bytes = bytes::Bytes::from_static(&[2, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(from_bytes::<Command>(bytes).is_err());
    }
}
