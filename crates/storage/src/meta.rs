//! `meta.properties` and `partition.metadata`: whose a directory is, and whose a log.

use types::{TopicId, Uuid};

/// `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetaProperties {
    pub(crate) cluster_id: Option<String>,
    pub(crate) node_id: i32,
    pub(crate) directory_id: Uuid,
}

/// A file of properties is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is missing or malformed")]
pub struct InvalidProperties {
    /// The property.
    pub key: &'static str,
}

impl MetaProperties {
    pub(crate) fn encode(&self) -> String {
        let MetaProperties { cluster_id, node_id, directory_id } = self;
        let cluster_id = cluster_id.as_ref().map_or(String::new(), |id| format!("cluster.id={id}\n"));
        format!("#\n{cluster_id}directory.id={directory_id}\nnode.id={node_id}\nversion=1\n")
    }

    pub(crate) fn decode(text: &str) -> Result<MetaProperties, InvalidProperties> {
        let value = |key: &'static str| value(text, key, '=').ok_or(InvalidProperties { key });
        if value("version")? != "1" {
            return Err(InvalidProperties { key: "version" });
        }
        Ok(MetaProperties {
            cluster_id: value("cluster.id").ok().map(str::to_owned),
            node_id: value("node.id")?.parse().map_err(|_| InvalidProperties { key: "node.id" })?,
            directory_id: value("directory.id")?
                .parse()
                .map_err(|_| InvalidProperties { key: "directory.id" })?,
        })
    }
}

pub(crate) fn encode_partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}")
}

pub(crate) fn decode_partition_metadata(text: &str) -> Result<TopicId, InvalidProperties> {
    if value(text, "version", ':') != Some("0") {
        return Err(InvalidProperties { key: "version" });
    }
    let topic = value(text, "topic_id", ':').and_then(|id| id.parse().ok());
    topic.map(TopicId).ok_or(InvalidProperties { key: "topic_id" })
}

fn value<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(separator))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_round_trip_as_kafka_writes_them() {
        let directory_id = Uuid([7; 16]);
        let meta = MetaProperties { cluster_id: Some("abc".into()), node_id: 3, directory_id };
        assert_eq!(
            meta.encode(),
            format!("#\ncluster.id=abc\ndirectory.id={directory_id}\nnode.id=3\nversion=1\n")
        );
        assert_eq!(MetaProperties::decode(&meta.encode()), Ok(meta.clone()));
        let kafka = format!(
            "#\n#Sat Nov 21 05:58:25 UTC 2026\nnode.id=3\nversion=1\ncluster.id=abc\ndirectory.id={directory_id}\n"
        );
        assert_eq!(MetaProperties::decode(&kafka), Ok(meta));
        assert_eq!(
            MetaProperties::decode("version=0\nbroker.id=1\n"),
            Err(InvalidProperties { key: "version" })
        );

        let topic = TopicId(Uuid([9; 16]));
        assert_eq!(encode_partition_metadata(topic), format!("version: 0\ntopic_id: {topic}"));
        assert_eq!(decode_partition_metadata(&encode_partition_metadata(topic)), Ok(topic));
        assert!(decode_partition_metadata("version: 0\n").is_err());
    }
}
