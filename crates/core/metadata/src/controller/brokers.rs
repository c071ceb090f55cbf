//! Brokers that come, and what they are given.

use types::{BrokerEpoch, BrokerId, Decision};

use super::{BrokerRegistration, Controller, Outcome, ProducerIdBlock, Rejection, Response};
use crate::MetadataRecord;

/// Producer ids that one broker gets at a time (Kafka: `PRODUCER_ID_BLOCK_SIZE`).
const PRODUCER_IDS_A_BLOCK: i32 = 1000;

impl Controller {
    /// A broker that registers is fenced until it has taken its registration in. The same incarnation asking again gets
    /// the same answer.
    pub(super) fn register_broker(&self, registration: BrokerRegistration) -> Outcome {
        let BrokerRegistration { broker, incarnation, endpoints, rack } = registration;
        if let Some(known) = self.image.broker(broker).filter(|known| known.incarnation == incarnation) {
            return Decision::unchanged(Response::Registered(known.epoch));
        }
        let epoch = self.image.next_broker_epoch();
        let record = MetadataRecord::RegisterBroker { broker, epoch, incarnation, endpoints, rack };
        Decision { records: vec![record], response: Response::Registered(epoch) }
    }

    pub(super) fn unfence_broker(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<Outcome, Rejection> {
        let is_fenced = self.check_epoch(broker, epoch)?;
        let records =
            if is_fenced { vec![MetadataRecord::UnfenceBroker { broker, epoch }] } else { Vec::new() };
        Ok(Decision { records, response: Response::Unfenced })
    }

    pub(super) fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Outcome, Rejection> {
        self.check_epoch(broker, epoch)?;
        let first = self.image.next_producer_id();
        let next = types::ProducerId(first.0 + i64::from(PRODUCER_IDS_A_BLOCK));
        let block = ProducerIdBlock { first, len: PRODUCER_IDS_A_BLOCK };
        let record = MetadataRecord::ProducerIds { broker, epoch, next };
        Ok(Decision { records: vec![record], response: Response::ProducerIds(block) })
    }

    /// Whether the broker is fenced, if this is its registration.
    fn check_epoch(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<bool, Rejection> {
        match self.image.broker(broker) {
            Some(known) if known.epoch == epoch => Ok(known.is_fenced),
            _ => Err(Rejection::StaleBrokerEpoch { broker, epoch }),
        }
    }
}
