//! A box from its configuration to its end, as a script.

use crate::{
    app::{App, Parts},
    blob::{self, Blobs, CoreDepot},
    cache::SledCache,
    clock::Monotonic,
    config::{Config, Core, Media, Relay},
    door::{self, Passes, Passwords},
    enrol,
    link::Link,
    live::{Hub, Notice},
    media::{MediaState, Supervisor},
    placement::{OwnNode, Placement, RelayClient, Reservations},
    serve, stop,
    store::{self, FreeSpace, Store},
    watch,
};
use anyhow::Context as _;
use parking_lot::Mutex;
use schulhof_net::{
    bind, datadir,
    identity::{Identity, Role},
    observe::{self, Admin, Readiness},
    quic::{Endpoint, Options},
};
use schulhof_placement::TicketKey;
use schulhof_school::Change;
use schulhof_wire::{
    ConferenceId,
    ticket::{MediaNode, NodeKind},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};
use tokio::sync::mpsc;

/// Of everything in the data folder.
const DATA_VERSION: u32 = 1;
/// Name of the file with the ticket key, beside the certificate.
pub const TICKET_KEY_FILE: &str = "ticket.pk8";
/// Conferences whose change placement has not looked at yet; what is lost here is seen at the next renewal.
const CONFERENCES_CHANGED_MAX: usize = 256;

/// Runs a box until it is told to stop. An error is one line that says what to mend.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let stopped = observe::shutdown_signal();
    config.check()?;
    let identity = Identity::load_as(&config.identity, Role::Box)?;
    anyhow::ensure!(
        identity.own().name == config.name,
        "name: the configuration says {:?}, the certificate {:?}",
        config.name.as_str(),
        identity.own().name.as_str()
    );
    let ticket_key = Arc::new(ticket_key(&config.identity.join(TICKET_KEY_FILE))?);
    let tls = config.tls.as_ref().map(serve::tls_acceptor).transpose()?;
    let folder = datadir::open(&config.data, "box", DATA_VERSION)?;

    let listener = bind::tcp(config.http, "browsers")?;
    let http = listener.local_addr()?;
    let admin = Admin::bind(config.admin)?;
    let endpoint = Endpoint::bind(Options {
        listen: dialling(&config.core, &config.relay),
        identity: &identity,
        data: None,
        alpns: &[],
    })?;

    let clock = Monotonic::start();
    let school = config.school();
    let path = folder.join("box.redb");
    let opener = store::file(&path, config.store_cache_mib << 20);
    let journal = store::journal::file(&folder.join("journal"));
    let opened = Store::open_journaled(school.clone(), opener, journal, FreeSpace::of(folder.path()), clock);
    let (store, notices) = opened.with_context(|| path.display().to_string())?;
    let store = Arc::new(store);
    let cache = Arc::new(SledCache::open(folder.join("pages")));
    let blobs = open_blobs(&config, &folder.join("blobs"), &endpoint, &store)?;

    let own = own_node(&config);
    let mut relays: Vec<Arc<dyn Reservations>> = Vec::new();
    for relay in &config.relay {
        relays.push(Arc::new(RelayClient::new(relay, endpoint.clone())?));
    }
    let public_key = ticket_key.public();
    let passes = config.gateway_url().map(|url| Passes { url, key: ticket_key.clone() });
    let placement = Placement::new(school.clone(), ticket_key, own, relays, store.clone(), clock);

    let (stop, stopping) = stop::channel();
    let hub = Arc::new(Hub::default());
    let changed = start_hub(&hub, &store, notices)?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Link::new(store.clone(), endpoint.clone(), &config.core, clock)?.run(stopping.clone()));
    let media_state = match &config.media {
        Some(media) => {
            let supervisor = Supervisor::new(
                media,
                &config.name,
                &school,
                public_key,
                trunks(&config),
                folder.path(),
                placement.clone(),
            )?;
            let state = supervisor.state();
            tasks.spawn(supervisor.run(stopping.clone()));
            Some(state)
        }
        None => None,
    };
    tasks.spawn(blob::courier::run(blobs.clone(), stopping.clone()));
    tasks.spawn(blob::prefetch::run(blobs.clone(), stopping.clone()));
    tasks.spawn(keep_placement(placement.clone(), changed, stopping.clone()));
    tasks.spawn(enrol::renew::keep(endpoint.clone(), config.identity.clone(), config.core.clone(), stopping.clone()));

    let parts = Parts {
        store: store.clone(),
        hub,
        cache,
        blobs,
        placement,
        passwords: Passwords::new(),
        passes,
        clock,
        stop: stopping.clone(),
    };
    let app = App::new(config.site(), parts);
    let _admin = admin.serve(
        {
            let store = store.clone();
            move || readiness(&store)
        },
        {
            let (app, media) = (app.clone(), config.media.clone());
            move || status(&app, media_state.as_deref().zip(media.as_ref()))
        },
    );
    watch_folder(&config, &app, &mut tasks, &stopping);
    tasks.spawn(serve::serve(listener, tls, door::router(app.clone()), stopping));
    tracing::info!(%http, school = %app.site.school, "the box serves");

    stopped.await;
    stop.stop();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a part of the box ended by a panic")?;
    }
    endpoint.close("stopping");
    endpoint.wait_idle().await;
    Ok(())
}

