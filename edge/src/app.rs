//! What the doors share.

use crate::{
    cache::PageCache,
    clock::Monotonic,
    config::Config,
    door::{CookieName, Guard, LoginLimits, Passwords},
    live::Hub,
    placement::Placement,
    stop::Stop,
    store::Store,
};
use parking_lot::Mutex;
use std::sync::Arc;

/// One box, as its HTTP handlers see it.
pub struct App {
    pub config: Config,
    pub store: Arc<Store>,
    pub hub: Arc<Hub>,
    pub cache: Arc<dyn PageCache>,
    pub placement: Arc<Placement>,
    pub passwords: Passwords,
    pub limits: Mutex<LoginLimits>,
    pub cookie: CookieName,
    pub guard: Arc<Guard>,
    pub clock: Monotonic,
    stop: Stop,
}

impl App {
    pub fn new(
        config: Config,
        store: Arc<Store>,
        hub: Arc<Hub>,
        cache: Arc<dyn PageCache>,
        placement: Arc<Placement>,
        clock: Monotonic,
        stop: Stop,
    ) -> Arc<Self> {
        Arc::new(Self {
            cookie: CookieName::new(&config),
            guard: Arc::new(Guard::new(&config)),
            passwords: Passwords::new(),
            limits: Mutex::new(LoginLimits::default()),
            config,
            store,
            hub,
            cache,
            placement,
            clock,
            stop,
        })
    }

    /// Resolves when the box stops.
    pub async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // An error means that whoever stops the box is gone: the same.
        let () = stop.ordered().await;
    }
}
