//! `taffrail operator`: the Kubernetes operator, until a signal asks it to stop; and what the Helm chart's hooks run.

use anyhow::{Context as _, bail};
use config::node::{LogFormat, Logging};

/// Arguments of `taffrail operator`, each of which the Helm chart sets as a variable.
#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    /// The image of clusters that name none: the operator's own
    #[arg(long, value_name = "IMAGE", env = "TAFFRAIL_IMAGE", required = true)]
    image: Option<String>,
    /// The namespaces to look after, comma-separated; none means all of them
    #[arg(long, value_name = "NAMES", env = "TAFFRAIL_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Where metrics and health are served
    #[arg(long, value_name = "HOST:PORT", env = "TAFFRAIL_BIND", default_value = "0.0.0.0:9600")]
    bind: String,
    /// The Lease by which several operators agree on who works; without it this one does
    #[arg(long, value_name = "NAME", env = "TAFFRAIL_LEASE", requires_all = ["namespace", "pod"])]
    lease: Option<String>,
    /// The Lease's namespace
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// The name by which this operator holds the Lease: its Pod's
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "TAFFRAIL_LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// text or json
    #[arg(long, value_name = "FORMAT", env = "TAFFRAIL_LOG_FORMAT", default_value = "text")]
    log_format: String,
}

/// What is done instead of operating, with the same variables.
#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Checks that the operator answers, holds its Lease, and may read the resources: `helm test`
    Check {
        /// The operator's endpoint for metrics and health
        #[arg(long, value_name = "HOST:PORT")]
        endpoint: String,
    },
    /// Stops the operator and takes its finalizer off every KafkaTopic: before `helm uninstall`
    Retire {
        /// The operator's Deployment
        #[arg(long, value_name = "NAME")]
        deployment: String,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let format = match args.log_format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => bail!("--log-format {other:?}: write text or json"),
    };
    super::broker::log_to_stderr(&Logging { level: args.log_level, format })?;
    let namespaces: Vec<_> = args.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect();
    if let Some(task) = args.task {
        let namespace = args.namespace.context("--namespace is missing: write where the operator runs")?;
        return attend(task, operator::Subject { namespace, watched: namespaces, lease: args.lease }).await;
    }
    let image = args.image.filter(|image| !image.trim().is_empty());
    let image = image.context("--image is empty: write the image that brokers run")?;
    let election = match (args.lease, args.namespace, args.pod) {
        (Some(lease), Some(namespace), Some(identity)) => {
            Some(operator::Election { lease, namespace, identity })
        }
        _ => None,
    };
    let options = operator::Options { image, namespaces, bind: args.bind, election };
    Ok(operator::run(options, crate::signals::stop()).await?)
}

async fn attend(task: Task, subject: operator::Subject) -> anyhow::Result<()> {
    match task {
        Task::Check { endpoint } => {
            for line in operator::check(&subject, &endpoint).await? {
                println!("{line}");
            }
        }
        Task::Retire { deployment } => {
            let freed = operator::retire(&subject, &deployment).await?;
            println!("the operator is stopped; {freed} KafkaTopics can be deleted without it");
        }
    }
    Ok(())
}
