//! Clients of the clusters' brokers, over the Kafka protocol like everybody else: one for each cluster, kept between rounds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::{Admin, Client, ClientConfig, Error};

use crate::names;

const PATIENCE: Duration = Duration::from_secs(10);

/// The clients, by where they begin.
#[derive(Debug, Default)]
pub(crate) struct Kafka {
    clients: Mutex<HashMap<String, Client>>,
}

impl Kafka {
    /// The administration of a cluster.
    pub(crate) fn admin(&self, bootstrap_servers: &str) -> Result<Admin, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bootstrap_servers) {
            return Ok(Admin::new(client.clone()));
        }
        let config = ClientConfig {
            client_id: names::MANAGER.to_owned(),
            operation_timeout: PATIENCE,
            ..ClientConfig::new(bootstrap_servers)
        };
        let client = Client::new(config)?;
        clients.insert(bootstrap_servers.to_owned(), client.clone());
        Ok(Admin::new(client))
    }

    /// Of a cluster that is gone.
    pub(crate) fn forget(&self, bootstrap_servers: &str) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(bootstrap_servers);
    }
}
