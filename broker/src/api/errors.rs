//! Where the error codes of each response are: what the metrics count. Knows no version.

use protocol::messages as m;

/// A response that can hold errors.
pub(super) trait Errors {
    /// Gives each error code that it has, 0 for a success, to `see`.
    fn each_error(&self, see: &mut dyn FnMut(i16));
}

/// One line for each response: the fields of its own that are codes, then the nested ones, as `list / list: code`.
macro_rules! errors {
    ($($response:ident { $($code:ident),* } $([$first:ident $(/ $then:ident)* : $inner:ident])*;)*) => {$(
        impl Errors for m::$response {
            fn each_error(&self, see: &mut dyn FnMut(i16)) {
                $(see(self.$code);)*
                $(self.$first.iter()$(.flat_map(|outer| outer.$then.iter()))*.for_each(|part| see(part.$inner));)*
            }
        }
    )*};
}

errors! {
    ProduceResponse {} [responses / partition_responses: error_code];
    FetchResponse { error_code } [responses / partitions: error_code];
    ListOffsetsResponse {} [topics / partitions: error_code];
    MetadataResponse { error_code } [topics: error_code] [topics / partitions: error_code];
    OffsetCommitResponse {} [topics / partitions: error_code];
    OffsetFetchResponse { error_code }
        [topics / partitions: error_code] [groups: error_code] [groups / topics / partitions: error_code];
    FindCoordinatorResponse { error_code } [coordinators: error_code];
    JoinGroupResponse { error_code };
    HeartbeatResponse { error_code };
    LeaveGroupResponse { error_code } [members: error_code];
    SyncGroupResponse { error_code };
    DescribeGroupsResponse {} [groups: error_code];
    ListGroupsResponse { error_code };
    ApiVersionsResponse { error_code };
    CreateTopicsResponse {} [topics: error_code];
    DeleteTopicsResponse {} [responses: error_code];
    DeleteRecordsResponse {} [topics / partitions: error_code];
    InitProducerIdResponse { error_code };
    OffsetForLeaderEpochResponse {} [topics / partitions: error_code];
    DescribeConfigsResponse {} [results: error_code];
    AlterConfigsResponse {} [responses: error_code];
    DescribeLogDirsResponse { error_code } [results: error_code];
    CreatePartitionsResponse {} [results: error_code];
    DeleteGroupsResponse {} [results: error_code];
    IncrementalAlterConfigsResponse {} [responses: error_code];
    OffsetDeleteResponse { error_code } [topics / partitions: error_code];
    ElectLeadersResponse { error_code } [replica_election_results / partition_result: error_code];
    AlterPartitionReassignmentsResponse { error_code } [responses / partitions: error_code];
    ListPartitionReassignmentsResponse { error_code };
    DescribeQuorumResponse { error_code } [topics / partitions: error_code];
    UpdateFeaturesResponse { error_code } [results: error_code];
    UnregisterBrokerResponse { error_code };
    AddRaftVoterResponse { error_code };
    RemoveRaftVoterResponse { error_code };
    DescribeClusterResponse { error_code };
    DescribeTopicPartitionsResponse {} [topics: error_code] [topics / partitions: error_code];
}
