//! The cluster as a whole.

use protocol::messages::DescribeClusterRequest;

use super::{Admin, optional_text, text};
use crate::{BrokerError, Error, Node};

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The node that brokers name as controller; -1 if none.
    pub controller_id: i32,
    /// Its brokers, by id.
    pub brokers: Vec<BrokerDescription>,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Where it is.
    pub node: Node,
    /// Whether the controller has taken it out of service.
    pub is_fenced: bool,
}

impl Admin {
    /// The cluster's id and brokers, fenced ones too where the broker tells of them.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let response = self
            .client
            .retry(|| async {
                let connection = self.client.any_broker().await?;
                let version = connection.version::<DescribeClusterRequest>(i16::MAX)?;
                let request =
                    DescribeClusterRequest { include_fenced_brokers: version >= 2, ..Default::default() };
                connection.send_version(&request, version, self.client.request_timeout()).await
            })
            .await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused("describing the cluster", error))?;
        let mut brokers: Vec<_> = response
            .brokers
            .iter()
            .map(|broker| BrokerDescription {
                node: Node {
                    id: broker.broker_id,
                    host: text(&broker.host),
                    port: broker.port,
                    rack: optional_text(&broker.rack),
                },
                is_fenced: broker.is_fenced,
            })
            .collect();
        brokers.sort_by_key(|broker| broker.node.id);
        Ok(ClusterDescription {
            cluster_id: text(&response.cluster_id),
            controller_id: response.controller_id,
            brokers,
        })
    }
}
