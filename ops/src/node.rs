//! One node in this process: configuration, log, runtime, and the node's own `run`.

use crate::cli::NodeArgs;
use serde::de::DeserializeOwned;
use std::{process::ExitCode, time::Duration};

/// With the value `json`, nodes log as with `--json-logs`. `up` sets it, so that processes started by nodes log alike.
pub const LOG_ENV: &str = "SCHULHOF_LOG";
/// After a node has ended, blocking calls that are still under way get this long.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Reads the configuration and runs the node until it ends. The configuration is read before anything else happens.
pub fn run<C, F>(args: &NodeArgs, node: impl FnOnce(C) -> F) -> anyhow::Result<ExitCode>
where
    C: DeserializeOwned,
    F: Future<Output = anyhow::Result<()>>,
{
    let config: C = schulhof_net::config::load(&args.config)?;
    run_to_end(args.json_logs, node(config))
}

/// Runs what is a node in all but its configuration.
pub fn run_to_end(json_logs: bool, node: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let json = json_logs || std::env::var(LOG_ENV).is_ok_and(|v| v == "json");
    schulhof_net::observe::init_tracing(json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(node);
    runtime.shutdown_timeout(LINGER_MAX);
    result.map(|()| ExitCode::SUCCESS)
}
