//! `schulhof relay drain`: empties a media relay before it is stopped, without a gap for those who are on it.

use super::{Config, Refusal};
use crate::cli::{OperateArgs, Output, RelayDrainArgs};
use anyhow::{Context as _, bail};
use schulhof_net::{
    identity::{Identity, PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_wire::{
    NodeName,
    node::{ALPN_RESERVE, FromRelay, ToRelay, VERSION},
};
use serde::Serialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A relay that answers nothing for so long cannot be reached.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// As `-o json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Drained {
    relay: NodeName,
    /// When it was asked.
    participants: u32,
    rooms: u32,
    seconds: u64,
}

pub fn drain(args: &RelayDrainArgs) -> anyhow::Result<ExitCode> {
    let OperateArgs { output, .. } = args.operate;
    let config = Config::of(&args.operate)?;
    let relay = config.relays.iter().find(|relay| relay.name == args.relay);
    let relay = relay.with_context(|| format!("no relay {} is named", args.relay))?.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let drained = runtime.block_on(async {
        let identity = Identity::load_as(&config.identity, Role::Operator)?;
        let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
        let expected = Expected::Node(PeerIdentity::new(Role::Relay, relay.name.as_str())?);
        let connection = tokio::time::timeout(ANSWER_MAX, endpoint.connect(relay.addr, &expected, ALPN_RESERVE))
            .await
            .with_context(|| format!("{} does not answer", relay.addr))??;
        let patience = args.minutes.map(|minutes| Duration::from_mins(minutes.into()));
        wait(&connection, relay.name, patience, output).await
    })?;
    match output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&drained)?),
        Output::Table => say!("{} is empty after {} s, and ends", drained.relay, drained.seconds),
    }
    Ok(ExitCode::SUCCESS)
}

/// Until the relay is empty, or has ended because of that.
async fn wait(
    connection: &quinn::Connection,
    relay: NodeName,
    patience: Option<Duration>,
    output: Output,
) -> anyhow::Result<Drained> {
    let started = Instant::now();
    let mut first: Option<(u32, u32)> = None;
    let mut told = None;
    loop {
        let (participants, rooms) = match ask(connection).await {
            Ok(left) => left,
            // It ends when it is empty.
            Err(_) if first.is_some() && connection.close_reason().is_some() => (0, 0),
            Err(error) => return Err(error),
        };
        let (at_first, rooms_at_first) = *first.get_or_insert((participants, rooms));
        if output == Output::Table && told != Some(participants) {
            say!("{relay}: {participants} people in {rooms} rooms left");
            told = Some(participants);
        }
        if participants == 0 {
            let seconds = started.elapsed().as_secs();
            return Ok(Drained { relay, participants: at_first, rooms: rooms_at_first, seconds });
        }
        if patience.is_some_and(|patience| started.elapsed() > patience) {
            bail!(
                "{participants} people are still there: nowhere else is room for them; the relay goes on asking them"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ask(connection: &quinn::Connection) -> anyhow::Result<(u32, u32)> {
    let exchange = async {
        let (send, receive) = connection.open_bi().await?;
        let mut writer = FrameWriter::new(send);
        writer.write(&ToRelay::Drain { version: VERSION }).await?;
        writer.finish();
        let answer = FrameReader::<FromRelay>::new(receive).read().await?;
        answer.context("the relay ended the conversation")
    };
    match tokio::time::timeout(ANSWER_MAX, exchange).await.context("the relay does not answer")?? {
        FromRelay::Draining { participants, rooms } => Ok((participants, rooms)),
        FromRelay::Refused { code, detail } => bail!(Refusal { code, detail }),
        other => bail!("the relay answered {other:?}"),
    }
}