fn open_blobs(config: &Config, folder: &Path, endpoint: &Endpoint, store: &Arc<Store>) -> anyhow::Result<Arc<Blobs>> {
    let parts = blob::Parts {
        school: config.school(),
        folder,
        cache_len_max: config.blob_cache_mib << 20,
        depot: Arc::new(CoreDepot::new(endpoint.clone(), &config.core)?),
        store: store.clone(),
    };
    Blobs::open(parts).with_context(|| folder.display().to_string())
}

pub(crate) fn ticket_key(path: &Path) -> anyhow::Result<TicketKey> {
    let der = std::fs::read(path).with_context(|| format!("cannot read the ticket key {}", path.display()))?;
    TicketKey::from_pkcs8(&der).with_context(|| format!("{} is no Ed25519 key in PKCS #8", path.display()))
}

fn own_node(config: &Config) -> Option<OwnNode> {
    let media = config.media.as_ref()?;
    let node = MediaNode { name: config.name.clone(), kind: NodeKind::Box, url: media.url.clone() };
    Some(OwnNode::new(node, media.budget))
}

/// The media process keeps its rooms at the relays in step: people at home are there.
fn trunks(config: &Config) -> Option<schulhof_net::media::config::Trunks> {
    let relays = config
        .relay
        .iter()
        .map(|relay| schulhof_net::media::config::Relay { name: relay.name.clone(), addr: relay.addr });
    let relays: Vec<_> = relays.collect();
    (!relays.is_empty()).then(|| schulhof_net::media::config::Trunks {
        identity: config.identity.clone(),
        school: config.school(),
        uplink_kbit_s: config.media.as_ref().and_then(|media| media.uplink_kbit_s),
        relays,
    })
}

/// Takes the files of a timetable program from a folder, if there is one.
fn watch_folder(config: &Config, app: &Arc<App>, tasks: &mut tokio::task::JoinSet<()>, stopping: &stop::Stop) {
    if let Some(folder) = config.timetable_folder.clone() {
        tasks.spawn(watch::run(app.clone(), folder, watch::LOOK_EVERY, stopping.clone()));
    }
}

/// Any port, of the family in which the others are named.
pub(crate) fn dialling(core: &[Core], relay: &[Relay]) -> SocketAddr {
    let addrs = core.iter().map(|core| core.addr).chain(relay.iter().map(|relay| relay.addr));
    let ip = if addrs.into_iter().any(|addr| addr.is_ipv6()) {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    };
    SocketAddr::new(ip, 0)
}

/// The hub has a thread of its own: it reads the disk. It ends with the store.
pub(crate) fn start_hub(
    hub: &Arc<Hub>,
    store: &Arc<Store>,
    notices: std::sync::mpsc::Receiver<Notice>,
) -> anyhow::Result<mpsc::Receiver<ConferenceId>> {
    let (tell, changed) = mpsc::channel(CONFERENCES_CHANGED_MAX);
    let (hub, store) = (hub.clone(), Arc::downgrade(store));
    let observe = move |notice: &Notice| {
        for one in &notice.changes {
            if let Change::Conference { conference } = &one.change {
                let _ = tell.try_send(conference.clone());
            }
        }
    };
    std::thread::Builder::new().name("hub".to_owned()).spawn(move || hub.run(&store, &notices, observe))?;
    Ok(changed)
}

pub(crate) async fn keep_placement(
    placement: Arc<Placement>,
    mut changed: mpsc::Receiver<ConferenceId>,
    mut stop: stop::Stop,
) {
    let watch_conferences = async {
        while let Some(conference) = changed.recv().await {
            placement.conference_changed(&conference).await;
        }
    };
    tokio::select! {
        () = async { tokio::join!(placement.keep(), watch_conferences); } => {}
        () = stop.ordered() => {}
    }
}

/// A box without its core is ready: the school goes on. One without its disk is not.
fn readiness(store: &Store) -> Readiness {
    let (_, pending, usable) = store.status();
    if !usable {
        Readiness::not_ready("the disk cannot be used")
    } else if store.is_online() {
        Readiness::ready()
    } else {
        Readiness::degraded(format!("the core cannot be reached, {pending} operations wait"))
    }
}

fn status(app: &App, media: Option<(&Mutex<MediaState>, &Media)>) -> serde_json::Value {
    let (head, pending, _) = app.store.status();
    let media = media.map(|(state, config)| {
        let state = *state.lock();
        serde_json::json!({
            "pid": state.pid,
            "listening": state.listening,
            "restarts": state.restarts,
            "admin": config.admin.to_string(),
            "url": config.url,
        })
    });
    serde_json::json!({
        "kind": "box",
        "name": app.site.name,
        "school": app.site.school,
        "pid": std::process::id(),
        "core_online": app.store.is_online(),
        "head": head,
        "pending": pending,
        "sessions": app.store.sessions().len(),
        "sockets": app.hub.len(),
        "media": media,
    })
}
