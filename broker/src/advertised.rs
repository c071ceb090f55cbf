//! Where clients are told to reach this node. Whoever runs it may know that only later, or otherwise after a while: a file says
//! it, is looked at all the time, and what is new in it goes into the cluster's metadata without a restart.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::node::Address;
use metadata::{BrokerRegistration, Command, Endpoint, Response};
use tokio::time::sleep;
use types::BrokerId;

use crate::node::Node;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// The addresses that clients are told.
#[derive(Debug)]
pub(crate) struct Advertised {
    file: Option<PathBuf>,
    /// The listeners in their order, with the addresses of `broker.yaml`.
    listeners: Vec<(String, Option<Address>)>,
    /// What the file says.
    told: BTreeMap<String, Address>,
    /// What was last wrong with it: said once.
    problem: Option<String>,
}

impl Advertised {
    /// As `broker.yaml` has it.
    pub(crate) fn new(node: &Node, listeners: Vec<(String, Option<Address>)>) -> Advertised {
        let file = node.config.advertised_file.clone();
        Advertised { file, listeners, told: BTreeMap::new(), problem: None }
    }

    /// Where this node is reached: the listener for brokers first, and none that nobody has an address for.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let known = self.listeners.iter().filter_map(|(name, own)| {
            let Address { host, port } = self.told.get(name).or(own.as_ref())?.clone();
            Some(Endpoint { listener: name.clone(), host, port })
        });
        known.collect()
    }

    /// Looks at the file. One that cannot be read changes nothing: clients are not sent away for a slip.
    pub(crate) async fn read(&mut self, node: &Node) {
        let Some(file) = self.file.clone() else { return };
        let read = node.blocking.run(move || read(&file)).await;
        match read {
            Ok(told) => {
                self.told = told;
                self.problem = None;
            }
            Err(error) => {
                let problem = error.to_string();
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "advertisedFile cannot be read: clients are told what they were");
                }
                self.problem = Some(problem);
            }
        }
    }

    /// Keeps the cluster's metadata at what the file says, until the node leaves or stops.
    pub(crate) async fn follow(mut self, node: Arc<Node>, mut registration: BrokerRegistration) {
        while self.file.is_some() {
            tokio::select! {
                () = sleep(LOOK) => {}
                () = node.leaving.cancelled() => return,
                () = node.stopping.cancelled() => return,
            }
            self.read(&node).await;
            registration.endpoints = self.endpoints();
            let image = node.metadata().image();
            let known = image.broker(BrokerId(node.config.node_id));
            // Another life of this node speaks for itself.
            let is_ours = |incarnation| incarnation == registration.incarnation;
            if known
                .is_none_or(|known| !is_ours(known.incarnation) || known.endpoints == registration.endpoints)
            {
                continue;
            }
            match node.metadata().submit(Command::RegisterBroker(registration.clone())).await {
                Ok(Response::Registered(_)) => {
                    let addresses = registration.endpoints.iter();
                    let addresses: Vec<_> = addresses
                        .map(|one| format!("{}://{}:{}", one.listener, one.host, one.port))
                        .collect();
                    tracing::info!(addresses = addresses.join(","), "clients are told other addresses");
                }
                Ok(other) => tracing::error!(?other, "a registration was answered with something else"),
                Err(error) => {
                    tracing::info!(%error, "the controller did not take the addresses; asking again")
                }
            }
        }
    }
}

fn read(file: &Path) -> io::Result<BTreeMap<String, Address>> {
    let text = match std::fs::read(file) {
        // Nothing is said yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let wrong = |problem: String| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", file.display()))
    };
    let told: BTreeMap<String, Address> =
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let is_whole = |address: &Address| !address.host.is_empty() && address.port != 0;
    match told.iter().find(|(_, address)| !is_whole(address)) {
        Some((name, _)) => Err(wrong(format!("{name}: host or port is missing"))),
        None => Ok(told),
    }
}
