//! One place where objects are kept: this node's folder, or an S3 bucket that all nodes share.

use super::{
    check, config,
    uses::{Clock, Uses},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path as ObjectPath};
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{OBJECT_LEN_MAX, ObjectKey, Space},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What is found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Whole(Bytes),
    /// Something is there, but not what the key says.
    Damaged,
    Nothing,
}

/// Something in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: ObjectKey,
    pub len: u64,
    /// When it was last written.
    pub written: SystemTime,
}

/// Keeps objects whole or not at all, and synced when it says so.
#[derive(Clone)]
pub struct Local {
    store: Arc<dyn ObjectStore>,
    kept: Arc<Kept>,
}

/// What is shared by those who keep and remove.
#[derive(Default)]
struct Kept {
    uses: Uses,
    clock: Clock,
    /// Whoever writes holds it together with others, whoever removes holds it alone.
    gate: tokio::sync::RwLock<()>,
}

impl Local {
    /// A folder; made if it is not there.
    pub fn folder(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Files are written beside their place, synced, renamed, and the folder is synced.
        let store = LocalFileSystem::new_with_prefix(folder).map_err(std::io::Error::other)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), kept: Arc::default() })
    }

    #[cfg(feature = "s3")]
    pub fn s3(s3: &config::S3) -> std::io::Result<Self> {
        let keys = std::fs::read_to_string(&s3.keys)
            .map_err(|e| std::io::Error::other(format!("cannot read {}: {e}", s3.keys.display())))?;
        let mut lines = keys.lines().map(str::trim);
        let (Some(id), Some(secret)) = (lines.next(), lines.next()) else {
            let path = s3.keys.display();
            return Err(std::io::Error::other(format!("{path}: the key's id, and its secret on the second line")));
        };
        let store = object_store::aws::AmazonS3Builder::new()
            .with_endpoint(&s3.endpoint)
            .with_allow_http(s3.endpoint.starts_with("http://"))
            .with_bucket_name(&s3.bucket)
            .with_region(&s3.region)
            .with_access_key_id(id)
            .with_secret_access_key(secret)
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self { store: Arc::new(store), kept: Arc::default() })
    }

    #[cfg(not(feature = "s3"))]
    pub fn s3(_: &config::S3) -> std::io::Result<Self> {
        Err(std::io::Error::other(config::Problem::NotBuilt))
    }

    fn path(key: &ObjectKey) -> ObjectPath {
        let hash = key.hash.to_string();
        ObjectPath::from(format!("{}/{}/{}/{hash}", key.space.as_str(), key.school, &hash[..2]))
    }

    fn key(path: &ObjectPath) -> Option<ObjectKey> {
        let mut parts = path.as_ref().split('/');
        let (space, school, start, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let space = Space::ALL.into_iter().find(|known| known.as_str() == space)?;
        let known = parts.next().is_none() && hash.starts_with(start);
        let key = ObjectKey { school: SchoolId::new(school).ok()?, space, hash: hash.parse().ok()? };
        known.then_some(key)
    }

    /// Keeps it; on the disk when this returns. Replaces what is there.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> std::io::Result<()> {
        let _together = self.kept.gate.read().await;
        self.kept.uses.written(key, self.kept.clock.now());
        self.store.put(&Self::path(key), PutPayload::from(bytes)).await.map(|_| ()).map_err(io_error)
    }

    /// Reads it and looks whether it is what it should be.
    pub async fn get(&self, key: &ObjectKey) -> std::io::Result<Found> {
        let result = match self.store.get(&Self::path(key)).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(Found::Nothing),
            Err(e) => return Err(io_error(e)),
        };
        if result.meta.size > OBJECT_LEN_MAX as u64 {
            return Ok(Found::Damaged);
        }
        let bytes = result.bytes().await.map_err(io_error)?;
        Ok(if check::fits(key, &bytes) { Found::Whole(bytes) } else { Found::Damaged })
    }

    /// When it was written, without reading it.
    pub async fn written(&self, key: &ObjectKey) -> std::io::Result<Option<SystemTime>> {
        match self.store.head(&Self::path(key)).await {
            Ok(meta) => Ok(Some(system_time(meta.last_modified.timestamp_millis()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(io_error(e)),
        }
    }

    pub fn uses(&self) -> &Uses {
        &self.kept.uses
    }

    pub fn clock(&self) -> &Clock {
        &self.kept.clock
    }

    /// Removes it if it is condemned still; says whether. Nothing there is no error.
    pub async fn delete_condemned(&self, key: &ObjectKey) -> std::io::Result<bool> {
        let _alone = self.kept.gate.write().await;
        if !self.kept.uses.is_condemned(key, self.kept.clock.now()) {
            return Ok(false);
        }
        self.delete(key).await?;
        self.kept.uses.spare(key);
        Ok(true)
    }

    /// Removes what nobody was promised. Nothing there is no error.
    pub async fn delete(&self, key: &ObjectKey) -> std::io::Result<()> {
        match self.store.delete(&Self::path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(io_error(e)),
        }
    }

    /// What there is of a school, in no order. Things that are no objects are left alone.
    pub fn list(&self, space: Space, school: &SchoolId) -> BoxStream<'static, std::io::Result<Listed>> {
        let prefix = ObjectPath::from(format!("{}/{school}", space.as_str()));
        let listed = self.store.list(Some(&prefix)).map_err(io_error).try_filter_map(async |meta| {
            let listed = Self::key(&meta.location).map(|key| Listed {
                key,
                len: meta.size,
                written: system_time(meta.last_modified.timestamp_millis()),
            });
            Ok(listed)
        });
        listed.boxed()
    }

    /// Hashes of what there is of a school behind one, in order.
    pub async fn page(
        &self,
        space: Space,
        school: &SchoolId,
        after: Option<BlobHash>,
        len_max: usize,
    ) -> std::io::Result<Vec<BlobHash>> {
        let mut listed = self.list(space, school);
        let mut page = std::collections::BTreeSet::new();
        while let Some(next) = listed.try_next().await? {
            if after.is_none_or(|after| next.key.hash > after) {
                page.insert(next.key.hash);
                if page.len() > len_max {
                    page.pop_last();
                }
            }
        }
        Ok(page.into_iter().collect())
    }
}

fn system_time(unix_ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}

#[allow(clippy::needless_pass_by_value, reason = "given to map_err")]
fn io_error(error: object_store::Error) -> std::io::Error {
    // Disk full must stay recognisable through the layers.
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return std::io::Error::new(io.kind(), error.to_string());
        }
        source = inner.source();
    }
    std::io::Error::other(error.to_string())
}
