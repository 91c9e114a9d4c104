//! The core's backup door from the operator's side: finds who leads a school's group, and goes on elsewhere when a node dies.

use crate::operate::Core;
use anyhow::Context as _;
use schulhof_core::state::school::SchoolChunk;
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter},
};
use schulhof_wire::{
    BlobHash, LogIndex, NodeName, SchoolId,
    backup::{ALPN_BACKUP, FromCore, Record, SCHOOLS_MAX, ToCore, VERSION},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// An election takes about a second; a core that answers nothing for so long has no majority.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Between two tries when nobody leads yet.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// A node that sends no frame for this long is given up.
const FRAME_MAX: Duration = Duration::from_secs(15);

/// All core nodes, as an operator reaches them.
pub struct Cores {
    endpoint: Endpoint,
    nodes: Vec<Core>,
    connections: Mutex<BTreeMap<NodeName, quinn::Connection>>,
}

/// A school as the core has loaded it.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    pub epoch: u64,
    pub head: LogIndex,
    pub state_hash: BlobHash,
}

/// How one try on one node ended, other than well.
enum Missed {
    Elsewhere(Option<NodeName>),
    Later(Duration),
    /// Trying again does not help.
    Never(anyhow::Error),
    Failed(anyhow::Error),
}

impl Cores {
    pub fn new(endpoint: Endpoint, nodes: Vec<Core>) -> Self {
        Self { endpoint, nodes, connections: Mutex::default() }
    }

