//! Requests: one file per API. Here is the one table of what is served, and the way from a frame to its answer.

mod add_raft_voter;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod config_resource;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod errors;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod nearest;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod pipeline;
mod produce;
mod remove_raft_voter;
mod sync_group;
mod topics;
mod unregister_broker;
mod update_features;

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::frame::{self, Frame};
use protocol::{ApiKey, DecodeError, Decoder, EncodeError, Message, Records, Request, Utf8Bytes};
use storage::LogSlice;
use tokio::time::Instant;
use types::ErrorCode;

use self::errors::Errors;
use self::pipeline::Pipeline;
use crate::node::Node;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The listener that it came in by.
    pub(crate) listener: Arc<str>,
    /// What of its batches was refused.
    pipeline: Arc<Pipeline>,
}

impl Peer {
    /// Of a new connection.
    pub(crate) fn new(address: SocketAddr, listener: Arc<str>) -> Peer {
        Peer { address, listener, pipeline: Arc::default() }
    }
}

/// What a handler knows of a request besides the request.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// Who asks.
    pub(crate) peer: Peer,
    /// The request's version.
    pub(crate) api_version: i16,
    /// What the client calls itself.
    pub(crate) client_id: Option<Utf8Bytes>,
}

/// A request's answer on its way to the connection.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Bytes, and the ranges of files that belong into them.
    Frame {
        /// The bytes.
        frame: Frame,
        /// By the id that the frame gives them.
        slices: Vec<LogSlice>,
    },
    /// Produce under acks=0 has none.
    Nothing,
}

/// A response, and the ranges of files that it refers to.
#[derive(Debug)]
pub(crate) struct Reply<R> {
    /// The response.
    pub(crate) response: R,
    slices: Vec<LogSlice>,
}

/// What came is no request that this broker serves; the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The header cannot be read, or names an API that does not exist.
    #[error("bad request header")]
    Header(#[source] DecodeError),
    /// An API that exists and is not served here.
    #[error("{} is not served", .0.name())]
    NotServed(ApiKey),
    /// A version that does not exist.
    #[error("{} version {version} does not exist", .api.name())]
    Version {
        /// The API.
        api: ApiKey,
        /// The version that was asked for.
        version: i16,
    },
    /// The body is not what the header announces.
    #[error("bad {} request, version {version}", .api.name())]
    Body {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong.
        source: DecodeError,
    },
    /// It failed, and its client does not wait for an answer.
    #[error("a {} request failed that is not answered", .api.name())]
    Unanswerable {
        /// The API.
        api: ApiKey,
    },
    /// A response that has no form in the request's version: a bug.
    #[error("cannot encode the {} response, version {version}", .api.name())]
    Response {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong.
        source: EncodeError,
    },
}

impl<R> From<R> for Reply<R> {
    fn from(response: R) -> Reply<R> {
        Reply { response, slices: Vec::new() }
    }
}

impl<R> Reply<R> {
    /// Takes a part of the log along and gives the field that stands for it.
    pub(crate) fn attach(&mut self, slice: LogSlice) -> Records {
        let id = u32::try_from(self.slices.len()).expect("bounded by the partitions of a request");
        let len = slice.len();
        self.slices.push(slice);
        Records::External { len, id }
    }
}

/// What is served, and who answers. A handler that takes its first step without waiting keeps its connection's order.
macro_rules! served {
    ($($key:ident => $handler:path;)*) => {
        /// The APIs that are advertised, by number.
        pub(crate) const SERVED: &[ApiKey] = &[$(ApiKey::$key,)*];

        async fn dispatch(call: Call, body: Decoder) -> Result<Answer, RequestError> {
            match call.key {
                $(ApiKey::$key => run(call, body, $handler).await,)*
                other => Err(RequestError::NotServed(other)),
            }
        }
    };
}

served! {
    Produce => produce::handle;
    Fetch => fetch::handle;
    ListOffsets => list_offsets::handle;
    Metadata => metadata::handle;
    OffsetCommit => offset_commit::handle;
    OffsetFetch => offset_fetch::handle;
    FindCoordinator => find_coordinator::handle;
    JoinGroup => join_group::handle;
    Heartbeat => heartbeat::handle;
    LeaveGroup => leave_group::handle;
    SyncGroup => sync_group::handle;
    DescribeGroups => describe_groups::handle;
    ListGroups => list_groups::handle;
    ApiVersions => api_versions::handle;
    CreateTopics => create_topics::handle;
    DeleteTopics => delete_topics::handle;
    DeleteRecords => delete_records::handle;
    InitProducerId => init_producer_id::handle;
    OffsetForLeaderEpoch => offset_for_leader_epoch::handle;
    DescribeConfigs => describe_configs::handle;
    AlterConfigs => alter_configs::handle;
    DescribeLogDirs => describe_log_dirs::handle;
    CreatePartitions => create_partitions::handle;
    DeleteGroups => delete_groups::handle;
    ElectLeaders => elect_leaders::handle;
    IncrementalAlterConfigs => incremental_alter_configs::handle;
    AlterPartitionReassignments => alter_partition_reassignments::handle;
    ListPartitionReassignments => list_partition_reassignments::handle;
    OffsetDelete => offset_delete::handle;
    DescribeQuorum => describe_quorum::handle;
    UpdateFeatures => update_features::handle;
    DescribeCluster => describe_cluster::handle;
    UnregisterBroker => unregister_broker::handle;
    DescribeTopicPartitions => describe_topic_partitions::handle;
    AddRaftVoter => add_raft_voter::handle;
    RemoveRaftVoter => remove_raft_voter::handle;
}

