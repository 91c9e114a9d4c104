//! Removes blobs that nobody names: uploads that were given up, whole or in parts.
//!
//! What this is: for each school the node that leads its group looks now and then at its own copies, counts for how long they
//! have been unnamed ([`ages`]), and has what is older than the retention removed on all nodes, in two steps
//! ([`crate::objects::uses`]). What it must not do: remove anything that the school's state names, that another blob is made of,
//! that was promised to somebody within a day, or while some node cannot say so.
//!
//! Not with S3, which has no nodes that could be asked.

mod ages;

use crate::{
    blob::Folders,
    objects::{ObjectError, Objects, Replicas, check},
    raft::{
        Groups, ProposeError,
        types::{Epoch, Group},
    },
};
use ages::Ages;
use futures_util::{TryStreamExt as _, future::join_all};
use schulhof_school::view;
use schulhof_wire::{
    BlobHash, NodeName, SchoolId,
    blob::{KEYS_MAX, ObjectKey, Space, ToBlob},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The first look after a start: when everything has come to rest.
const FIRST_AFTER: Duration = Duration::from_mins(10);
/// Between two looks: each reads all recipes of a school.
const EVERY: Duration = Duration::from_hours(6);
/// A look counts for no more than this, however long ago the one before was.
const COUNTED_MAX: Duration = Duration::from_hours(12);

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Group(#[from] ProposeError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{node} cannot say whether it needs them: {detail}")]
    Silent { node: NodeName, detail: String },
}

/// What a look has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs and parts.
    pub objects: usize,
    /// Bytes of one node's copies.
    pub bytes: u64,
}

pub struct Sweeper {
    groups: Arc<Groups>,
    objects: Objects,
    folders: Folders,
    /// Of the ages.
    folder: PathBuf,
    keep: Duration,
    /// When this node has looked at a school last. Gone while another node led its group.
    looked: tokio::sync::Mutex<BTreeMap<SchoolId, Duration>>,
}

/// A school's objects on this node.
#[derive(Default)]
struct Found {
    unnamed: BTreeMap<ObjectKey, (SystemTime, u64)>,
    /// Parts of each unnamed blob.
    made_of: BTreeMap<ObjectKey, Vec<BlobHash>>,
}