    /// All schools that are served.
    pub async fn schools(&self) -> anyhow::Result<Vec<SchoolId>> {
        let mut all: Vec<SchoolId> = Vec::new();
        loop {
            let question = ToCore::Schools { version: VERSION, after: all.last().cloned() };
            let page = self.until_answered("the list of schools", async |node| {
                let (_writer, mut answers) = self.ask(node, &question).await.map_err(Missed::Failed)?;
                match next(&mut answers).await? {
                    FromCore::Schools { schools } => Ok(schools),
                    other => Err(unexpected(&other)),
                }
            });
            let page = page.await?;
            let more = page.len() >= SCHOOLS_MAX;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Gives each chunk of a school's dump to `take`, encoded and decoded, in order. A dump that is cut begins anew, with `Begin`.
    pub async fn dump(
        &self,
        school: &SchoolId,
        mut take: impl AsyncFnMut(Vec<u8>, SchoolChunk) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let question = ToCore::Dump { version: VERSION, school: school.clone() };
        self.until_answered(&format!("the data of {school}"), async |node| {
            let (_writer, mut answers) = self.ask(node, &question).await.map_err(Missed::Failed)?;
            loop {
                match next(&mut answers).await? {
                    FromCore::Chunk { bytes } => {
                        let chunk = SchoolChunk::decode(&bytes).map_err(|e| Missed::Failed(anyhow::anyhow!(e)))?;
                        take(bytes, chunk).await.map_err(Missed::Never)?;
                    }
                    FromCore::Whole => return Ok(()),
                    other => return Err(unexpected(&other)),
                }
            }
        })
        .await
    }

    /// Gives the school a place in the core, if it has none.
    pub async fn place(&self, school: &SchoolId) -> anyhow::Result<()> {
        self.done(&format!("a place for {school}"), &ToCore::Place { version: VERSION, school: school.clone() }).await
    }

    /// Has a loaded school served.
    pub async fn serve(&self, school: &SchoolId, epoch: u64) -> anyhow::Result<()> {
        let question = ToCore::Serve { version: VERSION, school: school.clone(), epoch };
        self.done(&format!("{school} at epoch {epoch}"), &question).await
    }

    /// Records of enrolment, frame by frame.
    pub async fn enrolment(&self) -> anyhow::Result<Vec<Vec<Record>>> {
        self.until_answered("the CA and the boxes' enrolment", async |node| {
            let question = ToCore::Enrolment { version: VERSION };
            let (_writer, mut answers) = self.ask(node, &question).await.map_err(Missed::Failed)?;
            let mut frames = Vec::new();
            loop {
                match next(&mut answers).await? {
                    FromCore::Records { records } => frames.push(records),
                    FromCore::Whole => return Ok(frames),
                    other => return Err(unexpected(&other)),
                }
            }
        })
        .await
    }

    /// False: the core has a CA, and nothing was changed.
    pub async fn restore_enrolment(&self, records: Vec<Record>) -> anyhow::Result<bool> {
        let question = ToCore::LoadEnrolment { version: VERSION, records };
        self.until_answered("the CA and the boxes' enrolment", async |node| {
            let (_writer, mut answers) = self.ask(node, &question).await.map_err(Missed::Failed)?;
            match next(&mut answers).await? {
                FromCore::Done => Ok(true),
                FromCore::Refused { code, .. } if code == "ca-exists" => Ok(false),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    async fn done(&self, what: &str, question: &ToCore) -> anyhow::Result<()> {
        self.until_answered(what, async |node| {
            let (_writer, mut answers) = self.ask(node, question).await.map_err(Missed::Failed)?;
            match next(&mut answers).await? {
                FromCore::Done => Ok(()),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    /// Loads a school from chunks that `chunk` gives by number, until there are no more; from the beginning again if a node dies.
    pub async fn load(
        &self,
        school: &SchoolId,
        replace: bool,
        chunk: impl Fn(usize) -> anyhow::Result<Option<Vec<u8>>>,
    ) -> anyhow::Result<Loaded> {
        let question = ToCore::Load { version: VERSION, school: school.clone(), replace };
        self.until_answered(&format!("the data of {school}"), async |node| {
            let (mut writer, mut answers) = self.ask(node, &question).await.map_err(Missed::Failed)?;
            match next(&mut answers).await? {
                FromCore::Ready => {}
                other => return Err(unexpected(&other)),
            }
            for number in 0.. {
                let Some(bytes) = chunk(number).map_err(Missed::Never)? else { break };
                let written = timeout(FRAME_MAX, writer.write(&ToCore::Chunk { bytes })).await;
                // It has ended the stream with an answer: that tells more.
                if !matches!(written, Ok(Ok(()))) {
                    break;
                }
            }
            match next(&mut answers).await? {
                FromCore::Loaded { epoch, head, state_hash } => Ok(Loaded { epoch, head, state_hash }),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    /// Tries nodes, the one that others name first, until one has answered or none did for too long.
    async fn until_answered<R>(
        &self,
        what: &str,
        mut on: impl AsyncFnMut(&Core) -> Result<R, Missed>,
    ) -> anyhow::Result<R> {
        let (mut turn, mut target) = (0, None);
        let started = Instant::now();
        let mut last = anyhow::anyhow!("no core node answers");
        loop {
            let node = target.take().unwrap_or(&self.nodes[turn % self.nodes.len()]);
            turn += 1;
            let pause = match on(node).await {
                Ok(answer) => return Ok(answer),
                Err(Missed::Never(error)) => return Err(error).with_context(|| what.to_owned()),
                Err(Missed::Elsewhere(leader)) => {
                    target = leader.and_then(|leader| self.nodes.iter().find(|node| node.name == leader));
                    if target.is_some() { Duration::ZERO } else { RETRY_EVERY }
                }
                Err(Missed::Later(pause)) => {
                    target = Some(node);
                    pause
                }
                Err(Missed::Failed(error)) => {
                    self.connections.lock().await.remove(&node.name);
                    last = error.context(node.name.to_string());
                    RETRY_EVERY
                }
            };
            if started.elapsed() > SILENCE_MAX && target.is_none() {
                return Err(last).with_context(|| format!("{what}: nothing in {} s", SILENCE_MAX.as_secs()));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(
        &self,
        node: &Core,
        question: &ToCore,
    ) -> anyhow::Result<(FrameWriter<ToCore>, FrameReader<FromCore>)> {
        let connection = self.connection(node).await?;
        let (send, receive) = connection.open_bi().await?;
        let mut writer = FrameWriter::new(send);
        writer.write(question).await?;
        Ok((writer, FrameReader::new(receive)))
    }

    async fn connection(&self, node: &Core) -> anyhow::Result<quinn::Connection> {
        let mut connections = self.connections.lock().await;
        if let Some(open) = connections.get(&node.name).filter(|open| open.close_reason().is_none()) {
            return Ok(open.clone());
        }
        let expected = Expected::Node(PeerIdentity::new(Role::Core, node.name.as_str())?);
        let connection = self.endpoint.connect(node.addr, &expected, ALPN_BACKUP).await?;
        connections.insert(node.name.clone(), connection.clone());
        Ok(connection)
    }
}

async fn next(answers: &mut FrameReader<FromCore>) -> Result<FromCore, Missed> {
    let failed = |why: String| Missed::Failed(anyhow::anyhow!(why));
    match timeout(FRAME_MAX, answers.read()).await {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => Err(failed("the node ended the stream early".into())),
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(_) => Err(failed(format!("nothing came for {} s", FRAME_MAX.as_secs()))),
    }
}

fn unexpected(answer: &FromCore) -> Missed {
    match answer {
        FromCore::Redirect { leader } => Missed::Elsewhere(leader.clone()),
        FromCore::Busy { retry_after_ms } => Missed::Later(Duration::from_millis((*retry_after_ms).into())),
        FromCore::Refused { code, detail } => Missed::Never(anyhow::anyhow!("the core refuses: {code}: {detail}")),
        FromCore::Schools { .. }
        | FromCore::Chunk { .. }
        | FromCore::Whole
        | FromCore::Ready
        | FromCore::Loaded { .. }
        | FromCore::Records { .. }
        | FromCore::Done => Missed::Failed(anyhow::anyhow!("an answer to another question")),
    }
}
