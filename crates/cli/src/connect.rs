//! How a command reaches its cluster: the arguments that all of them share.

use std::time::Duration;

use client::{Admin, Client, ClientConfig};

/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Where to find the cluster; several are separated by commas
    #[arg(
        short,
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "KAFKA_BOOTSTRAP_SERVERS",
        hide_env_values = true,
        default_value = "localhost:9092"
    )]
    bootstrap_server: String,
}

impl ConnectArgs {
    /// A client with a command line's patience.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let config = ClientConfig {
            client_id: "taffrail-cli".to_owned(),
            operation_timeout: Duration::from_secs(30),
            ..ClientConfig::new(&self.bootstrap_server)
        };
        Ok(Client::new(config)?)
    }

    /// The administration of the cluster.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(self.client()?))
    }
}
