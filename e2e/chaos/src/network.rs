//! A network for each node, on a bridge, and what cuts them: rules of nftables inside a node's own network, and a token
//! bucket before its link. Clients are on the bridge itself.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use compat::node::Place;

use crate::sandbox::run;

/// The last number of the address of clients.
const CLIENTS: usize = 254;

/// What does not pass at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// From these hosts.
    pub from: Vec<String>,
    /// To these hosts.
    pub to: Vec<String>,
    /// So many of a hundred packets that come in.
    pub loss_percent: u64,
}

/// Bridge and links.
#[derive(Debug)]
pub struct Network {
    nodes: usize,
}

impl Network {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Result<Network> {
        run("ip", &["link", "add", "hub", "type", "bridge"])?;
        run("ip", &["addr", "add", &format!("{}/24", clients()), "dev", "hub"])?;
        run("ip", &["link", "set", "hub", "up"])?;
        for node in 0..nodes {
            let (name, link) = (format!("n{node}"), format!("v{node}"));
            run("ip", &["netns", "add", &name])?;
            run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            run("ip", &["link", "set", &link, "master", "hub", "up"])?;
            run("ip", &["-n", &name, "addr", "add", &format!("{}/24", host(node)), "dev", "eth0"])?;
            run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        }
        Ok(Network { nodes })
    }

    /// Where a node lives.
    pub fn place(&self, node: usize) -> Place {
        Place::in_network(host(node), vec!["nsenter".to_owned(), namespace(node)])
    }

    /// From now on, at this node.
    pub fn cut(&self, node: usize, cut: &Cut) -> Result<()> {
        let mut nft = Command::new("nsenter")
            .args([&namespace(node), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("nft")?;
        nft.stdin.take().context("it is piped")?.write_all(rules(cut).as_bytes()).context("nft")?;
        let output = nft.wait_with_output().context("nft")?;
        anyhow::ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A node's link carries so much and queues the rest for a while.
    pub fn slow(&self, node: usize, kbit: u64) -> Result<()> {
        let rate = format!("{kbit}kbit");
        let bucket = ["root", "tbf", "rate", &rate, "burst", "16kb", "latency", "300ms"];
        let mut arguments = vec!["-n", "", "qdisc", "replace", "dev", "eth0"];
        let name = format!("n{node}");
        arguments[1] = &name;
        arguments.extend(bucket);
        run("tc", &arguments)
    }

    /// Everything passes again.
    pub fn heal(&self) -> Result<()> {
        for node in 0..self.nodes {
            self.cut(node, &Cut::default())?;
            // There may be none.
            let _ = run("tc", &["-n", &format!("n{node}"), "qdisc", "del", "dev", "eth0", "root"]);
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            // A namespace takes its end of the link with it, but not at once.
            let _ = run("ip", &["link", "del", &format!("v{node}")]);
            let _ = run("ip", &["netns", "del", &format!("n{node}")]);
        }
        let _ = run("ip", &["link", "del", "hub"]);
    }
}

/// The address of a node.
pub fn host(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

/// The address of all clients.
pub fn clients() -> String {
    format!("10.77.0.{CLIENTS}")
}

fn namespace(node: usize) -> String {
    format!("--net=/run/netns/n{node}")
}

/// The whole table anew, whatever there was.
fn rules(cut: &Cut) -> String {
    let drops = |field: &str, hosts: &[String]| match hosts {
        [] => String::new(),
        hosts => format!("{field} {{ {} }} drop;", hosts.join(", ")),
    };
    let loss = match cut.loss_percent {
        0 => String::new(),
        percent => format!("iifname \"eth0\" numgen random mod 100 < {percent} drop;"),
    };
    format!(
        "table inet chaos {{ }}\ndelete table inet chaos\ntable inet chaos {{\n\
         chain input {{ type filter hook input priority 0; {} {loss} }}\n\
         chain output {{ type filter hook output priority 0; {} }}\n}}\n",
        drops("ip saddr", &cut.from),
        drops("ip daddr", &cut.to),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_what_does_not_pass() {
        let cut = Cut { from: vec![host(0), clients()], to: vec![host(1)], loss_percent: 7 };
        let rules = rules(&cut);
        assert!(rules.contains("ip saddr { 10.77.0.1, 10.77.0.254 } drop;"), "{rules}");
        assert!(rules.contains("ip daddr { 10.77.0.2 } drop;"), "{rules}");
        assert!(rules.contains("numgen random mod 100 < 7 drop;"), "{rules}");
    }

    #[test]
    fn no_cut_is_no_rule() {
        assert!(!rules(&Cut::default()).contains("drop"));
    }
}
