//! KafkaCluster and KafkaTopic: their types, rules and mapping to node configuration.
