//! Whole frames, byte by byte where Kafka's documents give the bytes.

use bytes::{Buf, Bytes};
use types::Uuid;

use super::{decode_request_header, decode_response, encode_request, encode_response};
use crate::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use crate::messages::metadata_request::MetadataRequestTopic;
use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, FetchResponse, MetadataRequest};
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder, External, Message, Records, TaggedField};

fn body(mut frame: bytes::BytesMut) -> Bytes {
    let length = frame.get_i32();
    assert_eq!(length as usize, frame.len());
    frame.freeze()
}

#[test]
fn api_versions_request_is_what_kafka_sends() {
    let request = ApiVersionsRequest {
        client_software_name: "a".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    let frame = encode_request(&request, 3, 7, Some("me".into())).unwrap();
    let expected = [
        &[0, 0, 0, 18][..],  // length
        &[0, 18, 0, 3],      // key, version
        &[0, 0, 0, 7],       // correlation id
        &[0, 2, b'm', b'e'], // the client id is not compact, though the header is flexible
        &[0],                // no tagged fields in the header
        &[2, b'a', 2, b'1'], // compact strings
        &[0],                // no tagged fields in the body
    ];
    assert_eq!(&frame.bytes[..], expected.concat());
    let mut decoder = Decoder::new(body(frame.bytes));
    let (key, header) = decode_request_header(&mut decoder).unwrap();
    assert_eq!((key, header.request_api_version, header.correlation_id), (ApiKey::ApiVersions, 3, 7));
    assert_eq!(ApiVersionsRequest::decode(&mut decoder, 3), Ok(request));
    assert_eq!(decoder.expect_end(), Ok(()));
}

#[test]
fn api_versions_response_has_an_inflexible_header() {
    let frame = encode_response(ApiKey::ApiVersions, 3, 9, &ApiVersionsResponse::default()).unwrap();
    // Length, correlation id, error code, empty compact array, throttle time, no tagged fields.
    assert_eq!(&frame.bytes[..], [0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 0]);
    let mut decoder = Decoder::new(body(frame.bytes));
    let (header, response) = decode_response::<ApiVersionsRequest>(&mut decoder, 3).unwrap();
    assert_eq!((header.correlation_id, response), (9, ApiVersionsResponse::default()));
}

#[test]
fn external_records_leave_a_gap_that_the_length_counts() {
    let partition = |records| PartitionData { records, ..PartitionData::default() };
    let response = |records: [Option<Records>; 2]| FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: Uuid([1; 16]),
            partitions: records.into_iter().map(partition).collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    let (first, second) = (Bytes::from_static(&[7; 300]), Bytes::from_static(&[8; 5]));
    let inline = response([Some(first.clone().into()), Some(second.clone().into())]);
    let external =
        response([Some(Records::External { len: 300, id: 4 }), Some(Records::External { len: 5, id: 5 })]);
    for version in [4, 12, 18] {
        let inline = encode_response(ApiKey::Fetch, version, 1, &inline).unwrap();
        let frame = encode_response(ApiKey::Fetch, version, 1, &external).unwrap();
        let ids: Vec<_> = frame.external.iter().map(|external| (external.len, external.id)).collect();
        assert_eq!(ids, [(300, 4), (5, 5)]);
        let [External { at: a, .. }, External { at: b, .. }] = frame.external[..] else { panic!() };
        let spliced = [&frame.bytes[..a], &first, &frame.bytes[a..b], &second, &frame.bytes[b..]];
        assert_eq!(inline.bytes, spliced.concat());
    }
}

#[test]
fn a_value_that_the_version_cannot_carry_is_an_error() {
    let encode = |request: &MetadataRequest, version| request.encode(&mut Encoder::new(), version);
    let null_topics = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert_eq!(encode(&null_topics, 1), Ok(()));
    assert_eq!(encode(&null_topics, 0), Err(EncodeError::UnexpectedNull { field: "Topics", version: 0 }));
    let no_auto_creation = MetadataRequest {
        allow_auto_topic_creation: false,
        topics: Some(vec![]),
        ..MetadataRequest::default()
    };
    assert_eq!(encode(&no_auto_creation, 4), Ok(()));
    assert_eq!(
        encode(&no_auto_creation, 3),
        Err(EncodeError::FieldNotInVersion { field: "AllowAutoTopicCreation", version: 3 })
    );
    assert_eq!(encode(&null_topics, 14), Err(EncodeError::UnsupportedVersion { version: 14 }));
}

#[test]
fn unknown_tagged_fields_survive() {
    let tag = |tag| TaggedField { tag, data: Bytes::from_static(b"later") };
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t".into()),
            unknown_tagged_fields: vec![tag(3), tag(200)],
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let mut encoder = Encoder::new();
    request.encode(&mut encoder, 12).unwrap();
    assert_eq!(MetadataRequest::decode(&mut Decoder::new(encoder.into_bytes()), 12), Ok(request.clone()));
    let inflexible = request.encode(&mut Encoder::new(), 8);
    assert_eq!(inflexible, Err(EncodeError::TaggedFieldsNotInVersion { version: 8 }));
}

#[test]
fn a_length_beyond_the_bytes_is_refused_before_anything_is_allocated() {
    let huge_array = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let error = MetadataRequest::decode(&mut Decoder::new(huge_array), 0).unwrap_err();
    assert_eq!(error, DecodeError::InvalidLength { at: 0, length: i32::MAX.into() });
}

#[test]
fn keys_know_their_versions() {
    assert_eq!(ApiKey::from_code(4), None, "LeaderAndIsr was removed");
    assert_eq!(ApiKey::from_code(0), Some(ApiKey::Produce));
    assert_eq!((ApiKey::Produce.advertised_min(), ApiKey::Produce.versions().min), (0, 3));
    assert_eq!(ApiKey::InitProducerId.latest_stable_version(), 5);
    assert!(ApiKey::Metadata.listeners().broker && !ApiKey::Metadata.listeners().controller);
    assert!(ApiKey::AlterPartition.listeners().controller && !ApiKey::AlterPartition.listeners().broker);
    assert_eq!(ApiKey::all().count(), 91);
    for key in ApiKey::all() {
        assert_eq!(ApiKey::from_code(key.code()), Some(key));
    }
}
