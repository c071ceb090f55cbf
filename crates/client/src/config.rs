//! What a client has to know before it connects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Connect, Error};

/// How a client reaches a cluster, and how patient it is.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where to ask first: `host:port` each.
    pub bootstrap_servers: Vec<String>,
    /// What brokers log the client as.
    pub client_id: String,
    /// Time for a connection to open.
    pub connect_timeout: Duration,
    /// Time for one request to be answered.
    pub request_timeout: Duration,
    /// Time for an operation with all its retries.
    pub operation_timeout: Duration,
    /// Pause before the first retry; it doubles up to `retry_backoff_max`.
    pub retry_backoff: Duration,
    /// The longest pause between two retries.
    pub retry_backoff_max: Duration,
    /// Age at which cluster metadata is asked for again.
    pub metadata_max_age: Duration,
    /// Requests on one connection that wait for an answer.
    pub in_flight_max: usize,
    /// The largest answer that is read.
    pub response_bytes_max: usize,
    /// Other addresses for the advertised ones.
    pub address_map: AddressMap,
    /// What opens connections.
    pub connector: Arc<dyn Connect>,
}

impl ClientConfig {
    /// Kafka's defaults, for the servers given as `host:port,host:port`.
    pub fn new(bootstrap_servers: &str) -> ClientConfig {
        let servers = bootstrap_servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        ClientConfig {
            bootstrap_servers: servers.map(str::to_owned).collect(),
            client_id: "taffrail".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            in_flight_max: 32,
            response_bytes_max: 256 << 20,
            address_map: AddressMap::default(),
            connector: crate::connect::tcp(),
        }
    }
}

/// Where an advertised address is really reached: through a forwarded port, for example.
#[derive(Clone, Debug, Default)]
pub struct AddressMap(BTreeMap<String, String>);

impl AddressMap {
    /// From pairs of advertised and reachable `host:port`.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> AddressMap {
        AddressMap(pairs.into_iter().collect())
    }

    /// The address to dial.
    pub fn resolve(&self, host: &str, port: i32) -> String {
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let advertised = format!("{host}:{port}");
        self.0.get(&advertised).cloned().unwrap_or(advertised)
    }
}

/// Refuses what is not `host:port`.
pub(crate) fn check_address(address: &str) -> Result<(), Error> {
    let is_legal = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
    if is_legal { Ok(()) } else { Err(Error::InvalidAddress { address: address.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::{AddressMap, ClientConfig, check_address};

    #[test]
    fn servers_are_split_at_commas() {
        let config = ClientConfig::new("a:1, b:2 ,");
        assert_eq!(config.bootstrap_servers, ["a:1", "b:2"]);
    }

    #[test]
    fn addresses_need_a_port() {
        assert!(check_address("localhost:9092").is_ok());
        assert!(check_address("[::1]:9092").is_ok());
        for wrong in ["localhost", "localhost:", ":9092", "localhost:0", "localhost:99999"] {
            assert!(check_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mapped_addresses_replace_advertised_ones() {
        let map = AddressMap::new([("pod-0:9092".to_owned(), "127.0.0.1:30092".to_owned())]);
        assert_eq!(map.resolve("pod-0", 9092), "127.0.0.1:30092");
        assert_eq!(map.resolve("pod-1", 9092), "pod-1:9092");
        assert_eq!(map.resolve("::1", 9092), "[::1]:9092");
    }
}
