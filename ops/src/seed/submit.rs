//! Operations to the core over QUIC, as its operator: finds the leader of the school's group, submits once, waits until the
//! batch is committed.

use anyhow::{Context as _, bail};
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter},
};
use schulhof_school::Operation;
use schulhof_wire::{
    LogIndex, NodeName, SchoolId,
    node::{ALPN_SYNC, BATCH_LEN_MAX, EncodedOperation, SYNC_VERSION, ToBox, ToCore},
};
use std::{net::SocketAddr, time::Duration};

/// An election takes about a second; after so long the core has no majority.
const SUBMIT_MAX: Duration = Duration::from_secs(30);
/// Between two tries when nobody leads yet.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// A core node and where it listens.
#[derive(Debug, Clone)]
pub struct Core {
    pub name: NodeName,
    pub addr: SocketAddr,
}

/// How one try on one node ended.
enum Tried {
    /// The head of the school's log that holds the operations.
    Done(LogIndex),
    /// That node leads, or it is not known which.
    Elsewhere(Option<NodeName>),
}

/// Submits what `operations` makes, unless the school's log holds as many entries already; gives the head of its log.
/// `operations` is called at most once, when an empty log was seen.
pub async fn seed_school(
    endpoint: &Endpoint,
    cores: &[Core],
    school: &SchoolId,
    operations: impl FnOnce() -> Vec<Operation>,
) -> anyhow::Result<LogIndex> {
    let mut maker = Some(operations);
    let mut batch = None;
    let mut make = || batch.get_or_insert_with(|| encode(&(maker.take().expect("made once"))())).clone();
    let seeding = async {
        let mut turn = 0;
        let mut target = None;
        loop {
            let core = target.take().unwrap_or(&cores[turn % cores.len()]);
            turn += 1;
            match on_node(endpoint, core, school, &mut make).await {
                Ok(Tried::Done(head)) => return Ok(head),
                Ok(Tried::Elsewhere(leader)) => {
                    target = leader.and_then(|leader| cores.iter().find(|c| c.name == leader));
                    if target.is_none() {
                        tokio::time::sleep(RETRY_EVERY).await;
                    }
                }
                Err(error) if error.is::<NeverMind>() => return Err(error),
                Err(error) => {
                    tracing::debug!("seeding {school} by {}: {error:#}", core.name);
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
    };
    tokio::time::timeout(SUBMIT_MAX, seeding)
        .await
        .with_context(|| format!("the core did not take the data of {school} in {} s", SUBMIT_MAX.as_secs()))?
}

/// Trying again cannot help.
#[derive(Debug, thiserror::Error)]
#[error("the core refuses the data of {school}: {reason}")]
struct NeverMind {
    school: SchoolId,
    reason: String,
}

fn encode(operations: &[Operation]) -> Vec<EncodedOperation> {
    assert!(operations.len() <= BATCH_LEN_MAX, "a demo school is one batch, so that it is there whole or not at all");
    operations.iter().map(|o| EncodedOperation(o.encode())).collect()
}

async fn on_node(
    endpoint: &Endpoint,
    core: &Core,
    school: &SchoolId,
    make: &mut impl FnMut() -> Vec<EncodedOperation>,
) -> anyhow::Result<Tried> {
    let expected = Expected::Node(PeerIdentity::new(Role::Core, core.name.as_str())?);
    let connection = endpoint.connect(core.addr, &expected, ALPN_SYNC).await?;
    let (send, recv) = connection.open_bi().await?;
    let mut writer = FrameWriter::<ToCore>::new(send);
    let mut reader = FrameReader::<ToBox>::new(recv);
    let software = concat!("schulhof up ", env!("CARGO_PKG_VERSION")).to_owned();
    writer
        .write(&ToCore::Hello { version: SYNC_VERSION, software, school: school.clone(), after: LogIndex(0) })
        .await?;

    let mut committed = false;
    let mut submitted = false;
    loop {
        let Some(frame) = reader.read().await? else { bail!("the node closed the stream") };
        match frame {
            // The log begins with the seed, which is committed as one batch: something is there, so all of it is.
            ToBox::Welcome { head, .. } if head > LogIndex(0) => return Ok(Tried::Done(head)),
            ToBox::Welcome { .. } => {
                writer.write(&ToCore::Submit { batch: 1, operations: make() }).await?;
                submitted = true;
            }
            ToBox::Redirect { leader } => return Ok(Tried::Elsewhere(leader)),
            ToBox::RedirectTo { leader, .. } => return Ok(Tried::Elsewhere(Some(leader))),
            ToBox::Committed { batch: 1 } => {
                committed = true;
                writer.write(&ToCore::Ping).await?;
            }
            ToBox::Head { head } if committed => return Ok(Tried::Done(head)),
            ToBox::Busy { retry_after_ms, .. } if submitted => {
                tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
                writer.write(&ToCore::Submit { batch: 1, operations: make() }).await?;
            }
            ToBox::Refused { code, detail } => {
                return Err(NeverMind { school: school.clone(), reason: format!("{code}: {detail}") }.into());
            }
            // Entries are checked when the box has them; they hold what was rejected, which is a mistake of the seed.
            ToBox::Entries { entries } => {
                if let Some((entry, reason)) = entries.iter().find_map(|e| Some((e, e.rejected.as_ref()?))) {
                    let operation = String::from_utf8_lossy(&entry.operation.0).into_owned();
                    let reason = format!("{reason} for {operation}");
                    return Err(NeverMind { school: school.clone(), reason }.into());
                }
            }
            // The last two are for replicas.
            ToBox::Committed { .. }
            | ToBox::Head { .. }
            | ToBox::Busy { .. }
            | ToBox::Snapshot { .. }
            | ToBox::Verdicts { .. } => {}
        }
    }
}
