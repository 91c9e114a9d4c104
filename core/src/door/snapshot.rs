//! A replica gets the school's state: from the object store if a recent one lies there, otherwise a dump of the live one;
//! one per stream, chunk by chunk as the stream takes them.
//!
//! Either is of one moment; operations are ordered meanwhile, and their entries follow it. The pages of a dump's moment stay in
//! the state file as long as it lives, and a chunk in memory, so there are few at a time.

use crate::{
    raft::GroupHandle,
    snapshots::{Reading, Snapshots},
    state::school::{Parts, SchoolChunk, SchoolDump},
};
use schulhof_wire::SchoolId;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// States of one node that are sent at a time: as many as keep disk and line busy.
pub const DUMPS_MAX: usize = 16;
/// A replica that is not served in this time tries again later; longer, and it would take the silence for a dead core.
const WAIT_MAX: Duration = Duration::from_secs(5);

enum Source {
    Live(Box<SchoolDump>),
    Stored(Reading),
}

/// A state on its way.
pub struct Sending {
    /// None when all was sent.
    source: Option<Source>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Sending {
    /// `None`: too many replicas are loaded already.
    pub async fn begin(
        places: &Arc<Semaphore>,
        handle: &GroupHandle,
        school: &SchoolId,
        stored: Option<Reading>,
    ) -> io::Result<Option<Self>> {
        let Ok(Ok(place)) = timeout(WAIT_MAX, places.clone().acquire_owned()).await else { return Ok(None) };
        let source = match stored {
            Some(reading) => Source::Stored(reading),
            None => Source::Live(live(handle, school).await?),
        };
        metrics::counter!("schulhof_core_replicas_loaded_total").increment(1);
        Ok(Some(Self { source: Some(source), begun: false, _place: place }))
    }

    /// The next chunk; `None` after the last. A stored state that cannot be read is no error at its beginning.
    pub async fn next(
        &mut self,
        snapshots: &Snapshots,
        handle: &GroupHandle,
        school: &SchoolId,
    ) -> io::Result<Option<SchoolChunk>> {
        let chunk = match self.source.take() {
            None => None,
            Some(Source::Live(dump)) => self.read(dump).await?,
            Some(Source::Stored(mut reading)) => match reading.next().await {
                Ok(chunk) => {
                    self.source = chunk.is_some().then_some(Source::Stored(reading));
                    chunk
                }
                Err(e) => {
                    snapshots.cannot_use(school, &e);
                    // A replica takes the chunks of one state: it comes again.
                    if self.begun {
                        return Err(io::Error::other(e));
                    }
                    self.read(live(handle, school).await?).await?
                }
            },
        };
        self.begun = true;
        Ok(chunk)
    }

    async fn read(&mut self, mut dump: Box<SchoolDump>) -> io::Result<Option<SchoolChunk>> {
        let read = tokio::task::spawn_blocking(move || SchoolDump::next_chunk(&mut dump).map(|chunk| (chunk, dump)));
        let (chunk, dump) = read.await.map_err(io::Error::other)??;
        self.source = chunk.is_some().then_some(Source::Live(dump));
        Ok(chunk)
    }
}

async fn live(handle: &GroupHandle, school: &SchoolId) -> io::Result<Box<SchoolDump>> {
    let (store, school) = (handle.store.clone(), school.clone());
    let open = tokio::task::spawn_blocking(move || store.dump_school(&school, Parts::State));
    Ok(Box::new(open.await.map_err(io::Error::other)??))
}
