//! One connection to one broker: frames out in the order of sending, answers matched by correlation id. Knows no cluster
//! and retries nothing: a connection that fails, or on which one request times out, is closed and never used again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::{Decoder, Request, Utf8Bytes, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use types::ErrorCode;

use crate::{BrokerVersions, ClientConfig, Error, Halves};

/// The first version that carries the client's name; its response is readable by all (KIP-511).
const API_VERSIONS_VERSION: i16 = 3;

/// A connection that has agreed on versions. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    address: String,
    client_id: Utf8Bytes,
    request_timeout: Duration,
    versions: BrokerVersions,
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<BytesMut>,
    in_flight: Semaphore,
    tasks: [JoinHandle<()>; 2],
}

/// What the two tasks and the senders share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_correlation_id: i32,
    waiting: BTreeMap<i32, oneshot::Sender<Bytes>>,
    closed: Option<String>,
}

impl Connection {
    /// Connects and asks which versions the broker speaks.
    pub async fn open(address: &str, config: &ClientConfig) -> Result<Connection, Error> {
        crate::config::check_address(address)?;
        let failed = |reason: String| Error::Connect { address: address.to_owned(), reason };
        let halves = timeout(config.connect_timeout, config.connector.connect(address))
            .await
            .map_err(|_| failed(format!("no answer within {} ms", config.connect_timeout.as_millis())))?
            .map_err(|error| failed(plain(&error)))?;
        let mut connection = Connection::start(address, halves, config);
        connection.versions = connection.negotiate(config).await?;
        Ok(connection)
    }

    /// Where it goes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the broker speaks.
    pub fn versions(&self) -> &BrokerVersions {
        &self.versions
    }

