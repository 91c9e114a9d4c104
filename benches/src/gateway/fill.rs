//! Fills a school with messages by the core's sync door, as a gateway does: batches of operations of its people, some on
//! their way at once, each committed by a majority.

use crate::cluster::{Cluster, people::login};
use anyhow::{Context as _, bail, ensure};
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_ops::seed;
use schulhof_school::{Body, Operation, op::Actor};
use schulhof_wire::{
    AccountId, DeviceId, Hlc, LogIndex, RoomId, SchoolId, Seq,
    node::{ALPN_SYNC, BATCH_LEN_MAX, EncodedOperation, SYNC_VERSION, ToBox, ToCore},
};
use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

/// Batches on their way: enough that the disk never waits for us.
const WINDOW: usize = 4;
const RETRY_EVERY: Duration = Duration::from_millis(100);
const TRIES_MAX: usize = 100;
/// What people write; with everything around it an operation has some 300 bytes.
const TEXT: &str = "Guten Morgen zusammen, bitte denkt an die Arbeitsblätter von gestern und bringt den Zirkel mit.";

/// The n-th message: everybody in turn, in all rooms, numbered on by device.
struct Messages<'a> {
    rooms: &'a [String],
    people: usize,
    at: Hlc,
    /// Entries before the first message.
    after: LogIndex,
}

impl Messages<'_> {
    fn operation(&self, n: u64) -> anyhow::Result<EncodedOperation> {
        let person = (n % self.people as u64) as usize;
        let turn = n / self.people as u64;
        let room = &self.rooms[(turn as usize + person) % self.rooms.len()];
        let operation = Operation {
            device: DeviceId::new(format!("bench-{person}"))?,
            seq: Seq(turn + 1),
            actor: Actor::Account(AccountId::new(login(person))?),
            at: self.at,
            body: Body::post(RoomId::new(room.as_str())?, format!("{TEXT} ({n})")),
        };
        Ok(EncodedOperation(operation.encode()))
    }

    fn batch(&self, number: u64, count: u64) -> anyhow::Result<Vec<EncodedOperation>> {
        let from = number * BATCH_LEN_MAX as u64;
        (from..count.min(from + BATCH_LEN_MAX as u64)).map(|n| self.operation(n)).collect()
    }
}

/// Submits `count` messages to a school that has entries up to `after`; gives the head of the log that holds them.
pub async fn fill(
    cluster: &Cluster,
    school: &SchoolId,
    count: u64,
    people: usize,
    rooms: &[String],
    now_ms: u64,
    after: LogIndex,
) -> anyhow::Result<LogIndex> {
    let identity = cluster.ca.issue(Role::Gateway, "bench")?;
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    let cores = cluster.cores()?;
    let messages = Messages { rooms, people, at: Hlc::from_ms(now_ms), after };
    let mut target = cores[0].clone();
    for n in 0..TRIES_MAX {
        match on_node(&endpoint, &target, school, &messages, count).await {
            Ok(Some(head)) => return Ok(head),
            Ok(None) => {}
            Err(error) => eprintln!("filling at {}: {error:#}", target.name),
        }
        // Whoever leads says so; all operations are sent again, and count once.
        target = cores[n % cores.len()].clone();
        tokio::time::sleep(RETRY_EVERY).await;
    }
    bail!("the core did not take the messages")
}

/// None: this node does not lead.
async fn on_node(
    endpoint: &Endpoint,
    core: &seed::Core,
    school: &SchoolId,
    messages: &Messages<'_>,
    count: u64,
) -> anyhow::Result<Option<LogIndex>> {
    let expected = Expected::Node(PeerIdentity::new(Role::Core, core.name.as_str())?);
    let connection = endpoint.connect(core.addr, &expected, ALPN_SYNC).await?;
    let (send, receive) = connection.open_bi().await?;
    let mut writer = FrameWriter::<ToCore>::new(send);
    let mut reader = FrameReader::<ToBox>::new(receive);
    let software = "schulhof-bench".to_owned();
    writer
        .write(&ToCore::Hello { version: SYNC_VERSION, software, school: school.clone(), after: messages.after })
        .await?;
    let batches = count.div_ceil(BATCH_LEN_MAX as u64);
    let mut next = 0;
    let mut open = BTreeSet::new();
    loop {
        match reader.read().await?.context("the node closed the stream")? {
            ToBox::Redirect { .. } | ToBox::RedirectTo { .. } => return Ok(None),
            ToBox::Committed { batch } => {
                open.remove(&batch);
                if next == batches && open.is_empty() {
                    writer.write(&ToCore::Ping).await?;
                }
            }
            ToBox::Busy { batch, retry_after_ms } => {
                tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
                writer.write(&ToCore::Submit { batch, operations: messages.batch(batch, count)? }).await?;
            }
            ToBox::Head { head } if next == batches && open.is_empty() => {
                ensure!(head.0 >= messages.after.0 + count, "the log ends at {}", head.0);
                return Ok(Some(head));
            }
            ToBox::Refused { code, detail } => bail!("refused: {code}: {detail}"),
            ToBox::Entries { entries } => {
                if let Some(reason) = entries.iter().find_map(|entry| entry.rejected.as_ref()) {
                    bail!("a message was rejected: {reason}");
                }
            }
            // It holds no replica: a state is not for it.
            ToBox::Welcome { .. } | ToBox::Head { .. } | ToBox::Snapshot { .. } | ToBox::Verdicts { .. } => {}
        }
        while next < batches && open.len() < WINDOW {
            writer.write(&ToCore::Submit { batch: next, operations: messages.batch(next, count)? }).await?;
            open.insert(next);
            next += 1;
        }
    }
}