/// Starts on a request; the future's first step is the handler's. Fails where the connection cannot go on.
pub(crate) fn answer(
    node: Arc<Node>,
    peer: Peer,
    frame: Bytes,
) -> BoxFuture<'static, Result<Answer, RequestError>> {
    let started = Instant::now();
    let request_bytes = frame.len();
    let mut decoder = Decoder::new(frame);
    let (key, header) = match frame::decode_request_header(&mut decoder) {
        Ok(decoded) => decoded,
        Err(error) => return Box::pin(ready(Err(RequestError::Header(error)))),
    };
    let context =
        RequestContext { peer, api_version: header.request_api_version, client_id: header.client_id };
    let call = Call { node, context, key, correlation_id: header.correlation_id, started, request_bytes };
    Box::pin(dispatch(call, decoder))
}

/// One request on its way through its handler.
struct Call {
    node: Arc<Node>,
    context: RequestContext,
    key: ApiKey,
    correlation_id: i32,
    started: Instant,
    request_bytes: usize,
}

/// What handlers may return: a response, one with ranges of files, or none.
trait IntoReply<R> {
    fn into_reply(self) -> Result<Option<Reply<R>>, Unanswerable>;
}

/// A request failed whose client does not wait for an answer: only the end of the connection tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswerable;

impl<R: Message> IntoReply<R> for R {
    fn into_reply(self) -> Result<Option<Reply<R>>, Unanswerable> {
        Ok(Some(Reply::from(self)))
    }
}

impl<R: Message> IntoReply<R> for Reply<R> {
    fn into_reply(self) -> Result<Option<Reply<R>>, Unanswerable> {
        Ok(Some(self))
    }
}

impl<R: Message> IntoReply<R> for Result<Option<R>, Unanswerable> {
    fn into_reply(self) -> Result<Option<Reply<R>>, Unanswerable> {
        self.map(|response| response.map(Reply::from))
    }
}

/// Decodes, asks the handler, encodes.
async fn run<R: Request<Response: Errors>, O: IntoReply<R::Response>>(
    call: Call,
    mut body: Decoder,
    handler: impl AsyncFnOnce(&Arc<Node>, &RequestContext, R) -> O,
) -> Result<Answer, RequestError> {
    let Call { key, correlation_id, .. } = call;
    let version = call.context.api_version;
    if !is_served(key, version) {
        return refuse_version(&call);
    }
    let request =
        R::decode(&mut body, version).map_err(|source| RequestError::Body { api: key, version, source })?;
    drop(body);
    let reply = handler(&call.node, &call.context, request).await.into_reply();
    let reply = reply.map_err(|Unanswerable| RequestError::Unanswerable { api: key })?;
    let elapsed = call.started.elapsed();
    let Some(Reply { response, slices }) = reply else {
        call.node.metrics.request(key, version, elapsed, call.request_bytes, 0);
        return Ok(Answer::Nothing);
    };
    response.each_error(&mut |code| {
        if code != ErrorCode::None.code() {
            call.node.metrics.error(key, code);
        }
    });
    let frame = frame::encode_response(key, version, correlation_id, &response)
        .map_err(|source| RequestError::Response { api: key, version, source })?;
    let response_bytes = frame.bytes.len() + slices.iter().map(|slice| slice.len() as usize).sum::<usize>();
    call.node.metrics.request(key, version, elapsed, call.request_bytes, response_bytes);
    Ok(Answer::Frame { frame, slices })
}

fn is_served(key: ApiKey, version: i16) -> bool {
    (key.versions().min..=key.latest_stable_version()).contains(&version)
}

/// A client that asks for ApiVersions in a version of the future learns what there is; any other client should have
/// asked first.
fn refuse_version(call: &Call) -> Result<Answer, RequestError> {
    let Call { key, correlation_id, .. } = *call;
    let version = call.context.api_version;
    if key != ApiKey::ApiVersions {
        return Err(RequestError::Version { api: key, version });
    }
    let frame = frame::encode_response(key, 0, correlation_id, &api_versions::unsupported())
        .map_err(|source| RequestError::Response { api: key, version, source })?;
    Ok(Answer::Frame { frame, slices: Vec::new() })
}

#[cfg(test)]
mod tests;
