//! Which ports the nodes of `dev` listen on: all follow from one number, so that two of them can run side by side.

use std::net::TcpListener;

use anyhow::bail;

const ADMIN_FROM_BROKER: u16 = 508;
const CONTROLLER_FROM_BROKER: u16 = 9998;
/// Above this, the controller's port would not be one.
const BROKER_MAX: u16 = 55_000;

/// The ports of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) admin: u16,
    pub(super) controller: u16,
}

impl Ports {
    /// Of the node of this index, when the first broker listens on `first`.
    pub(super) fn of_node(first: u16, index: u16) -> anyhow::Result<Ports> {
        if first == 0 || first > BROKER_MAX {
            bail!("--port {first} is out of range: choose 1 to {BROKER_MAX}");
        }
        let broker = first + index;
        Ok(Ports { broker, admin: broker + ADMIN_FROM_BROKER, controller: broker + CONTROLLER_FROM_BROKER })
    }

    /// Fails for the first port that somebody else has, before a broker fails with it in its log.
    pub(super) fn check_free(self) -> anyhow::Result<()> {
        for (port, use_of_it) in
            [(self.broker, "clients"), (self.admin, "administration"), (self.controller, "the controller")]
        {
            if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
                bail!(
                    "port {port}, for {use_of_it}, cannot be used ({error}): stop what listens there \
                     (`ss -ltnp` names it), or choose another with --port"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn ports_follow_from_the_first_one() {
        let node = |index| Ports::of_node(9092, index).expect("in range");
        assert_eq!(node(0), Ports { broker: 9092, admin: 9600, controller: 19090 });
        assert_eq!(node(2), Ports { broker: 9094, admin: 9602, controller: 19092 });
        assert!(Ports::of_node(60_000, 0).is_err() && Ports::of_node(0, 0).is_err());
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("is bound").port();
        let ports = Ports { broker: port, admin: 0, controller: 0 };
        let error = ports.check_free().expect_err("is taken").to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
    }
}
