//! The core's blob door (ALPN `schulhof-blob/1`, PROTOCOL.md section 3.3) as a box sees it.

use super::hash;
use crate::config::Core;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter},
};
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{ALPN_BLOB, FromBlob, KEYS_MAX, Recipe, ToBlob, VERSION},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// A part on a line of 128 kbit/s takes 16 s.
const ANSWER_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// Later, or over another line.
    #[error("the core's blobs cannot be reached: {0}")]
    Unreachable(String),
    #[error("the core cannot now; again in {retry_after_ms} ms")]
    Busy { retry_after_ms: u32 },
    /// It will not do that.
    #[error("the core refused: {0}")]
    Refused(String),
    /// What is to be sent cannot be read here.
    #[error("reading what is to be sent: {0}")]
    Source(#[from] std::io::Error),
}

/// Gives the bytes of a part that the core lacks. Blocks.
pub type ReadPart = Arc<dyn Fn(usize) -> std::io::Result<Bytes> + Send + Sync>;

/// Where blobs are kept for good.
pub trait Depot: Send + Sync + 'static {
    /// How a blob is made; `None` if it is not there.
    fn stat(&self, school: &SchoolId, blob: BlobHash) -> BoxFuture<'static, Result<Option<Recipe>, DepotError>>;
    /// A part of a blob that is there; what comes back has its hash.
    fn get(&self, school: &SchoolId, part: BlobHash) -> BoxFuture<'static, Result<Bytes, DepotError>>;
    /// Sends what it lacks; resolves when a majority has all of it.
    fn put(&self, school: &SchoolId, recipe: Recipe, read: ReadPart) -> BoxFuture<'static, Result<(), DepotError>>;
}

/// One connection to whichever core node answers, a stream per request.
#[derive(Clone)]
pub struct CoreDepot(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    nodes: Vec<(SocketAddr, Expected)>,
    /// The connection, and which node is next when it is lost.
    line: Mutex<(Option<quinn::Connection>, usize)>,
}

struct Stream {
    writer: FrameWriter<ToBlob>,
    reader: FrameReader<FromBlob>,
}

fn unreachable(error: impl std::fmt::Display) -> DepotError {
    DepotError::Unreachable(error.to_string())
}

impl CoreDepot {
    pub fn new(endpoint: Endpoint, cores: &[Core]) -> anyhow::Result<Self> {
        let node = |core: &Core| -> anyhow::Result<_> {
            Ok((core.addr, Expected::Node(PeerIdentity::new(Role::Core, core.name.as_str())?)))
        };
        let nodes: Vec<_> = cores.iter().map(node).collect::<Result<_, _>>()?;
        let first = rand::random_range(0..nodes.len().max(1));
        Ok(Self(Arc::new(Inner { endpoint, nodes, line: Mutex::new((None, first)) })))
    }

    async fn connection(&self) -> Result<quinn::Connection, DepotError> {
        let mut line = self.0.line.lock().await;
        if let Some(open) = line.0.as_ref().filter(|open| open.close_reason().is_none()) {
            return Ok(open.clone());
        }
        line.0 = None;
        let mut last = unreachable("no core node is configured");
        for _ in 0..self.0.nodes.len() {
            let (address, expected) = &self.0.nodes[line.1 % self.0.nodes.len()];
            match self.0.endpoint.connect(*address, expected, ALPN_BLOB).await {
                Ok(connection) => {
                    line.0 = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => last = unreachable(error),
            }
            line.1 += 1;
        }
        Err(last)
    }

    /// Another node may be able to do what this one is not.
    async fn turn_away(&self) {
        let mut line = self.0.line.lock().await;
        line.0 = None;
        line.1 += 1;
    }

    async fn open(&self, school: SchoolId) -> Result<Stream, DepotError> {
        let connection = self.connection().await?;
        let (send, receive) = connection.open_bi().await.map_err(unreachable)?;
        let mut stream = Stream { writer: FrameWriter::new(send), reader: FrameReader::new(receive) };
        match stream.ask(&ToBlob::Hello { version: VERSION, school }).await? {
            FromBlob::Welcome { .. } => Ok(stream),
            other => Err(unexpected(&other)),
        }
    }

    async fn settle<T>(&self, result: Result<T, DepotError>) -> Result<T, DepotError> {
        if matches!(result, Err(DepotError::Unreachable(_) | DepotError::Busy { .. })) {
            self.turn_away().await;
        }
        result
    }
}

impl Stream {
    async fn ask(&mut self, request: &ToBlob) -> Result<FromBlob, DepotError> {
        let exchange = async {
            self.writer.write(request).await.map_err(unreachable)?;
            self.reader.read().await.map_err(unreachable)?.ok_or_else(|| unreachable("the stream ended"))
        };
        match tokio::time::timeout(ANSWER_MAX, exchange).await {
            Ok(Ok(FromBlob::Busy { retry_after_ms })) => Err(DepotError::Busy { retry_after_ms }),
            Ok(Ok(FromBlob::Refused { code, detail })) => Err(DepotError::Refused(format!("{code}: {detail}"))),
            Ok(answer) => answer,
            Err(_) => Err(unreachable("no answer")),
        }
    }

