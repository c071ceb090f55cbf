//! The catalogue of topic and broker configurations, and the shape of `broker.yaml`.
