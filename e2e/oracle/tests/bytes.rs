//! For every request and response that both know, in every version that both know: bytes made from Kafka's definitions
//! are read and written again by both, and both write the same.

#[path = "../../../crates/core/protocol/tests/schema/mod.rs"]
mod schema;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use protocol::catalogue::{Codec, codecs};
use schema::{Schema, Seed};

const SAMPLES: u64 = 16;

/// What the oracle does not know, because it follows an older Kafka. Some versions it knows in one direction only.
const UNKNOWN_REQUESTS: &[&str] = &[
    "ListOffsetsRequest 11",
    "OffsetCommitRequest 10",
    "OffsetFetchRequest 10",
    "ApiVersionsRequest 5",
    "InitProducerIdRequest 6",
    "WriteTxnMarkersRequest 2",
    "TxnOffsetCommitRequest 6",
    "DescribeLogDirsRequest 5",
    "DeleteGroupsRequest 3",
    "BrokerHeartbeatRequest 2",
    "ShareFetchRequest 2",
    "ShareAcknowledgeRequest 2",
    "AddRaftVoterRequest 1",
    "WriteShareGroupStateRequest 1",
    "ReadShareGroupStateSummaryRequest 1",
    "StreamsGroupHeartbeatRequest 0",
    "StreamsGroupHeartbeatRequest 1",
    "StreamsGroupDescribeRequest 0",
    "StreamsGroupDescribeRequest 1",
    "DescribeShareGroupOffsetsRequest 1",
    "StreamsGroupTopologyDescriptionUpdateRequest 0",
    "UnregisterControllerRequest 0",
];

/// The same for responses.
const UNKNOWN_RESPONSES: &[&str] = &[
    "ListOffsetsResponse 11",
    "ApiVersionsResponse 5",
    "WriteTxnMarkersResponse 2",
    "TxnOffsetCommitResponse 6",
    "DescribeLogDirsResponse 5",
    "DeleteGroupsResponse 3",
    "BrokerHeartbeatResponse 2",
    "ShareFetchResponse 2",
    "ShareAcknowledgeResponse 2",
    "AddRaftVoterResponse 1",
    "WriteShareGroupStateResponse 1",
    "ReadShareGroupStateSummaryResponse 1",
    "StreamsGroupHeartbeatResponse 0",
    "StreamsGroupHeartbeatResponse 1",
    "StreamsGroupDescribeResponse 0",
    "StreamsGroupDescribeResponse 1",
    "DescribeShareGroupOffsetsResponse 1",
    "StreamsGroupTopologyDescriptionUpdateResponse 0",
    "UnregisterControllerResponse 0",
];

/// Reads and writes with the independent implementation.
type Oracle = fn(ApiKey, Bytes, i16) -> Result<Bytes, String>;

#[test]
fn requests_are_the_same_bytes() {
    compare("Request", UNKNOWN_REQUESTS, |key, mut bytes, version| {
        let request = RequestKind::decode(key, &mut bytes, version).map_err(|error| format!("{error:#}"))?;
        let mut written = BytesMut::new();
        request.encode(&mut written, version).map_err(|error| format!("{error:#}"))?;
        Ok(written.freeze())
    });
}

#[test]
fn responses_are_the_same_bytes() {
    compare("Response", UNKNOWN_RESPONSES, |key, mut bytes, version| {
        let response =
            ResponseKind::decode(key, &mut bytes, version).map_err(|error| format!("{error:#}"))?;
        let mut written = BytesMut::new();
        response.encode(&mut written, version).map_err(|error| format!("{error:#}"))?;
        Ok(written.freeze())
    });
}

/// Compares every version that both know. What only we know must be what `unknown` says, no less and no more: a newer
/// oracle that knows more is to be compared with.
fn compare(suffix: &str, unknown: &[&str], oracle: Oracle) {
    let mut differences = Vec::new();
    let mut not_compared = Vec::new();
    for key in protocol::ApiKey::all() {
        let name = format!("{}{suffix}", key.name());
        let codec = codecs().find(|codec| codec.family == "message" && codec.name == name);
        let codec = codec.expect("every API has a request and a response");
        for version in codec.versions.min..=codec.versions.max {
            match compare_version(codec, key.code(), version, oracle) {
                Compared::Same => {}
                Compared::Unknown => not_compared.push(format!("{name} {version}")),
                Compared::Different(how) => differences.push(format!("{name} {version} {how}")),
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(not_compared, unknown);
}

enum Compared {
    Same,
    /// The oracle has no such API or version.
    Unknown,
    Different(String),
}

fn compare_version(codec: &Codec, code: i16, version: i16, oracle: Oracle) -> Compared {
    let Ok(key) = ApiKey::try_from(code) else { return Compared::Unknown };
    let known = key.valid_versions();
    if !(known.min..=known.max).contains(&version) {
        return Compared::Unknown;
    }
    let schema = Schema::read("message", codec.name);
    for seed in 0..SAMPLES {
        let bytes = Bytes::from(schema.bytes(version, &mut Seed(seed), true));
        let ours = (codec.round_trip)(bytes.clone(), version).map_err(|error| error.to_string());
        let theirs = oracle(key, bytes, version);
        // Its table of APIs names versions that its structures do not have.
        if theirs.as_ref().is_err_and(|error| error.contains("version not supported")) {
            return Compared::Unknown;
        }
        if ours != theirs {
            return Compared::Different(format!("seed {seed}:\n  {ours:?}\n  {theirs:?}"));
        }
    }
    Compared::Same
}
