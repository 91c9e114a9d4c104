//! The cloud relay: a media node (see [`schulhof_net::media`]) for what a box or its line cannot carry, and a door at
//! which boxes reserve places before they send anybody.
//!
//! What it must not do: take a school's name from a request (it comes from the box's certificate), or let somebody in who
//! would take a reserved place. It keeps nothing on disk but its QUIC keys: reservations are renewed within a minute of a
//! restart, tickets need no state.
//!
//! - [`config`]: what an operator sets
//! - `book`: the reservations, shared by the door and the media node
//! - `door`: QUIC, `schulhof-reserve/1` (PROTOCOL.md §3.2), and `schulhof-trunk/1`, which goes to the media node

mod book;
pub mod config;
mod door;

pub use config::Config;

use anyhow::Context as _;
use book::Book;
use schulhof_net::{
    datadir,
    identity::{Identity, Role},
    media,
    observe::{self, Admin},
    quic::{Endpoint, Options},
};
use schulhof_wire::node::{ALPN_RESERVE, ALPN_TRUNK};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How often a relay that is drained looks whether it is empty, and how often in a row it must be: whoever asks how far it
/// is hears that it is empty before it is gone.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const EMPTY_LOOKS: u32 = 8;
/// Version of the data folder: the QUIC keys.
const DATA_VERSION: u32 = 1;

/// A running relay, for [`run`] and for tests.
pub struct Relay {
    pub media: Arc<media::Handle>,
    /// Where boxes reserve.
    pub quic: SocketAddr,
    book: Arc<Book>,
    endpoint: Endpoint,
    _data: datadir::DataDir,
}

impl Relay {
    /// Binds everything and serves in tasks.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let identity = Identity::load_as(&config.identity, Role::Relay)?;
        anyhow::ensure!(
            identity.own().name == config.media.name,
            "media.name is {}, but the certificate is of {}",
            config.media.name,
            identity.own()
        );
        let data = datadir::open(&config.data, "relay", DATA_VERSION)?;
        let book = Arc::new(Book::new(config.budget()));
        let gate = book.clone();
        let media = media::serve_gated(config.media, Box::new(move |claims, present| gate.admits(claims, present)))
            .await
            .context("media")?;
        let media = Arc::new(media);
        let endpoint = Endpoint::bind_for_media(Options {
            listen: config.quic,
            identity: &identity,
            data: Some(data.path()),
            alpns: &[ALPN_RESERVE, ALPN_TRUNK],
        })?;
        let quic = endpoint.local_addr()?;
        let door = door::Door { book: book.clone(), media: media.clone(), trunks: media.trunks() };
        tokio::spawn(door::serve(endpoint.clone(), door));
        Ok(Self { media, quic, book, endpoint, _data: data })
    }

    pub fn status(&self) -> media::Status {
        self.media.status(self.book.reserved())
    }

    /// Waits until it was drained and nobody is left.
    pub async fn empty(&self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        // Not at once: those who were there are counted ten times a second.
        let mut since_drained = 0;
        while since_drained < EMPTY_LOOKS {
            every.tick().await;
            let is_empty = self.book.is_draining() && self.media.status(0).participants == 0;
            since_drained = if is_empty { since_drained + 1 } else { 0 };
        }
    }

    /// Tells clients and boxes, then ends.
    pub async fn stop(&self) {
        self.media.stop().await;
        self.endpoint.close("stopping");
        self.endpoint.wait_idle().await;
    }
}

/// Serves until the process is asked to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = observe::shutdown_signal();
    let admin = Admin::bind(config.media.admin)?;
    let name = config.media.name.clone();
    let relay = Arc::new(Relay::start(config).await?);
    let (ready, status) = (relay.clone(), relay.clone());
    let admin = admin.serve(move || ready.media.readiness(), move || serde_json::json!(status.status()));
    tracing::info!(%name, media = %relay.media.addr(), quic = %relay.quic, "the relay is ready");
    let result = tokio::select! {
        () = shutdown => Ok(()),
        () = relay.empty() => {
            tracing::info!("the relay is drained");
            Ok(())
        }
        reason = relay.media.failed() => Err(anyhow::anyhow!("the media worker ended: {reason}")),
    };
    relay.stop().await;
    drop(admin);
    result
}

#[cfg(test)]
mod tests;
