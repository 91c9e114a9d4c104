//! Boxes at the sync door: a connection per school, and behind it people who each post one message after the other. As a
//! box of the product does, each has a few batches on the way, and what is posted meanwhile goes together in the next.

use super::OPERATION_LEN;
use crate::{
    cluster::Cluster,
    measure::{Client, System},
};
use anyhow::{Context as _, bail, ensure};
use schulhof_net::{
    identity::Role,
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_school::{Actor, Body, Operation, Role as SchoolRole};
use schulhof_wire::{
    AccountId, DeviceId, Hlc, LogIndex, NodeName, RoomId, SchoolId, Seq,
    node::{ALPN_SYNC, EncodedOperation, SYNC_VERSION, ToBox, ToCore},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Batches that a box has on the way, as the product's (`schulhof_sync`).
const WINDOW_BATCHES: usize = 4;
/// Operations of a batch, and posted ones that wait for the next.
const BATCH_LEN_MAX: usize = 256;
const CONNECT_MAX: Duration = Duration::from_secs(30);
const RETRY_EVERY: Duration = Duration::from_millis(100);
const TEACHER: &str = "t-weber";
const ROOM: &str = "r-lehrer";

type Asked = (EncodedOperation, oneshot::Sender<()>);

/// All boxes, connected for the whole run.
pub struct Boxes(Vec<mpsc::Sender<Asked>>);

impl Boxes {
    pub async fn connect(core: &Cluster) -> anyhow::Result<Self> {
        let mut boxes = Vec::new();
        let nodes: Vec<(NodeName, SocketAddr)> = core.cores()?.into_iter().map(|core| (core.name, core.addr)).collect();
        for school in core.plan.schools.iter().map(|school| &school.id) {
            let beginning = beginning(school)?;
            let cursor = LogIndex(beginning.len() as u64);
            core.seed(school, beginning).await?;
            let endpoint = endpoint(core, school)?;
            let line = Line { endpoint, nodes: nodes.clone(), school: school.clone(), cursor };
            let (asks, asked) = mpsc::channel(BATCH_LEN_MAX);
            tokio::spawn(async move {
                if let Err(e) = line.serve(asked).await {
                    eprintln!("a box cannot go on: {e:#}");
                }
            });
            let room = Body::RoomCreate { room: RoomId::new(ROOM)?, name: "Lehrer".into(), members: Vec::new() };
            Posting { device: DeviceId::new("d-room")?, asks: asks.clone(), number: Arc::default() }.post(room).await?;
            boxes.push(asks);
        }
        Ok(Self(boxes))
    }

    /// So many people, evenly behind the first of these boxes.
    pub fn people(&self, clients: usize, boxes: usize) -> anyhow::Result<People> {
        let person = |number: usize| {
            let device = DeviceId::new(format!("d-{boxes}-{clients}-{number}"))?;
            Ok(Posting { device, asks: self.0[number % boxes].clone(), number: Arc::default() })
        };
        Ok(People((0..clients).map(person).collect::<anyhow::Result<_>>()?))
    }
}

/// People at their boxes, for all turns of a row: a device goes on with its numbers.
pub struct People(Vec<Posting>);

impl System for People {
    type Client = Posting;

    fn client(&self, number: usize) -> Posting {
        self.0[number].clone()
    }
}

/// One person's device.
#[derive(Clone)]
pub struct Posting {
    device: DeviceId,
    asks: mpsc::Sender<Asked>,
    number: Arc<AtomicU64>,
}

impl Posting {
    fn operation(&self, seq: u64, body: Body) -> Vec<u8> {
        let actor = Actor::Account(AccountId::new(TEACHER).expect("letters"));
        Operation { device: self.device.clone(), seq: Seq(seq), actor, at: Hlc::from_ms(1_700_000_000_000 + seq), body }
            .encode()
    }

    async fn post(&mut self, body: Body) -> anyhow::Result<()> {
        let seq = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        self.submit(self.operation(seq, body)).await
    }

    async fn submit(&self, operation: Vec<u8>) -> anyhow::Result<()> {
        let (done, committed) = oneshot::channel();
        self.asks.send((EncodedOperation(operation), done)).await.ok().context("the box has ended")?;
        committed.await.context("the box has ended")
    }
}

impl Client for Posting {
    async fn operate(&mut self) -> anyhow::Result<()> {
        let seq = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let message = |len: usize| Body::post(RoomId::new(ROOM).expect("letters"), "x".repeat(len));
        let around = self.operation(seq, message(1)).len() - 1;
        self.submit(self.operation(seq, message(OPERATION_LEN - around))).await
    }
}

fn endpoint(core: &Cluster, school: &SchoolId) -> anyhow::Result<Endpoint> {
    let identity = core.ca.issue(Role::Box, school.as_str())?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?)
}

/// A school's beginning: its name and a teacher.
fn beginning(school: &SchoolId) -> anyhow::Result<Vec<Operation>> {
    let operation = |seq, body| {
        let device = DeviceId::new("op-bench")?;
        anyhow::Ok(Operation { device, seq: Seq(seq), actor: Actor::Operator, at: Hlc::from_ms(seq), body })
    };
    let teacher = Body::AccountCreate {
        account: AccountId::new(TEACHER)?,
        login: "m.weber".into(),
        name: "Maria Weber".into(),
        role: SchoolRole::Teacher,
        password: "$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo".into(),
    };
    Ok(vec![operation(1, Body::SchoolName { name: school.to_string() })?, operation(2, teacher)?])
}

/// A box's way to the core.
struct Line {
    endpoint: Endpoint,
    nodes: Vec<(NodeName, SocketAddr)>,
    school: SchoolId,
    cursor: LogIndex,
}

struct Session {
    writer: FrameWriter<ToCore>,
    reader: FrameReader<ToBox>,
    _connection: quinn::Connection,
}

enum Welcomed {
    Yes(Session),
    Elsewhere(Option<NodeName>),
}

impl Line {
    /// Follows redirects until a leader welcomes.
    async fn session(&self) -> anyhow::Result<Session> {
        let end = Instant::now() + CONNECT_MAX;
        let mut at = 0;
        loop {
            match self.hello(self.nodes[at].1).await {
                Ok(Welcomed::Yes(session)) => return Ok(session),
                Ok(Welcomed::Elsewhere(Some(leader))) => {
                    at = self.nodes.iter().position(|(name, _)| *name == leader).context("an unknown leader")?;
                }
                Ok(Welcomed::Elsewhere(None)) | Err(_) => at = (at + 1) % self.nodes.len(),
            }
            ensure!(Instant::now() < end, "{} found no leader within {CONNECT_MAX:?}", self.school);
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn hello(&self, node: SocketAddr) -> anyhow::Result<Welcomed> {
        let connection = self.endpoint.connect(node, &Expected::AnyCore, ALPN_SYNC).await?;
        let (send, receive) = connection.open_bi().await?;
        let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
        let (software, school) = ("bench".to_owned(), self.school.clone());
        writer.write(&ToCore::Hello { version: SYNC_VERSION, software, school, after: self.cursor }).await?;
        match reader.read().await?.context("no answer")? {
            ToBox::Welcome { .. } => Ok(Welcomed::Yes(Session { writer, reader, _connection: connection })),
            ToBox::Redirect { leader } => Ok(Welcomed::Elsewhere(leader)),
            other => bail!("{} was not welcomed: {other:?}", self.school),
        }
    }

    /// Until nobody asks any more. When the lead moves, what waits is sent again there: it counts once.
    async fn serve(mut self, mut asked: mpsc::Receiver<Asked>) -> anyhow::Result<()> {
        let mut open: BTreeMap<u64, Vec<Asked>> = BTreeMap::new();
        let mut last_batch = 0;
        let mut next = Vec::new();
        loop {
            let mut session = self.session().await?;
            for (&batch, asked) in &open {
                session.writer.write(&submit(batch, asked)).await?;
            }
            loop {
                let may_send = open.len() < WINDOW_BATCHES;
                tokio::select! {
                    count = asked.recv_many(&mut next, BATCH_LEN_MAX), if may_send => {
                        if count == 0 {
                            return Ok(());
                        }
                        last_batch += 1;
                        let frame = submit(last_batch, &next);
                        open.insert(last_batch, std::mem::take(&mut next));
                        if session.writer.write(&frame).await.is_err() {
                            break;
                        }
                    }
                    frame = session.reader.read() => match frame {
                        Ok(Some(ToBox::Committed { batch })) => {
                            for (_, done) in open.remove(&batch).context("a batch that is not open")? {
                                let _ = done.send(());
                            }
                        }
                        Ok(Some(ToBox::Entries { entries })) => {
                            if let Some(reason) = entries.iter().find_map(|entry| entry.rejected.as_ref()) {
                                bail!("an operation was rejected: {reason}");
                            }
                            self.cursor = entries.last().map_or(self.cursor, |entry| entry.index);
                        }
                        Ok(Some(ToBox::Busy { batch, retry_after_ms })) => {
                            tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
                            let again = submit(batch, open.get(&batch).context("a batch that is not open")?);
                            if session.writer.write(&again).await.is_err() {
                                break;
                            }
                        }
                        Ok(Some(ToBox::Refused { code, detail })) => bail!("refused: {code}: {detail}"),
                        Ok(Some(ToBox::Redirect { .. }) | None) | Err(_) => break,
                        Ok(Some(_)) => {}
                    }
                }
            }
        }
    }
}

fn submit(batch: u64, asked: &[Asked]) -> ToCore {
    ToCore::Submit { batch, operations: asked.iter().map(|(operation, _)| operation.clone()).collect() }
}