    /// Whether it can no longer be used.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed.is_some()
    }

    /// The highest common version of an API, at most `cap`.
    pub fn version<R: Request>(&self, cap: i16) -> Result<i16, Error> {
        self.versions.common::<R>(cap).ok_or_else(|| Error::UnsupportedVersion {
            address: self.address.clone(),
            api: R::KEY.name(),
            served: self.versions.describe(R::KEY),
        })
    }

    /// Sends in the highest common version and waits for the answer.
    pub async fn send<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        let version = self.version::<R>(i16::MAX)?;
        self.send_version(request, version, self.request_timeout).await
    }

    /// Sends in a version that the caller chose, and waits for the answer at most `patience`.
    pub async fn send_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        patience: Duration,
    ) -> Result<R::Response, Error> {
        let api = R::KEY.name();
        let bytes = match timeout(patience, self.exchange(request, version)).await {
            Ok(bytes) => bytes?,
            Err(_) => {
                // The answer may still come, and whoever waits behind it waits too.
                self.close(&format!("{api} was not answered in time"));
                return Err(Error::Timeout { address: self.address.clone(), api, after: patience });
            }
        };
        let malformed = |source| Error::Malformed { address: self.address.clone(), api, source };
        let (_, response) =
            frame::decode_response::<R>(&mut Decoder::new(bytes), version).map_err(malformed)?;
        Ok(response)
    }

    /// Sends a request that is never answered: Produce with acks 0.
    pub async fn send_unanswered<R: Request>(&self, request: &R, version: i16) -> Result<(), Error> {
        let (_, frame) = self.encode(request, version, None)?;
        match timeout(self.request_timeout, self.outgoing.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.broken()),
        }
    }

    /// Ends it: everyone who waits is told why.
    pub fn close(&self, reason: &str) {
        self.shared.close(reason);
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    fn start(address: &str, (read_half, write_half): Halves, config: &ClientConfig) -> Connection {
        let shared = Arc::new(Shared::default());
        let (outgoing, queue) = mpsc::channel(config.in_flight_max.max(1));
        let tasks = [
            tokio::spawn(write_frames(write_half, queue, shared.clone())),
            tokio::spawn(read_frames(read_half, config.response_bytes_max, shared.clone())),
        ];
        Connection {
            address: address.to_owned(),
            client_id: Utf8Bytes::from(config.client_id.as_str()),
            request_timeout: config.request_timeout,
            versions: BrokerVersions::default(),
            shared,
            outgoing,
            in_flight: Semaphore::new(config.in_flight_max.max(1)),
            tasks,
        }
    }

    async fn negotiate(&self, config: &ClientConfig) -> Result<BrokerVersions, Error> {
        let request = ApiVersionsRequest {
            client_software_name: Utf8Bytes::from_static("taffrail"),
            client_software_version: Utf8Bytes::from_static(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let api = "ApiVersions";
        let malformed = |source| Error::Malformed { address: self.address.clone(), api, source };
        let patience = config.request_timeout;
        let bytes = timeout(patience, self.exchange(&request, API_VERSIONS_VERSION))
            .await
            .map_err(|_| Error::Timeout { address: self.address.clone(), api, after: patience })??;
        // A broker that does not know version 3 answers in version 0.
        let response: Result<ApiVersionsResponse, _> = frame::decode_response::<ApiVersionsRequest>(
            &mut Decoder::new(bytes.clone()),
            API_VERSIONS_VERSION,
        )
        .map(|(_, response)| response);
        let response = match response {
            Ok(response) if response.error_code == 0 => response,
            _ => {
                let old = frame::decode_response::<ApiVersionsRequest>(&mut Decoder::new(bytes), 0);
                let (_, old) = old.map_err(malformed)?;
                let is_usable = old.error_code == 0 || old.error_code == ErrorCode::UnsupportedVersion.code();
                crate::BrokerError::check(if is_usable { 0 } else { old.error_code }, None)
                    .map_err(|error| Error::refused("asking for versions", error))?;
                self.send_version(&ApiVersionsRequest::default(), 0, patience).await?
            }
        };
        Ok(BrokerVersions::new(&response))
    }

    async fn exchange<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, Error> {
        let _permit = self.in_flight.acquire().await.map_err(|_| self.broken())?;
        let (answer, waiting) = oneshot::channel();
        let (correlation_id, frame) = self.encode(request, version, Some(answer))?;
        let forget = Forget { shared: &self.shared, correlation_id };
        self.outgoing.send(frame).await.map_err(|_| self.broken())?;
        let bytes = waiting.await.map_err(|_| self.broken())?;
        drop(forget);
        Ok(bytes)
    }

    fn encode<R: Request>(
        &self,
        request: &R,
        version: i16,
        answer: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(i32, BytesMut), Error> {
        let mut state = self.shared.lock();
        let correlation_id = state.next_correlation_id;
        let client_id = Some(self.client_id.clone());
        let frame = frame::encode_request(request, version, correlation_id, client_id)
            .map_err(|source| Error::Unencodable { api: R::KEY.name(), source })?;
        state.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        if state.closed.is_none()
            && let Some(answer) = answer
        {
            state.waiting.insert(correlation_id, answer);
        }
        Ok((correlation_id, frame.bytes))
    }

    fn broken(&self) -> Error {
        let closed = self.shared.lock().closed.clone();
        let reason = closed.unwrap_or_else(|| "it was closed".to_owned());
        Error::Disconnected { address: self.address.clone(), reason }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close("it was closed");
    }
}

/// Takes a waiter out when its request is given up.
struct Forget<'a> {
    shared: &'a Shared,
    correlation_id: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.correlation_id);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        state.waiting.clear();
    }
}

async fn write_frames(
    mut half: Box<dyn AsyncWrite + Send + Unpin>,
    mut queue: mpsc::Receiver<BytesMut>,
    shared: Arc<Shared>,
) {
    while let Some(frame) = queue.recv().await {
        if let Err(error) = half.write_all(&frame).await {
            shared.close(&plain(&error));
            return;
        }
    }
}

async fn read_frames(mut half: Box<dyn AsyncRead + Send + Unpin>, bytes_max: usize, shared: Arc<Shared>) {
    loop {
        match read_frame(&mut half, bytes_max).await {
            Ok((correlation_id, bytes)) => {
                let waiter = shared.lock().waiting.remove(&correlation_id);
                // A waiter that is gone has given up; its answer is of no use to anybody.
                waiter.map(|waiter| waiter.send(bytes));
            }
            Err(error) => return shared.close(&plain(&error)),
        }
    }
}

async fn read_frame(half: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<(i32, Bytes)> {
    let length = half.read_i32().await?;
    let length = usize::try_from(length).ok().filter(|length| (4..=bytes_max).contains(length));
    let length = length.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the answer has no possible length; is it a Kafka broker?")
    })?;
    // Grows with what arrives, so that a length alone allocates little.
    let mut bytes = BytesMut::with_capacity(length.min(64 << 10));
    while bytes.len() < length {
        bytes.reserve((length - bytes.len()).min(1 << 20));
        let mut limited = (&mut *half).take((length - bytes.len()) as u64);
        if limited.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let correlation_id = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok((correlation_id, bytes.freeze()))
}

/// The system's words, without its error number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the broker reset it".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}
