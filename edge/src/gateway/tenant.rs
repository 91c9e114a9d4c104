//! One school that the gateway has open: what `run` makes for a box, without media and with shared lines.

use super::folder::Folder;
use crate::{
    app::{App, Parts, Site},
    blob::{self, Blobs, CoreDepot},
    cache::NoCache,
    clock::Monotonic,
    config::Core,
    dial::{Dialler, Pool},
    door::{self, Passwords},
    link::Link,
    live::Hub,
    placement::{Placement, RelayLine, Reservations},
    run::{keep_placement, start_hub},
    stop,
    store::{self, FreeSpace, Store, StoreError},
};
use anyhow::Context as _;
use axum::Router;
use redb::{DatabaseError, StorageError};
use schulhof_placement::TicketKey;
use schulhof_wire::SchoolId;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::JoinSet,
};

/// A copy from before is served as it is if the core has not brought it up to date after this.
const CORE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Copies of files per open school: what a class looks at in a morning; the core is near.
const BLOB_CACHE_BYTES: u64 = 64 << 20;

/// What all schools of a gateway stand on.
pub struct Ground {
    pub folder: Folder,
    pub pool: Arc<Pool>,
    /// The core's blobs of all schools.
    pub depot: Arc<CoreDepot>,
    pub cores: Vec<Core>,
    pub relays: Vec<Arc<RelayLine>>,
    pub ticket_key: Arc<TicketKey>,
    /// One for all, so that a morning's logins at many schools share the memory that hashing takes.
    pub passwords: Passwords,
    pub store_cache_bytes: usize,
    pub clock: Monotonic,
}

/// A school as the configuration names it.
#[derive(Debug)]
pub struct Plot {
    pub site: Site,
    /// Chooses one of the shared lines to the core.
    pub line: u64,
}

/// An open school.
pub struct Tenant {
    router: Router,
    app: Arc<App>,
    stop: stop::Stopper,
    tasks: JoinSet<()>,
    refused: watch::Receiver<Option<String>>,
    /// The copy on disk was whole before it was opened.
    whole: bool,
    opened: tokio::time::Instant,
    used_ms: AtomicU64,
    _place: OwnedSemaphorePermit,
}

/// Whether a school can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Serves,
    /// The core does not have it, or refuses it otherwise: the code.
    Refused(String),
}

impl Tenant {
    /// Opens the school. Returns before the core was asked for anything.
    pub async fn open(ground: &Arc<Ground>, plot: &Plot, place: OwnedSemaphorePermit) -> anyhow::Result<Self> {
        let school = plot.site.school.clone();
        let (shared, of_store) = (ground.clone(), school.clone());
        let opened = tokio::task::spawn_blocking(move || open_store(&shared, &of_store)).await?;
        let (store, notices, whole) = opened.with_context(|| format!("the store of {school}"))?;
        let store = Arc::new(store);
        let hub = Arc::new(Hub::default());
        let changed = start_hub(&hub, &store, notices)?;
        let clock = ground.clock;
        let relays = ground.relays.iter().map(|line| Arc::new(line.for_school(&school)) as Arc<dyn Reservations>);
        let placement =
            Placement::new(school.clone(), ground.ticket_key.clone(), None, relays.collect(), store.clone(), clock);

        let blob_folder = ground.folder.blobs(&school);
        let blobs = Blobs::open(blob::Parts {
            school: school.clone(),
            folder: &blob_folder,
            cache_len_max: BLOB_CACHE_BYTES,
            depot: ground.depot.clone(),
            store: store.clone(),
        })
        .with_context(|| blob_folder.display().to_string())?;

        let (stop, stopping) = stop::channel();
        let line = Dialler::Shared(ground.pool.clone(), plot.line);
        let link = Link::new(store.clone(), line, &ground.cores, clock)?;
        let refused = link.refused();
        let mut tasks = JoinSet::new();
        tasks.spawn(link.run(stopping.clone()));
        tasks.spawn(blob::courier::run(blobs.clone(), stopping.clone()));
        tasks.spawn(keep_placement(placement.clone(), changed, stopping.clone()));
        tasks.spawn(keep_mark(ground.clone(), store.clone(), school, stopping.clone()));
        let parts = Parts {
            store,
            hub,
            cache: Arc::new(NoCache),
            blobs,
            placement,
            passwords: ground.passwords.clone(),
            passes: None,
            clock,
            stop: stopping,
        };
        let app = App::new(plot.site.clone(), parts);
        Ok(Self {
            router: door::router(app.clone()),
            app,
            stop,
            tasks,
            refused,
            whole,
            opened: tokio::time::Instant::now(),
            used_ms: AtomicU64::new(clock.now_ms()),
            _place: place,
        })
    }

