//! The other core nodes' folders, over QUIC: one connection to each, apart from Raft's, so that a large object never stands
//! before a heartbeat.

use crate::{
    objects::Replicas,
    raft::{Member, Peers},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use schulhof_net::quic::{Endpoint, Expected, FrameReader, FrameWriter};
use schulhof_wire::{
    BlobHash, NodeName, SchoolId,
    blob::{ALPN_BLOB, FromBlob, KEYS_MAX, ObjectKey, Space, ToBlob, VERSION},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// An object that is not taken or given within this time is not there for now.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Folders(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    peers: Arc<Peers>,
    connections: Mutex<BTreeMap<NodeName, quinn::Connection>>,
}

impl Folders {
    pub fn new(endpoint: Endpoint, peers: Arc<Peers>) -> Self {
        Self(Arc::new(Inner { endpoint, peers, connections: Mutex::default() }))
    }

    fn members(&self) -> Vec<Member> {
        self.0.peers.members()
    }

    async fn connection(&self, to: &NodeName) -> Result<quinn::Connection, String> {
        if let Some(open) = self.0.connections.lock().get(to)
            && open.close_reason().is_none()
        {
            return Ok(open.clone());
        }
        let member = self.members().into_iter().find(|member| member.identity.name == *to);
        let Some(member) = member else { return Err("no core node of that name".into()) };
        let expected = Expected::Node(member.identity);
        let connection =
            self.0.endpoint.connect(member.address, &expected, ALPN_BLOB).await.map_err(|e| e.to_string())?;
        // Two that dialled at once: the later one stays, the other ends with its request.
        self.0.connections.lock().insert(to.clone(), connection.clone());
        Ok(connection)
    }

    /// A stream of its own for each request: they do not wait for each other.
    async fn ask(self, to: NodeName, school: SchoolId, request: ToBlob) -> Result<FromBlob, String> {
        let exchange = async {
            let connection = self.connection(&to).await?;
            let (send, receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
            let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::<FromBlob>::new(receive));
            writer.write(&ToBlob::Hello { version: VERSION, school }).await.map_err(|e| e.to_string())?;
            writer.write(&request).await.map_err(|e| e.to_string())?;
            writer.finish();
            loop {
                match reader.read().await.map_err(|e| e.to_string())? {
                    Some(FromBlob::Welcome { .. }) => {}
                    Some(FromBlob::Refused { code, detail }) => return Err(format!("refused: {code}: {detail}")),
                    Some(FromBlob::Busy { .. }) => return Err("it cannot now".into()),
                    Some(answer) => return Ok(answer),
                    None => return Err("the stream ended".into()),
                }
            }
        };
        tokio::time::timeout(REQUEST_MAX, exchange).await.unwrap_or_else(|_| Err("no answer".into()))
    }
}

impl Folders {
    /// Hashes of a school's objects on a node.
    pub async fn list(&self, at: NodeName, school: &SchoolId, space: Space) -> Result<Vec<BlobHash>, String> {
        let mut all: Vec<BlobHash> = Vec::new();
        loop {
            let request = ToBlob::List { space, after: all.last().copied() };
            match self.clone().ask(at.clone(), school.clone(), request).await? {
                FromBlob::Keys { hashes } => {
                    let more = hashes.len() >= KEYS_MAX;
                    all.extend(hashes);
                    if !more {
                        return Ok(all);
                    }
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Has a node condemn, spare or remove objects; yes or no for each.
    pub async fn sweep(&self, at: NodeName, school: SchoolId, request: ToBlob) -> Result<Vec<bool>, String> {
        match self.clone().ask(at, school, request).await? {
            FromBlob::Has { has } => Ok(has),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &FromBlob) -> String {
    format!("an answer to something else: {answer:.60?}")
}

impl Replicas for Folders {
    fn others(&self) -> Vec<NodeName> {
        self.members().into_iter().map(|member| member.identity.name).collect()
    }

    fn put(&self, to: NodeName, key: ObjectKey, bytes: Bytes) -> BoxFuture<'static, Result<(), String>> {
        let request = ToBlob::PutObject { key: key.clone(), bytes: bytes.into() };
        let asked = self.clone().ask(to, key.school, request);
        Box::pin(async move {
            match asked.await? {
                FromBlob::Kept => Ok(()),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn get(&self, from: NodeName, key: ObjectKey) -> BoxFuture<'static, Result<Option<Bytes>, String>> {
        let asked = self.clone().ask(from, key.school.clone(), ToBlob::GetObject { key });
        Box::pin(async move {
            match asked.await? {
                FromBlob::Bytes { bytes } => Ok(Some(bytes.into())),
                FromBlob::Missing { .. } => Ok(None),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn has(&self, at: NodeName, keys: Vec<ObjectKey>) -> BoxFuture<'static, Result<Vec<bool>, String>> {
        let Some(school) = keys.first().map(|key| key.school.clone()) else {
            return Box::pin(async { Ok(Vec::new()) });
        };
        let wanted = keys.len();
        let asked = self.clone().ask(at, school, ToBlob::HasObjects { keys });
        Box::pin(async move {
            match asked.await? {
                FromBlob::Has { has } if has.len() == wanted => Ok(has),
                other => Err(unexpected(&other)),
            }
        })
    }
}
