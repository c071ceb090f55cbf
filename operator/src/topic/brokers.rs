//! What the operator asks brokers, over the Kafka protocol like everybody else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::admin::{ConfigAlteration, ConfigResource, NewTopic, Operation};
use client::{Admin, Client, ClientConfig, Error};

use super::plan::{Found, Step};

/// The source of a value that was set for the topic itself, in DescribeConfigs' numbers.
const OF_THE_TOPIC: i8 = 1;
const PATIENCE: Duration = Duration::from_secs(10);

/// One client for each cluster, kept between rounds.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    clients: Mutex<HashMap<String, Client>>,
}

impl Brokers {
    /// The topic as the cluster has it.
    pub(crate) async fn find(&self, bootstrap_servers: &str, name: &str) -> Result<Option<Found>, Error> {
        let admin = self.admin(bootstrap_servers)?;
        let metadata = admin.describe_topics(&[name]).await?;
        let Ok(topic) = metadata.topic(name) else { return Ok(None) };
        let configs = admin.describe_configs(&ConfigResource::Topic(name.to_owned())).await?;
        let configs = configs.into_iter().filter(|entry| entry.source.0 == OF_THE_TOPIC);
        Ok(Some(Found {
            topic_id: topic.topic_id.0.to_string(),
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replicas: topic
                .partitions
                .first()
                .map_or(0, |first| first.replicas.len())
                .try_into()
                .unwrap_or(i32::MAX),
            configs: configs.filter_map(|entry| Some((entry.name, entry.value?))).collect(),
        }))
    }

    /// Does what a plan says of the topic itself.
    pub(crate) async fn execute(
        &self,
        bootstrap_servers: &str,
        name: &str,
        step: &Step,
    ) -> Result<(), Error> {
        let admin = self.admin(bootstrap_servers)?;
        match step {
            Step::CreateTopic { partitions, replicas, configs, .. } => {
                let topic = NewTopic {
                    name: name.to_owned(),
                    partitions: Some(*partitions),
                    replication_factor: Some(i16::try_from(*replicas).unwrap_or(i16::MAX)),
                    configs: configs.clone(),
                };
                admin.create_topic(&topic).await.map(drop)
            }
            Step::CreatePartitions { to, .. } => admin.create_partitions(name, *to, false).await,
            Step::AlterConfigs { set, delete } => {
                let resource = ConfigResource::Topic(name.to_owned());
                admin.alter_configs(&resource, &alterations(set, delete), false).await
            }
            Step::DeleteTopic => admin.delete_topic(name).await,
            Step::AddFinalizer | Step::RemoveFinalizer => Ok(()),
        }
    }

    fn admin(&self, bootstrap_servers: &str) -> Result<Admin, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bootstrap_servers) {
            return Ok(Admin::new(client.clone()));
        }
        let config = ClientConfig {
            client_id: crate::names::MANAGER.to_owned(),
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

fn alterations(set: &BTreeMap<String, String>, delete: &[String]) -> Vec<ConfigAlteration> {
    let set = set.iter().map(|(name, value)| (name, Operation::Set(value.clone())));
    let delete = delete.iter().map(|name| (name, Operation::Delete));
    set.chain(delete).map(|(name, operation)| ConfigAlteration { name: name.clone(), operation }).collect()
}
