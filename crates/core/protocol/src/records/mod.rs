//! What Kafka keeps in its own logs and files, in Kafka's own schemas: records of the metadata quorum, of
//! `__consumer_offsets`, of `__transaction_state`, and the producer snapshot.

mod frame;
pub mod group;
pub mod metadata;
pub mod storage;
pub mod transaction;

pub use frame::{
    decode_key_type, decode_metadata_record_type, decode_value, encode_key, encode_metadata_record,
    encode_value,
};
