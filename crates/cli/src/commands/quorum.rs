//! `taffrail quorum`: who votes on the cluster's metadata, and changes of that.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use client::Admin;
use client::admin::{QuorumDescription, QuorumReplica};
use serde_json::{Value, json};
use types::Uuid;

use crate::connect::ConnectArgs;
use crate::output::{Format, OutputArgs, line, or_dash, table};

/// Arguments of `taffrail quorum`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the voters and observers, and how far each of them is
    Describe,
    /// Give a node a vote; it catches up first
    AddVoter {
        #[command(flatten)]
        voter: Voter,
        /// Where the other voters reach its controller
        #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
        endpoint: (String, u16),
    },
    /// Take a node's vote away
    RemoveVoter {
        #[command(flatten)]
        voter: Voter,
    },
}

#[derive(Debug, clap::Args)]
struct Voter {
    /// Its node id
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    id: i32,
    /// The id of its data directory, as `quorum describe` and the node's /v1/state show it
    #[arg(long, value_name = "UUID", allow_hyphen_values = true)]
    directory_id: Uuid,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let admin = args.connect.admin()?;
    let output = &args.output;
    match args.command {
        Command::Describe => describe(&admin, output).await,
        Command::AddVoter { voter: Voter { id, directory_id }, endpoint: (host, port) } => {
            admin.add_raft_voter(id, directory_id, &host, port).await?;
            output.done(
                &format!("Node {id} votes."),
                &json!({ "id": id, "directoryId": directory_id.to_string() }),
            )
        }
        Command::RemoveVoter { voter: Voter { id, directory_id } } => {
            admin.remove_raft_voter(id, directory_id).await?;
            let value = json!({ "id": id, "directoryId": directory_id.to_string() });
            output.done(&format!("Node {id} votes no longer."), &value)
        }
    }
}

fn host_port(text: &str) -> Result<(String, u16), String> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parsed.filter(|(host, _)| !host.is_empty()).ok_or_else(|| "write it as HOST:PORT".to_owned())
}

async fn describe(admin: &Admin, output: &OutputArgs) -> anyhow::Result<()> {
    let quorum = admin.describe_quorum().await?;
    let cluster = admin.describe_cluster().await?.cluster_id;
    match output.output {
        Format::Json => crate::output::json(&as_json(&cluster, &quorum)),
        Format::Table => as_table(&cluster, &quorum),
    }
}

fn rows(quorum: &QuorumDescription) -> impl Iterator<Item = (&'static str, &QuorumReplica)> {
    let role = |replica: &QuorumReplica| match replica.node_id == quorum.leader_id {
        true => "Leader",
        false => "Follower",
    };
    let voters = quorum.voters.iter().map(move |replica| (role(replica), replica));
    voters.chain(quorum.observers.iter().map(|replica| ("Observer", replica)))
}

fn lag(quorum: &QuorumDescription, replica: &QuorumReplica) -> i64 {
    let end = quorum.voters.iter().find(|voter| voter.node_id == quorum.leader_id);
    end.map_or(0, |leader| leader.log_end_offset.saturating_sub(replica.log_end_offset).max(0))
}

fn address(quorum: &QuorumDescription, node_id: i32) -> Option<&str> {
    quorum.addresses.iter().find(|(id, _)| *id == node_id).map(|(_, address)| address.as_str())
}

fn as_table(cluster: &str, quorum: &QuorumDescription) -> anyhow::Result<()> {
    line(&format!("Cluster {cluster}"))?;
    let QuorumDescription { leader_id, leader_epoch, high_watermark, .. } = quorum;
    line(&format!("Leader {leader_id}, epoch {leader_epoch}, committed up to {high_watermark}"))?;
    line("")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = i64::try_from(now.as_millis()).context("the clock is far ahead")?;
    let ago = |ms: i64| or_dash((ms >= 0).then(|| format!("{} ms ago", now.saturating_sub(ms).max(0))));
    let row = |(status, replica): (&str, &QuorumReplica)| {
        vec![
            replica.node_id.to_string(),
            replica.directory_id.to_string(),
            status.to_owned(),
            replica.log_end_offset.to_string(),
            lag(quorum, replica).to_string(),
            ago(replica.last_fetch_ms),
            ago(replica.last_caught_up_ms),
            or_dash(address(quorum, replica.node_id)),
        ]
    };
    let header = ["node", "directory", "status", "log end", "lag", "last fetch", "caught up", "controller"];
    table(&header, rows(quorum).map(row))
}

fn as_json(cluster: &str, quorum: &QuorumDescription) -> Value {
    let replica = |(status, replica): (&str, &QuorumReplica)| {
        json!({
            "id": replica.node_id,
            "directoryId": replica.directory_id.to_string(),
            "status": status,
            "logEndOffset": replica.log_end_offset,
            "lag": lag(quorum, replica),
            "lastFetchTimestamp": replica.last_fetch_ms,
            "lastCaughtUpTimestamp": replica.last_caught_up_ms,
            "controller": address(quorum, replica.node_id),
        })
    };
    json!({
        "clusterId": cluster,
        "leaderId": quorum.leader_id,
        "leaderEpoch": quorum.leader_epoch,
        "highWatermark": quorum.high_watermark,
        "replicas": rows(quorum).map(replica).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::host_port;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(host_port("a.b:9090"), Ok(("a.b".to_owned(), 9090)));
        for text in ["a.b", ":9090", "a:b", "a:99999"] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }
}
