//! The core's blobs in memory, which can be out of reach.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use schulhof_edge::blob::{self, DepotError, depot::ReadPart, hash};
use schulhof_wire::{BlobHash, SchoolId, blob::Recipe};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

#[derive(Default)]
pub struct Depot {
    state: Arc<Mutex<State>>,
    pub away: AtomicBool,
    /// Parts that were given.
    pub given: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<BlobHash, Bytes>,
    recipes: BTreeMap<BlobHash, Recipe>,
}

impl Depot {
    pub fn has(&self, blob: BlobHash) -> bool {
        self.state.lock().recipes.contains_key(&blob)
    }

    fn reach(&self) -> Result<Arc<Mutex<State>>, DepotError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(DepotError::Unreachable("the line is cut".into()));
        }
        Ok(self.state.clone())
    }
}

impl blob::Depot for Depot {
    fn stat(&self, _: &SchoolId, blob: BlobHash) -> BoxFuture<'static, Result<Option<Recipe>, DepotError>> {
        let state = self.reach();
        Box::pin(async move { Ok(state?.lock().recipes.get(&blob).cloned()) })
    }

    fn get(&self, _: &SchoolId, part: BlobHash) -> BoxFuture<'static, Result<Bytes, DepotError>> {
        let (state, given) = (self.reach(), self.given.clone());
        Box::pin(async move {
            given.fetch_add(1, Ordering::Relaxed);
            Ok(state?.lock().parts[&part].clone())
        })
    }

    fn put(&self, _: &SchoolId, recipe: Recipe, read: ReadPart) -> BoxFuture<'static, Result<(), DepotError>> {
        let state = self.reach();
        Box::pin(async move {
            let state = state?;
            for (n, part) in recipe.parts.iter().enumerate() {
                let bytes = read(n)?;
                assert_eq!(hash(&bytes), *part);
                state.lock().parts.insert(*part, bytes);
            }
            state.lock().recipes.insert(recipe.blob, recipe);
            Ok(())
        })
    }
}
