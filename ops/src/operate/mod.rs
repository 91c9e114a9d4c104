//! Commands of an operator for a running core, over its admin door (PROTOCOL.md section 3.4).
//!
//! What this is: the client of that door, and one module per group of commands. It finds the node that can answer, follows
//! redirects and tries again for a bounded time. What it must not do: send a request again that may have been carried out
//! without saying so; what changes something must bear being asked twice, or be refused the second time.
//!
//! - [`boxes`]: `schulhof box`
//! - [`node`]: `schulhof node`
//! - [`relay`]: `schulhof relay drain`, at the relay itself
//! - [`school`]: `schulhof school`

pub mod boxes;
pub mod node;
pub mod relay;
pub mod school;

use crate::{
    cli::{OperateArgs, Output},
    record::{Kind, Record},
    up::layout::OPERATOR,
};
use anyhow::{Context as _, bail};
use schulhof_net::{
    identity::{Identity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_wire::{
    NodeName,
    admin::{ALPN_ADMIN, Answer, Ask, Leader, Request, VERSION},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// After so long without an answer the core has no majority, or cannot be reached from here.
const ASK_MAX: Duration = Duration::from_secs(20);
/// One node that does not answer for this long is left alone: another one may.
const ONE_MAX: Duration = Duration::from_secs(15);
/// Between two tries when nobody leads.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Who asks, and where: what `--config` names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder with `ca.pem`, `cert.pem`, `key.pem` of an operator.
    pub identity: PathBuf,
    /// Core nodes. One that answers is enough, it names the others.
    #[serde(rename = "core", default)]
    pub cores: Vec<Core>,
    /// Relays, for what concerns one of them.
    #[serde(rename = "relay", default)]
    pub relays: Vec<Core>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    pub name: NodeName,
    /// QUIC on UDP.
    pub addr: SocketAddr,
}

impl Config {
    /// From the file, or from what `up` has written down.
    pub fn of(args: &OperateArgs) -> anyhow::Result<Self> {
        if let Some(path) = &args.config {
            return Ok(schulhof_net::config::load(path)?);
        }
        let record = Record::load(&args.dir)?;
        let core = |node: &crate::record::NodeRecord| {
            let addr = node.url.strip_prefix("quic://").unwrap_or(&node.url);
            anyhow::Ok(Core { name: NodeName::new(&node.name)?, addr: addr.parse().context("its address")? })
        };
        let cores = record.nodes.iter().filter(|node| node.kind == Kind::Core);
        let cores = cores.map(|node| core(node).with_context(|| node.name.clone())).collect::<anyhow::Result<_>>()?;
        let relay = |node: &crate::record::NodeRecord| {
            let config: schulhof_core::relay::Config = schulhof_net::config::load(&node.config)?;
            anyhow::Ok(Core { name: NodeName::new(&node.name)?, addr: config.quic })
        };
        let relays = record.nodes.iter().filter(|node| node.kind == Kind::Relay);
        let relays = relays.map(relay).collect::<anyhow::Result<_>>()?;
        Ok(Self { identity: args.dir.join(OPERATOR).join("identity"), cores, relays })
    }
}

/// A client of the admin door.
pub struct Client {
    endpoint: Endpoint,
    cores: Vec<Core>,
    /// Who answered last.
    known: Option<SocketAddr>,
}

impl Client {
    /// Needs a tokio runtime.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        if config.cores.is_empty() {
            bail!("no core node is named");
        }
        let identity = Identity::load_as(&config.identity, Role::Operator)?;
        let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
        Ok(Self { endpoint, cores: config.cores, known: None })
    }

    /// Asks until somebody answers it; a refusal is an error.
    pub async fn ask(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        self.ask_for(ask, ASK_MAX).await
    }

    /// The same, for what may take longer.
    pub async fn ask_for(&mut self, ask: Ask, patience: Duration) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let request = Request { version: VERSION, ask };
        let mut turn = 0;
        let mut last = anyhow::anyhow!("no core node answers");
        while started.elapsed() < patience {
            let address = self.known.unwrap_or_else(|| {
                turn += 1;
                self.cores[(turn - 1) % self.cores.len()].addr
            });
            let pause = match tokio::time::timeout(ONE_MAX, exchange(&self.endpoint, address, &request)).await {
                Ok(Ok(Answer::Redirect { leader: Some(Leader { address, .. }) })) if self.known != Some(address) => {
                    self.known = Some(address);
                    continue;
                }
                Ok(Ok(Answer::Redirect { .. })) => {
                    last = anyhow::anyhow!("no core node leads");
                    self.known = None;
                    RETRY_EVERY
                }
                Ok(Ok(Answer::Busy { retry_after_ms })) => {
                    last = anyhow::anyhow!("the core is busy, or has no majority");
                    self.known = None;
                    Duration::from_millis(retry_after_ms.into())
                }
                Ok(Ok(Answer::Refused { code, detail })) => bail!(Refusal { code, detail }),
                Ok(Ok(answer)) => {
                    self.known = Some(address);
                    return Ok(answer);
                }
                Ok(Err(e)) => {
                    last = e;
                    self.known = None;
                    RETRY_EVERY
                }
                Err(_) => {
                    last = anyhow::anyhow!("{address} does not answer");
                    self.known = None;
                    RETRY_EVERY
                }
            };
            tokio::time::sleep(pause).await;
        }
        Err(last.context(format!("no answer within {} s", patience.as_secs())))
    }

    /// Tells the core that nothing more comes.
    pub async fn close(self) {
        self.endpoint.close("done");
        let _ = tokio::time::timeout(RETRY_EVERY, self.endpoint.wait_idle()).await;
    }
}

/// What the core does not do, and why.
#[derive(Debug, thiserror::Error)]
#[error("{detail} ({code})")]
pub struct Refusal {
    pub code: String,
    pub detail: String,
}

async fn exchange(endpoint: &Endpoint, address: SocketAddr, request: &Request) -> anyhow::Result<Answer> {
    let connection = endpoint.connect(address, &Expected::AnyCore, ALPN_ADMIN).await?;
    let (send, receive) = connection.open_bi().await?;
    let mut writer = FrameWriter::new(send);
    writer.write(request).await?;
    writer.finish();
    let answer = FrameReader::<Answer>::new(receive).read().await;
    if let Some(reason) = connection.close_reason().filter(|_| answer.is_err()) {
        bail!("{address} ended the connection: {reason}");
    }
    answer?.with_context(|| format!("{address} ended the conversation"))
}

/// Runs a command with a client.
pub fn run<R: Serialize>(
    args: &OperateArgs,
    command: impl AsyncFnOnce(&mut Client) -> anyhow::Result<R>,
    table: impl FnOnce(&R) -> String,
) -> anyhow::Result<ExitCode> {
    let config = Config::of(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut client = Client::new(config)?;
        let result = command(&mut client).await;
        client.close().await;
        result
    })?;
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&result)?),
        Output::Table => say!("{}", table(&result).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}