    async fn send(&mut self, recipe: Recipe, read: &ReadPart) -> Result<(), DepotError> {
        for (first, parts) in (0..).step_by(KEYS_MAX).zip(recipe.parts.chunks(KEYS_MAX)) {
            let has = match self.ask(&ToBlob::Has { parts: parts.to_vec() }).await? {
                FromBlob::Has { has } if has.len() == parts.len() => has,
                other => return Err(unexpected(&other)),
            };
            for (n, part) in parts.iter().enumerate().filter(|(n, _)| !has[*n]) {
                self.send_part(*part, first + n, read).await?;
            }
        }
        loop {
            match self.ask(&ToBlob::Commit { recipe: recipe.clone() }).await? {
                FromBlob::Kept => return Ok(()),
                // A copy there is damaged, or was cleared away meanwhile.
                FromBlob::Missing { parts } if !parts.is_empty() => {
                    for part in parts {
                        let Some(n) = recipe.parts.iter().position(|of| *of == part) else {
                            return Err(DepotError::Refused("it misses what is no part of the blob".into()));
                        };
                        self.send_part(part, n, read).await?;
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    async fn send_part(&mut self, part: BlobHash, n: usize, read: &ReadPart) -> Result<(), DepotError> {
        let read = read.clone();
        let bytes = tokio::task::spawn_blocking(move || read(n)).await.map_err(std::io::Error::other)??;
        match self.ask(&ToBlob::Put { part, bytes: bytes.into() }).await? {
            FromBlob::Kept => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &FromBlob) -> DepotError {
    DepotError::Refused(format!("an answer to something else: {answer:.80?}"))
}

impl Depot for CoreDepot {
    fn stat(&self, school: &SchoolId, blob: BlobHash) -> BoxFuture<'static, Result<Option<Recipe>, DepotError>> {
        let (depot, school) = (self.clone(), school.clone());
        Box::pin(async move {
            let asked = async { depot.open(school).await?.ask(&ToBlob::Stat { blob }).await };
            match depot.settle(asked.await).await? {
                FromBlob::Recipe { recipe } if recipe.blob == blob && recipe.is_sound() => Ok(Some(recipe)),
                FromBlob::Missing { .. } => Ok(None),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn get(&self, school: &SchoolId, part: BlobHash) -> BoxFuture<'static, Result<Bytes, DepotError>> {
        let (depot, school) = (self.clone(), school.clone());
        Box::pin(async move {
            let asked = async { depot.open(school).await?.ask(&ToBlob::Get { part }).await };
            match depot.settle(asked.await).await? {
                FromBlob::Bytes { bytes } if hash(&bytes) == part => Ok(bytes.into()),
                FromBlob::Bytes { .. } => Err(unreachable("the part is not what its name says")),
                FromBlob::Missing { .. } => Err(DepotError::Refused("a part of the blob is not there".into())),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn put(&self, school: &SchoolId, recipe: Recipe, read: ReadPart) -> BoxFuture<'static, Result<(), DepotError>> {
        let (depot, school) = (self.clone(), school.clone());
        Box::pin(async move {
            let sent = async { depot.open(school).await?.send(recipe, &read).await };
            depot.settle(sent.await).await
        })
    }
}
