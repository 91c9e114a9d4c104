//! Objects: immutable bytes of a school, named by a hash (parts and recipes of blobs, parts of snapshots), kept by the core
//! outside of its logs.
//!
//! What this is: a store of which three things can be said. What [`Objects::put`] has taken is on the disks of a majority of
//! the core nodes (with S3: in the bucket). It is written whole or not at all. What [`Objects::get`] gives has the hash
//! that it was asked for: a copy that is damaged is said, and mended from another node, or refused. What it must not do: keep what
//! changes under a name; that belongs into a log.
//!
//! - [`config`]: folder or S3
//! - [`check`]: keys and bytes
//! - [`local`]: this node's folder, or the bucket
//! - [`uses`]: what must not be removed now, and what is about to be

pub mod check;
pub mod config;
pub mod local;
pub mod uses;

pub use config::Config;
pub use local::{Found, Listed, Local};
pub use uses::Clock;

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use schulhof_wire::{
    NodeName,
    blob::{OBJECT_LEN_MAX, ObjectKey, ToBlob},
};
use std::{path::Path, sync::Arc, time::SystemTime};
use tokio::sync::Semaphore;

/// Bytes on their way to other nodes after the majority has answered, in KiB: a slow node must not fill the memory; it gets
/// the rest when it is looked at next.
const LAGGING_KIB_MAX: usize = 64 << 10;

/// The other core nodes' folders.
pub trait Replicas: Send + Sync + 'static {
    /// All core nodes but this one.
    fn others(&self) -> Vec<NodeName>;
    /// Keeps it there; resolves when it is durable there.
    fn put(&self, to: NodeName, key: ObjectKey, bytes: Bytes) -> BoxFuture<'static, Result<(), String>>;
    /// As that node has it.
    fn get(&self, from: NodeName, key: ObjectKey) -> BoxFuture<'static, Result<Option<Bytes>, String>>;
    /// Which of them that node has.
    fn has(&self, at: NodeName, keys: Vec<ObjectKey>) -> BoxFuture<'static, Result<Vec<bool>, String>>;
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("{0}: it is not there")]
    Missing(ObjectKey),
    #[error("{key}: damaged on this node, and no other node has it whole")]
    Damaged { key: ObjectKey },
    /// It may be elsewhere, or may be durable soon: ask again.
    #[error("{key}: {nodes} of {needed} nodes; {detail}")]
    Unavailable { key: ObjectKey, nodes: usize, needed: usize, detail: String },
    #[error("{0}: the bytes are not what the name says")]
    WrongHash(ObjectKey),
    #[error("objects of {school} cannot be listed: {source}")]
    Unlisted { school: schulhof_wire::SchoolId, source: std::io::Error },
    #[error("{key}: {source}")]
    Io { key: ObjectKey, source: std::io::Error },
}

impl ObjectError {
    /// Whether asking again later may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Io { .. } | Self::Unlisted { .. })
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    local: Local,
    replicas: Option<Arc<dyn Replicas>>,
    lagging: Arc<Semaphore>,
}

impl Objects {
    /// Opens what the configuration says; `data` is the node's folder. Other nodes' folders count as soon as they are known,
    /// see [`Objects::replicated`].
    pub fn open(config: &Config, data: &Path) -> std::io::Result<Self> {
        let local = match (&config.s3, &config.folder) {
            (Some(s3), _) => Local::s3(s3)?,
            (None, Some(folder)) => Local::folder(folder)?,
            (None, None) => Local::folder(&data.join("objects"))?,
        };
        Ok(Self { local, replicas: None, lagging: Arc::new(Semaphore::new(LAGGING_KIB_MAX)) })
    }

    /// With the folders of the other core nodes. Not for S3.
    #[must_use]
    pub fn replicated(self, replicas: Arc<dyn Replicas>) -> Self {
        Self { replicas: Some(replicas), ..self }
    }

    /// Time as promises and their ends are measured.
    pub fn clock(&self) -> &Clock {
        self.local.clock()
    }

