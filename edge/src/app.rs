//! What the doors share.

use crate::{
    blob::Blobs,
    cache::PageCache,
    clock::Monotonic,
    door::{CookieName, Drafts, Guard, LoginLimits, Passes, Passwords, Plans},
    live::Hub,
    placement::Placement,
    stop::Stop,
    store::Store,
};
use parking_lot::Mutex;
use schulhof_wire::{NodeName, SchoolId, ticket::NodeKind, timetable::WatchView};
use std::sync::Arc;

/// Who serves which school, and at which address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub name: NodeName,
    /// A box, or a gateway that serves this school among others.
    pub kind: NodeKind,
    pub school: SchoolId,
    /// The address that browsers use, without a slash at the end.
    pub origin: String,
    /// Further origins whose pages may write.
    pub allowed_origins: Vec<String>,
    /// Media nodes and other addresses that the page speaks to.
    pub connects: Vec<String>,
}

impl Site {
    /// Whether browsers come by HTTPS.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// What one school's doors stand on.
pub struct Parts {
    pub store: Arc<Store>,
    pub hub: Arc<Hub>,
    pub cache: Arc<dyn PageCache>,
    pub blobs: Arc<Blobs>,
    pub placement: Arc<Placement>,
    pub passwords: Passwords,
    /// Gives passes for a gateway, if there is one.
    pub passes: Option<Passes>,
    pub clock: Monotonic,
    pub stop: Stop,
}

/// One school on one node, as its HTTP handlers see it.
pub struct App {
    pub site: Site,
    pub store: Arc<Store>,
    pub hub: Arc<Hub>,
    pub cache: Arc<dyn PageCache>,
    pub blobs: Arc<Blobs>,
    pub placement: Arc<Placement>,
    pub passwords: Passwords,
    pub passes: Option<Passes>,
    pub limits: Mutex<LoginLimits>,
    pub plans: Mutex<Plans>,
    pub drafts: Mutex<Drafts>,
    /// What became of the files in the timetable's folder.
    pub watched: Mutex<WatchView>,
    pub cookie: CookieName,
    pub guard: Arc<Guard>,
    pub clock: Monotonic,
    stop: Stop,
}

impl App {
    pub fn new(site: Site, parts: Parts) -> Arc<Self> {
        let Parts { store, hub, cache, blobs, placement, passwords, passes, clock, stop } = parts;
        Arc::new(Self {
            cookie: CookieName::new(&site),
            guard: Arc::new(Guard::new(&site)),
            passwords,
            passes,
            limits: Mutex::new(LoginLimits::default()),
            plans: Mutex::default(),
            drafts: Mutex::default(),
            watched: Mutex::default(),
            site,
            store,
            hub,
            cache,
            blobs,
            placement,
            clock,
            stop,
        })
    }

    /// Resolves when the node stops, or no longer serves this school.
    pub async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // An error means that whoever stops it is gone: the same.
        let () = stop.ordered().await;
    }
}
