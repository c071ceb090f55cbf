//! An entry of the raft log as a record batch: base offset = index, leader epoch = term, one record whose value is a tag
//! and what the entry carries.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use openraft::EntryPayload;
use record::{Batch, BatchBuilder, Compression};
use serde::{Deserialize, Serialize};
use types::{LeaderEpoch, Offset, Timestamp, Uuid};

use super::codec;
use super::raft::{CommittedLeaderId, Entry, LogId, Membership, Payload, Proposal, VoterAddress, VoterId};

const BLANK: u8 = 0;
const RECORDS: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// The log's members, as JSON: small, rare, and readable in a hex dump.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredVoters {
    configs: Vec<BTreeSet<String>>,
    nodes: BTreeMap<String, VoterAddress>,
}

/// The batch that holds an entry.
pub(super) fn encode(entry: &Entry, now: Timestamp) -> io::Result<Bytes> {
    let mut value = Vec::new();
    match &entry.payload {
        EntryPayload::Blank => value.push(BLANK),
        EntryPayload::Normal(Proposal(records)) => {
            value.push(RECORDS);
            value.extend_from_slice(&codec::encode_all(records).map_err(io::Error::other)?);
        }
        EntryPayload::Membership(membership) => {
            value.push(MEMBERSHIP);
            serde_json::to_writer(&mut value, &StoredVoters::from_membership(membership))?;
        }
    }
    let (offset, epoch) = place(&entry.log_id)?;
    let mut builder = BatchBuilder::new(Compression::None).at(offset, epoch);
    builder.push(now, None, Some(&value), &[]);
    builder.build()
}

/// The entry in a batch.
pub(super) fn decode(batch: &Batch) -> io::Result<Entry> {
    let header = batch.header();
    let record =
        batch.records().map_err(invalid)?.next().ok_or_else(|| invalid("no record"))?.map_err(invalid)?;
    let value = record.value.unwrap_or_default();
    let (tag, content) = match value.first() {
        Some(tag) => (*tag, value.slice(1..)),
        None => return Err(invalid("an empty entry")),
    };
    let payload: Payload = match tag {
        BLANK => EntryPayload::Blank,
        RECORDS => EntryPayload::Normal(Proposal(codec::decode_all(content).map_err(invalid)?)),
        MEMBERSHIP => {
            let voters: StoredVoters = serde_json::from_slice(&content)?;
            EntryPayload::Membership(voters.into_membership()?)
        }
        other => return Err(invalid(format!("entry tag {other} is not known"))),
    };
    Ok(Entry { log_id: log_id(header.leader_epoch, header.base_offset)?, payload })
}

/// Where an entry stands in the log.
pub(super) fn place(log_id: &LogId) -> io::Result<(Offset, LeaderEpoch)> {
    let offset = i64::try_from(log_id.index).map_err(invalid)?;
    let epoch = i32::try_from(log_id.leader_id.term).map_err(invalid)?;
    Ok((Offset(offset), LeaderEpoch(epoch)))
}

/// The reverse of [`place`].
pub(super) fn log_id(epoch: LeaderEpoch, offset: Offset) -> io::Result<LogId> {
    let term = u64::try_from(epoch.0).map_err(invalid)?;
    let index = u64::try_from(offset.0).map_err(invalid)?;
    Ok(LogId { leader_id: CommittedLeaderId::new(term), index })
}

impl StoredVoters {
    pub(super) fn from_membership(membership: &Membership) -> StoredVoters {
        let configs = membership.get_joint_config().iter();
        StoredVoters {
            configs: configs.map(|config| config.iter().map(VoterId::to_string).collect()).collect(),
            nodes: membership.nodes().map(|(id, address)| (id.to_string(), address.clone())).collect(),
        }
    }

    pub(super) fn into_membership(self) -> io::Result<Membership> {
        let configs = self
            .configs
            .iter()
            .map(|config| config.iter().map(|id| parse_voter(id)).collect::<io::Result<BTreeSet<_>>>())
            .collect::<io::Result<Vec<_>>>()?;
        let nodes = self
            .nodes
            .into_iter()
            .map(|(id, address)| Ok((parse_voter(&id)?, address)))
            .collect::<io::Result<BTreeMap<_, _>>>()?;
        // What a snapshot before the first membership holds.
        if configs.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configs, nodes).map_err(invalid)
    }
}

/// The reverse of a voter's text.
pub(super) fn parse_voter(text: &str) -> io::Result<VoterId> {
    let (node, directory) = text.split_once('@').ok_or_else(|| invalid(format!("{text:?} is no voter")))?;
    let directory: Uuid = directory.parse().map_err(invalid)?;
    Ok(VoterId { node: node.parse().map_err(invalid)?, directory })
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use metadata::MetadataRecord;
    use openraft::EntryPayload;
    use record::Batch;
    use types::{LeaderEpoch, Offset, Timestamp, TopicId, Uuid};

    use super::{Entry, Membership, Proposal, VoterAddress, VoterId};

    #[test]
    fn every_kind_of_entry_comes_back() {
        let voter = VoterId { node: 3, directory: Uuid::from_random([5; 16]) };
        let address = VoterAddress { host: "localhost".to_owned(), port: 19_090 };
        let membership =
            Membership::new(vec![BTreeSet::from([voter])], BTreeMap::from([(voter, address)])).unwrap();
        let record = MetadataRecord::RemoveTopic { id: TopicId(Uuid::from_random([1; 16])) };
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal(vec![record])),
            EntryPayload::Membership(membership),
        ];
        for (index, payload) in (7..).zip(payloads) {
            let log_id = super::log_id(LeaderEpoch(2), Offset(index)).unwrap();
            let entry = Entry { log_id, payload };
            let bytes = super::encode(&entry, Timestamp(5)).unwrap();
            let batch = Batch::parse(&bytes).unwrap().unwrap();
            assert_eq!(super::decode(&batch).unwrap(), entry);
        }
    }
}
