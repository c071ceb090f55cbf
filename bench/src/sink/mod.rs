//! A broker that does nothing: it drops what is produced and says yes, and it has endless records in memory to give. What a
//! client reaches against it is what the client can do at all, so that a row is not blamed on a broker when the client
//! is the limit.

mod consume;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use protocol::messages::{
    ApiVersionsResponse, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse,
};
use protocol::{ApiKey, Decoder, Message, frame};
use types::{ErrorCode, Uuid};

/// What is served, up to which version: as new as clients use, as old as keeps the sink small.
const SERVED: [(ApiKey, i16); 13] = [
    (ApiKey::Produce, 12),
    (ApiKey::Metadata, 13),
    (ApiKey::ApiVersions, 4),
    (ApiKey::InitProducerId, 5),
    (ApiKey::Fetch, 12),
    (ApiKey::ListOffsets, 7),
    (ApiKey::FindCoordinator, 3),
    (ApiKey::JoinGroup, 9),
    (ApiKey::SyncGroup, 5),
    (ApiKey::Heartbeat, 4),
    (ApiKey::LeaveGroup, 5),
    (ApiKey::OffsetFetch, 7),
    (ApiKey::OffsetCommit, 8),
];
const FRAME_BYTES_MAX: usize = 128 << 20;
const NODE_ID: i32 = 0;

/// Starts a sink with one topic-to-be of `partitions` partitions on a free port; gives back its bootstrap address. It
/// lives as long as the process.
pub(crate) fn start(partitions: i32) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for the sink")?;
    let port = listener.local_addr()?.port();
    let batch = consume::batch()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Otherwise the second of two answers waits for the client's delayed acknowledgement of the first.
            stream.set_nodelay(true).ok();
            let batch = batch.clone();
            std::thread::spawn(move || {
                let mut connection = Connection { stream, port, partitions, batch, input: BytesMut::new() };
                // The client hanging up is how a connection ends.
                while connection.serve_one().is_ok() {}
            });
        }
    });
    Ok(format!("127.0.0.1:{port}"))
}

struct Connection {
    stream: TcpStream,
    port: u16,
    partitions: i32,
    /// What every answer to a fetch is made of.
    batch: Bytes,
    input: BytesMut,
}

impl Connection {
    fn serve_one(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length))?;
        if length > FRAME_BYTES_MAX {
            bail!("a frame of {length} bytes");
        }
        self.input.resize(length, 0);
        self.stream.read_exact(&mut self.input)?;
        let mut decoder = Decoder::new(self.input.split().freeze());
        let (key, header) = frame::decode_request_header(&mut decoder)?;
        let reply = Reply { key, version: header.request_api_version, correlation_id: header.correlation_id };
        let answer = match key {
            ApiKey::Produce => match self.produce(&mut decoder, reply.version)? {
                Some(response) => reply.encode(&response)?,
                None => return Ok(()),
            },
            ApiKey::Metadata => reply.encode(&self.metadata(&mut decoder, reply.version)?)?,
            ApiKey::ApiVersions => api_versions(reply)?,
            ApiKey::InitProducerId => {
                let response =
                    InitProducerIdResponse { producer_id: 1, producer_epoch: 0, ..Default::default() };
                reply.encode(&response)?
            }
            _ => self.consume(key, &mut decoder, reply)?,
        };
        self.stream.write_all(&answer)?;
        Ok(())
    }

    /// `None` under acks=0, which has no answer.
    fn produce(&self, decoder: &mut Decoder, version: i16) -> Result<Option<ProduceResponse>> {
        let request = ProduceRequest::decode(decoder, version)?;
        if request.acks == 0 {
            return Ok(None);
        }
        let responses = request
            .topic_data
            .into_iter()
            .map(|topic| TopicProduceResponse {
                name: topic.name,
                topic_id: topic.topic_id,
                partition_responses: topic
                    .partition_data
                    .iter()
                    .map(|partition| PartitionProduceResponse {
                        index: partition.index,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            })
            .collect();
        Ok(Some(ProduceResponse { responses, ..Default::default() }))
    }

    fn metadata(&self, decoder: &mut Decoder, version: i16) -> Result<MetadataResponse> {
        let request = MetadataRequest::decode(decoder, version)?;
        let names: BTreeSet<_> =
            request.topics.unwrap_or_default().into_iter().filter_map(|t| t.name).collect();
        let partitions: Vec<_> = (0..self.partitions)
            .map(|partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: NODE_ID,
                replica_nodes: vec![NODE_ID],
                isr_nodes: vec![NODE_ID],
                ..Default::default()
            })
            .collect();
        let topic = |name| MetadataResponseTopic {
            name: Some(name),
            topic_id: Uuid::from_random([7; 16]),
            partitions: partitions.clone(),
            ..Default::default()
        };
        Ok(MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: NODE_ID,
                host: "127.0.0.1".into(),
                port: i32::from(self.port),
                ..Default::default()
            }],
            controller_id: NODE_ID,
            topics: names.into_iter().map(topic).collect(),
            ..Default::default()
        })
    }
}

/// Which request is answered.
#[derive(Clone, Copy)]
struct Reply {
    key: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl Reply {
    fn encode(self, response: &impl Message) -> Result<Bytes> {
        Ok(frame::encode_response(self.key, self.version, self.correlation_id, response)?.bytes.freeze())
    }
}

/// A version that does not exist here gets the oldest answer, with the error (KIP-511).
fn api_versions(reply: Reply) -> Result<Bytes> {
    let known = ApiKey::ApiVersions.versions().contains(reply.version);
    let (version, error) =
        if known { (reply.version, ErrorCode::None) } else { (0, ErrorCode::UnsupportedVersion) };
    let served = |(key, max_version): (ApiKey, i16)| ApiVersion {
        api_key: key.code(),
        min_version: key.advertised_min(),
        max_version,
        ..Default::default()
    };
    let response = ApiVersionsResponse {
        error_code: error.code(),
        api_keys: SERVED.into_iter().map(served).collect(),
        ..Default::default()
    };
    Reply { version, ..reply }.encode(&response)
}

#[cfg(test)]
mod tests {
    #[test]
    fn librdkafka_takes_the_sink_for_a_broker() {
        let bootstrap = super::start(2).unwrap();
        assert!(crate::librdkafka::produce_mb_s(&bootstrap, "any", 1000).unwrap() > 0.0);
        assert!(crate::librdkafka::consume_mb_s(&bootstrap, "any", 2, 1000).unwrap() > 0.0);
    }
}
