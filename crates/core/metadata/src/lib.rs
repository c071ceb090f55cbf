//! Cluster truth: image, records and the metadata controller that decides them.