impl Sweeper {
    pub fn new(
        groups: Arc<Groups>,
        objects: Objects,
        folders: Folders,
        folder: PathBuf,
        keep: Duration,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { groups, objects, folders, folder, keep, looked: tokio::sync::Mutex::default() })
    }

    /// Looks again and again.
    pub async fn run(&self) {
        tokio::time::sleep(FIRST_AFTER).await;
        loop {
            self.pass().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks once at all schools that this node leads.
    pub async fn pass(&self) -> Swept {
        let mut looked = self.looked.lock().await;
        let schools: Vec<_> = {
            let view = self.groups.view();
            let view = view.borrow();
            view.schools.iter().map(|(id, school)| (id.clone(), school.group, school.epoch)).collect()
        };
        let mut swept = Swept::default();
        for (school, group, epoch) in schools {
            let before = looked.remove(&school);
            if !self.groups.leads(group) {
                continue;
            }
            let now = self.objects.clock().now();
            let passed = before.map_or(Duration::ZERO, |before| now.saturating_sub(before).min(COUNTED_MAX));
            match self.school(&school, group, epoch, passed).await {
                Ok(of_school) => {
                    swept.objects += of_school.objects;
                    swept.bytes += of_school.bytes;
                    looked.insert(school, now);
                }
                Err(error) => tracing::warn!(%school, "not swept now: {error}"),
            }
        }
        metrics::counter!("schulhof_core_objects_swept_total").increment(swept.objects as u64);
        metrics::counter!("schulhof_core_objects_swept_bytes_total").increment(swept.bytes);
        swept
    }

    async fn school(
        &self,
        school: &SchoolId,
        group: Group,
        epoch: Epoch,
        passed: Duration,
    ) -> Result<Swept, SweepError> {
        self.groups.confirm(group).await?;
        // Not while it is on its way, or comes out of a backup.
        if !self.groups.store(group)?.place(school)?.serves(epoch) {
            return Ok(Swept::default());
        }
        let found = self.look(school, group).await?;
        let path = self.folder.join(school.as_str());
        let mut ages = Ages::load(&path);
        let unnamed = found.unnamed.iter().map(|(key, (written, _))| (key.clone(), *written));
        let due = without_what_others_need(ages.look(unnamed, passed, self.keep), &found);
        ages.save(&path)?;
        if due.is_empty() {
            return Ok(Swept::default());
        }
        let removed = self.remove(school, group, due).await?;
        let bytes = removed.iter().filter_map(|key| found.unnamed.get(key)).map(|(_, len)| len).sum();
        tracing::info!(%school, objects = removed.len(), bytes, "what nobody names was removed");
        Ok(Swept { objects: removed.len(), bytes })
    }

    /// What is here and unnamed: blobs, and parts of no named one. Which blobs there are, all nodes are asked: one that this node
    /// has missed needs its parts, too.
    async fn look(&self, school: &SchoolId, group: Group) -> Result<Found, SweepError> {
        // Parts first: a blob whose parts came later than this look has none among them.
        let parts = self.list(Space::Part, school).await?;
        let mut here = self.list(Space::Blob, school).await?;
        let mut blobs: BTreeSet<BlobHash> = here.keys().map(|key| key.hash).collect();
        for node in Replicas::others(&self.folders) {
            let listed = self.folders.list(node.clone(), school, Space::Blob).await;
            blobs.extend(listed.map_err(|detail| SweepError::Silent { node, detail })?);
        }
        let named = self.all_named(school, group).await?;
        let mut found = Found::default();
        let mut needed = BTreeSet::new();
        for hash in blobs.union(&named).copied() {
            let key = ObjectKey { school: school.clone(), space: Space::Blob, hash };
            // One that is named and cannot be read ends it: nobody knows what it needs.
            let recipe = check::unseal(&self.objects.get(&key).await?);
            let parts = recipe.ok_or_else(|| ObjectError::Damaged { key: key.clone() })?.parts;
            if named.contains(&hash) {
                needed.extend(parts);
                continue;
            }
            if let Some(at) = here.remove(&key) {
                found.unnamed.insert(key.clone(), at);
            }
            found.made_of.insert(key, parts);
        }
        found.unnamed.extend(parts.into_iter().filter(|(key, _)| !needed.contains(&key.hash)));
        Ok(found)
    }

    async fn list(
        &self,
        space: Space,
        school: &SchoolId,
    ) -> Result<BTreeMap<ObjectKey, (SystemTime, u64)>, ObjectError> {
        let listed =
            self.objects.local().list(space, school).map_ok(|listed| (listed.key, (listed.written, listed.len)));
        listed.try_collect().await.map_err(|source| ObjectError::Unlisted { school: school.clone(), source })
    }

    /// All blobs that the school's state names, after everything that was committed before.
    async fn all_named(&self, school: &SchoolId, group: Group) -> Result<BTreeSet<BlobHash>, SweepError> {
        self.groups.confirm(group).await?;
        let (store, school) = (self.groups.store(group)?.clone(), school.clone());
        let read = move || store.with_school(&school, |kv| view::blobs_after(kv, None, usize::MAX));
        Ok(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??.into_iter().collect())
    }

    /// Those of the blobs that the school's state names, after everything that was committed before.
    async fn named(
        &self,
        school: &SchoolId,
        group: Group,
        blobs: Vec<BlobHash>,
    ) -> Result<BTreeSet<BlobHash>, SweepError> {
        self.groups.confirm(group).await?;
        let (store, school) = (self.groups.store(group)?.clone(), school.clone());
        let read = move || {
            store.with_school(&school, |kv| blobs.into_iter().filter(|blob| view::names_blob(kv, blob)).collect())
        };
        Ok(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??)
    }

    /// On all nodes or on none; what was removed.
    async fn remove(
        &self,
        school: &SchoolId,
        group: Group,
        mut due: Vec<ObjectKey>,
    ) -> Result<Vec<ObjectKey>, SweepError> {
        // Blobs before their parts: whatever dies in between, no blob is there without its parts.
        due.sort_by_key(|key| key.space != Space::Blob);
        let condemned = self.condemn(school, group, &due).await;
        let agreed = match &condemned {
            Ok(agreed) => agreed.iter().all(|agrees| *agrees),
            Err(_) => false,
        };
        if !agreed {
            // All or nothing of a school, and again with the next look: a blob and its parts belong together.
            for some in due.chunks(KEYS_MAX) {
                let _ = self.ask_all(school, some, |keys| ToBlob::Spare { keys }).await;
            }
            return condemned.map(|_| Vec::new());
        }
        self.ask_all(school, &due, |keys| ToBlob::Remove { keys }).await?;
        Ok(due)
    }

    /// For each whether all nodes agree, and whether it is unnamed still: nobody is told any more that it is there.
    async fn condemn(&self, school: &SchoolId, group: Group, due: &[ObjectKey]) -> Result<Vec<bool>, SweepError> {
        let mut agreed = self.ask_all(school, due, |keys| ToBlob::Condemn { keys }).await?;
        let blobs = due.iter().filter(|key| key.space == Space::Blob).map(|key| key.hash).collect();
        let named = self.named(school, group, blobs).await?;
        for (agreed, key) in agreed.iter_mut().zip(due) {
            *agreed &= key.space != Space::Blob || !named.contains(&key.hash);
        }
        Ok(agreed)
    }

    /// Asks this node and all others; for each key whether all say yes.
    async fn ask_all(
        &self,
        school: &SchoolId,
        keys: &[ObjectKey],
        request: impl Fn(Vec<ObjectKey>) -> ToBlob,
    ) -> Result<Vec<bool>, SweepError> {
        let mut all = Vec::with_capacity(keys.len());
        for some in keys.chunks(KEYS_MAX) {
            let mut agreed = self.objects.sweep(&request(some.to_vec())).await?;
            let asked = Replicas::others(&self.folders).into_iter().map(async |node| {
                let answer = self.folders.sweep(node.clone(), school.clone(), request(some.to_vec())).await;
                answer.map_err(|detail| SweepError::Silent { node, detail })
            });
            for answer in join_all(asked).await {
                for (agreed, of_node) in agreed.iter_mut().zip(answer?) {
                    *agreed &= of_node;
                }
            }
            all.append(&mut agreed);
        }
        Ok(all)
    }
}

/// A part stays as long as a blob that stays is made of it; and a blob as long as one of its parts is not due.
fn without_what_others_need(due: Vec<ObjectKey>, found: &Found) -> Vec<ObjectKey> {
    let due: BTreeSet<ObjectKey> = due.into_iter().collect();
    let staying = found.made_of.iter().filter(|(blob, _)| !due.contains(blob));
    let needed: BTreeSet<BlobHash> = staying.flat_map(|(_, parts)| parts).copied().collect();
    due.into_iter().filter(|key| key.space != Space::Part || !needed.contains(&key.hash)).collect()
}