    pub fn school(&self) -> &SchoolId {
        &self.app.site.school
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Somebody was served.
    pub fn touch(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// Time of the last request; an open page counts as one.
    pub fn used_ms(&self, now_ms: u64) -> u64 {
        if !self.app.hub.is_empty() {
            self.touch(now_ms);
        }
        self.used_ms.load(Ordering::Relaxed)
    }

    pub fn sockets(&self) -> usize {
        self.app.hub.len()
    }

    /// Highest index that it holds, and operations that wait for the core.
    pub fn holds(&self) -> (u64, usize) {
        let (head, pending, _) = self.app.store.status();
        (head.0, pending)
    }

    pub fn is_online(&self) -> bool {
        self.app.store.is_online()
    }

    /// Holds all that the core has, or did once.
    pub fn is_current(&self) -> bool {
        self.whole || *self.app.store.current().borrow()
    }

    /// Waits until the school can be used: the store has caught up with the core, or holds a whole copy from before and
    /// the core does not answer. Before that an account might be missing, which is told apart from a wrong pass by nothing.
    pub async fn standing(&self) -> Standing {
        let old_copy = async {
            if self.whole {
                tokio::time::sleep_until(self.opened + CORE_WAIT_MAX).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let mut refused = self.refused.clone();
        tokio::select! {
            // In this order: who is served does not wait for anything.
            biased;
            () = self.app.store.until_current() => Standing::Serves,
            code = refusal(&mut refused) => Standing::Refused(code),
            () = old_copy => Standing::Serves,
        }
    }

    /// Closes it: open pages are told to come again. Gives how many operations wait in its file.
    pub async fn close(self) -> usize {
        let Self { router, app, stop, mut tasks, .. } = self;
        stop.stop();
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of a school ended by a panic");
            }
        }
        let closed = app.store.when_closed();
        // Closing writes to the disk.
        let dropped = tokio::task::spawn_blocking(move || drop((router, app))).await;
        if dropped.is_err() {
            tracing::error!("closing a school ended by a panic");
        }
        // Whoever still reads lets it go in a moment. An error: nobody can tell, so something may wait.
        closed.await.unwrap_or(usize::MAX)
    }
}

/// Notes on disk when the store holds all that the core has.
async fn keep_mark(ground: Arc<Ground>, store: Arc<Store>, school: SchoolId, mut stop: stop::Stop) {
    tokio::select! {
        () = store.until_current() => {}
        () = stop.ordered() => return,
    }
    let (head, ..) = store.status();
    let marked = tokio::task::spawn_blocking(move || ground.folder.set_whole(&school, head)).await;
    if let Ok(Err(error)) = marked {
        tracing::warn!(%error, "the mark of a whole copy");
    }
}

async fn refusal(refused: &mut watch::Receiver<Option<String>>) -> String {
    // A version or a state that does not fit may do so at another node; what is not there is nowhere.
    let is_final = |code: &Option<String>| code.as_ref().is_some_and(|code| code == "unknown-school");
    let found = refused.wait_for(is_final).await.ok().and_then(|code| code.clone());
    match found {
        Some(code) => code,
        // The link has ended: the school is being closed.
        None => std::future::pending().await,
    }
}

type Opened = (Store, std::sync::mpsc::Receiver<crate::live::Notice>, bool);

fn open_store(ground: &Ground, school: &SchoolId) -> anyhow::Result<Opened> {
    let folder = &ground.folder;
    folder.begin(school)?;
    let open = || {
        let opener = store::file(&folder.store(school), ground.store_cache_bytes);
        Store::open(school.clone(), opener, FreeSpace::of(folder.path()), ground.clock)
    };
    let opened = match open() {
        Err(error) if is_damage(&error) => {
            // A copy, apart from operations that waited: their browsers keep those until they are secured.
            tracing::error!(%school, %error, "the school's file is damaged: put aside, and loaded anew");
            metrics::counter!("schulhof_gateway_damaged_total").increment(1);
            folder.put_aside(school)?;
            open()
        }
        opened => opened,
    };
    let (store, notices) = opened?;
    let (head, ..) = store.status();
    let whole = folder.whole(school).is_some_and(|upto| head >= upto);
    Ok((store, notices, whole))
}

/// Whether the file is at fault, not the disk.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged(_)
        | StoreError::Panicked
        | StoreError::Open(DatabaseError::Storage(StorageError::Corrupted(_)))
        | StoreError::Redb(redb::Error::Corrupted(_)) => true,
        StoreError::Open(DatabaseError::Storage(StorageError::Io(error))) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}