    /// Somebody is to be told that these are there, and may count on it for a day ([`uses::PROMISE`]). False: one is about to be
    /// removed, and all are to be answered as missing.
    pub fn promise<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) -> bool {
        let now = self.clock().now();
        keys.into_iter().all(|key| self.local.uses().promise(key, now))
    }

    /// What another node, or this one, asks about objects that nobody names; yes or no for each key.
    pub async fn sweep(&self, request: &ToBlob) -> Result<Vec<bool>, ObjectError> {
        let (uses, now) = (self.local.uses(), self.clock().now());
        Ok(match request {
            ToBlob::Condemn { keys } => keys.iter().map(|key| uses.condemn(key, now)).collect(),
            ToBlob::Spare { keys } => keys.iter().map(|key| uses.spare(key)).map(|()| true).collect(),
            ToBlob::Remove { keys } => {
                let mut removed = Vec::with_capacity(keys.len());
                for key in keys {
                    removed.push(self.local.delete_condemned(key).await.map_err(|source| io(key, source))?);
                }
                removed
            }
            _ => Vec::new(),
        })
    }

    /// What this node has itself.
    pub fn local(&self) -> &Local {
        &self.local
    }

    pub fn replicas(&self) -> Option<&Arc<dyn Replicas>> {
        self.replicas.as_ref()
    }

    fn others(&self) -> Vec<NodeName> {
        self.replicas.as_ref().map_or_else(Vec::new, |replicas| replicas.others())
    }

    /// Keeps it. When this returns, a majority of the nodes has it on disk; the others get it as they can.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), ObjectError> {
        if !check::fits(key, &bytes) {
            return Err(ObjectError::WrongHash(key.clone()));
        }
        let others = self.others();
        let needed = others.len().div_ceil(2) + 1;
        let own = self.local.put(key, bytes.clone());
        let Some(replicas) = &self.replicas else { return own.await.map_err(|source| io(key, source)) };

        let (told, mut answers) = tokio::sync::mpsc::channel(others.len().max(1));
        for node in others {
            let put = replicas.put(node.clone(), key.clone(), bytes.clone());
            let (told, lagging, kib) = (told.clone(), self.lagging.clone(), bytes.len().div_ceil(1024) as u32);
            tokio::spawn(async move {
                // A node that lags behind too much is left out; it gets what it lacks when the nodes compare.
                let result = match lagging.try_acquire_many(kib) {
                    Ok(_permit) => put.await,
                    Err(_) => Err("too much is under way to other nodes".to_owned()),
                };
                let _ = told.send(result.map_err(|e| format!("{node}: {e}"))).await;
            });
        }
        drop(told);
        own.await.map_err(|source| io(key, source))?;
        let (mut nodes, mut details) = (1, Vec::new());
        while nodes < needed {
            match answers.recv().await {
                Some(Ok(())) => nodes += 1,
                Some(Err(detail)) => details.push(detail),
                None => {
                    let detail = details.join("; ");
                    return Err(ObjectError::Unavailable { key: key.clone(), nodes, needed, detail });
                }
            }
        }
        Ok(())
    }

    /// Reads it; from another node if this one has none or a damaged one, and keeps it then.
    pub async fn get(&self, key: &ObjectKey) -> Result<Bytes, ObjectError> {
        let damaged = match self.local.get(key).await.map_err(|source| io(key, source))? {
            Found::Whole(bytes) => return Ok(bytes),
            Found::Damaged => true,
            Found::Nothing => false,
        };
        if damaged {
            metrics::counter!("schulhof_core_objects_damaged_total").increment(1);
            tracing::error!("{key}: damaged on this node; asking the others");
        }
        let Some(bytes) = self.ask_others(key).await? else {
            return Err(if damaged {
                ObjectError::Damaged { key: key.clone() }
            } else {
                ObjectError::Missing(key.clone())
            });
        };
        match self.local.put(key, bytes.clone()).await {
            Ok(()) if damaged => {
                metrics::counter!("schulhof_core_objects_mended_total").increment(1);
                tracing::info!("{key}: mended from another node");
            }
            Ok(()) => {}
            // It can be served all the same.
            Err(e) => tracing::warn!("{key}: not kept here: {e}"),
        }
        Ok(bytes)
    }

    /// `None`: all others say that they do not have it.
    async fn ask_others(&self, key: &ObjectKey) -> Result<Option<Bytes>, ObjectError> {
        let Some(replicas) = &self.replicas else { return Ok(None) };
        let others = replicas.others();
        let needed = others.len();
        let mut silent = Vec::new();
        for node in others {
            match replicas.get(node.clone(), key.clone()).await {
                Ok(Some(bytes)) if check::fits(key, &bytes) => return Ok(Some(bytes)),
                Ok(Some(_)) => silent.push(format!("{node}: not what the name says")),
                Ok(None) => {}
                Err(e) => silent.push(format!("{node}: {e}")),
            }
        }
        if silent.is_empty() {
            return Ok(None);
        }
        let nodes = needed - silent.len();
        Err(ObjectError::Unavailable { key: key.clone(), nodes, needed, detail: silent.join("; ") })
    }

    /// Keeps it on this node alone.
    pub async fn put_here(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), ObjectError> {
        if !check::fits(key, &bytes) {
            return Err(ObjectError::WrongHash(key.clone()));
        }
        self.local.put(key, bytes).await.map_err(|source| io(key, source))
    }

    /// This node's copy.
    pub async fn get_here(&self, key: &ObjectKey) -> Result<Found, ObjectError> {
        self.local.get(key).await.map_err(|source| io(key, source))
    }

    /// When this node's copy was written; `None` if there is none here.
    pub async fn written(&self, key: &ObjectKey) -> Result<Option<SystemTime>, ObjectError> {
        self.local.written(key).await.map_err(|source| io(key, source))
    }

    /// Whether some node that answers has it; whether it is whole shows when it is read.
    pub async fn has(&self, keys: &[ObjectKey]) -> Result<Vec<bool>, ObjectError> {
        let mut has = Vec::with_capacity(keys.len());
        for key in keys {
            has.push(self.written(key).await?.is_some());
        }
        let missing: Vec<ObjectKey> =
            keys.iter().zip(&has).filter(|(_, here)| !**here).map(|(key, _)| key.clone()).collect();
        let Some(replicas) = self.replicas.as_ref().filter(|_| !missing.is_empty()) else { return Ok(has) };
        let mut asked: FuturesUnordered<_> =
            replicas.others().into_iter().map(|node| replicas.has(node, missing.clone())).collect();
        let mut elsewhere = vec![false; missing.len()];
        while let Some(answer) = asked.next().await {
            for (known, there) in elsewhere.iter_mut().zip(answer.unwrap_or_default()) {
                *known |= there;
            }
        }
        let mut elsewhere = elsewhere.into_iter();
        for here in has.iter_mut().filter(|here| !**here) {
            *here = elsewhere.next().unwrap_or(false);
        }
        Ok(has)
    }

    /// Removes this node's copy of what nobody was promised (part of a stored state); in S3 the only one.
    pub async fn delete_here(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.local.delete(key).await.map_err(|source| io(key, source))
    }

    /// Longest object.
    pub const LEN_MAX: usize = OBJECT_LEN_MAX;
}

fn io(key: &ObjectKey, source: std::io::Error) -> ObjectError {
    ObjectError::Io { key: key.clone(), source }
}

#[cfg(test)]
mod tests;
