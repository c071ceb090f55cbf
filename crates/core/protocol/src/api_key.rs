//! The APIs of Kafka: numbers, versions, listeners. The table is generated; a broker advertises the part of it that it
//! serves.

use crate::{DecodeError, Versions};

pub use crate::messages::api_keys::ApiKey;

/// Where an API is served. Both for most administrative ones (KIP-919).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// By brokers.
    pub broker: bool,
    /// By controllers.
    pub controller: bool,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApiInfo {
    pub(crate) key: ApiKey,
    pub(crate) name: &'static str,
    pub(crate) versions: Versions,
    pub(crate) latest_version_unstable: bool,
    pub(crate) listeners: Listeners,
}

impl ApiKey {
    /// Every API that has versions, by number.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        crate::messages::api_keys::APIS.iter().map(|api| api.key)
    }

    /// The API of a number; `None` if there is none or it was removed from Kafka.
    pub fn from_code(code: i16) -> Option<ApiKey> {
        let apis = crate::messages::api_keys::APIS;
        apis.binary_search_by_key(&code, |api| api.key.code()).ok().map(|found| apis[found].key)
    }

    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name: `Produce`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The versions that the schema has, an unstable one included.
    pub fn versions(self) -> Versions {
        self.info().versions
    }

    /// The highest version that Kafka calls stable.
    pub fn latest_stable_version(self) -> i16 {
        let info = self.info();
        info.versions.max - i16::from(info.latest_version_unstable)
    }

    /// Whether the highest version is still in flux and must not be advertised.
    pub fn latest_version_unstable(self) -> bool {
        self.info().latest_version_unstable
    }

    /// The lowest version to advertise. Old librdkafka takes part in nothing if Produce does not start at 0, which
    /// Kafka 4 advertises and refuses (KAFKA-18659).
    pub fn advertised_min(self) -> i16 {
        if self == ApiKey::Produce { 0 } else { self.versions().min }
    }

    /// Who serves it.
    pub fn listeners(self) -> Listeners {
        self.info().listeners
    }

    /// Whether requests and responses of `version` are flexible.
    pub fn is_flexible(self, version: i16) -> bool {
        self.versions().is_flexible(version)
    }

    /// The version of the request header before a request of `version`.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header before a response of `version`. A client that asks for ApiVersions does not
    /// know yet what the broker speaks, so that its header is never flexible (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        if self != ApiKey::ApiVersions && self.is_flexible(version) { 1 } else { 0 }
    }

    fn info(self) -> &'static crate::api_key::ApiInfo {
        let apis = crate::messages::api_keys::APIS;
        let found = apis.binary_search_by_key(&self.code(), |api| api.key.code());
        &apis[found.expect("the table has a line for every key")]
    }
}

impl TryFrom<i16> for ApiKey {
    type Error = DecodeError;

    fn try_from(key: i16) -> Result<ApiKey, DecodeError> {
        ApiKey::from_code(key).ok_or(DecodeError::UnknownApiKey { key })
    }
}
