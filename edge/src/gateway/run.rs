//! A gateway from its configuration to its end, as a script.

use super::{
    config::Config,
    door::{self, Door},
    folder::Folder,
    tenant::Ground,
    tenants::{Limits, Tenants},
};
use crate::{
    blob::CoreDepot,
    clock::Monotonic,
    dial::Pool,
    door::Passwords,
    placement::RelayLine,
    run::{TICKET_KEY_FILE, dialling, ticket_key},
    serve, stop,
};
use anyhow::Context as _;
use schulhof_net::{
    bind, datadir,
    identity::{Identity, Role},
    observe::{self, Admin, Readiness},
    quic::{Endpoint, Options},
};
use schulhof_wire::NodeName;
use std::sync::Arc;

/// Of everything in the data folder.
const DATA_VERSION: u32 = 1;
/// Folder of the schools' folders.
const TENANTS: &str = "tenants";

/// Runs a gateway until it is told to stop. An error is one line that says what to mend.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let stopped = observe::shutdown_signal();
    config.check()?;
    let identity = Identity::load_as(&config.identity, Role::Gateway)?;
    anyhow::ensure!(
        identity.own().name == config.name,
        "name: the configuration says {:?}, the certificate {:?}",
        config.name.as_str(),
        identity.own().name.as_str()
    );
    let ticket_key = Arc::new(ticket_key(&config.identity.join(TICKET_KEY_FILE))?);
    let tls = config.tls.as_ref().map(serve::tls_acceptor).transpose()?;
    let data = datadir::open(&config.data, "gateway", DATA_VERSION)?;

    let listeners = config.http.iter().map(|addr| bind::tcp(*addr, "browsers")).collect::<Result<Vec<_>, _>>()?;
    let admin = Admin::bind(config.admin)?;
    let endpoint = Endpoint::bind(Options {
        listen: dialling(&config.core, &config.relay),
        identity: &identity,
        data: None,
        alpns: &[],
    })?;

    let relays = config.relay.iter().map(|relay| Ok(Arc::new(RelayLine::new(relay, endpoint.clone())?)));
    let ground = Arc::new(Ground {
        folder: Folder::open(data.join(TENANTS)).with_context(|| data.join(TENANTS).display().to_string())?,
        pool: Pool::new(endpoint.clone()),
        depot: Arc::new(CoreDepot::new(endpoint.clone(), &config.core)?),
        cores: config.core.clone(),
        relays: relays.collect::<anyhow::Result<_>>()?,
        ticket_key,
        passwords: Passwords::new(),
        store_cache_bytes: config.store_cache_mib << 20,
        clock: Monotonic::start(),
    });
    let limits =
        Limits { open_max: config.open_max, idle_ms: config.idle_s * 1_000, disk_bytes: config.disk_mib << 20 };
    let tenants = Tenants::new(ground, door::plots(&config), limits)?;
    let router = door::router(Door::new(&config, tenants.clone()));

    let (stop, stopping) = stop::channel();
    let _admin = admin.serve(
        {
            let tenants = tenants.clone();
            move || readiness(&tenants)
        },
        {
            let (tenants, name) = (tenants.clone(), config.name.clone());
            move || status(&tenants, &name)
        },
    );
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        tracing::info!(http = %listener.local_addr()?, "the gateway serves");
        tasks.spawn(serve::serve(listener, tls.clone(), router.clone(), stopping.clone()));
    }
    tasks.spawn(tenants.clone().keep(stopping));

    stopped.await;
    stop.stop();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a part of the gateway ended by a panic")?;
    }
    tenants.close_all().await;
    endpoint.close("stopping");
    endpoint.wait_idle().await;
    Ok(())
}

/// Without the core it serves what it has open; only nobody new gets in.
fn readiness(tenants: &Tenants) -> Readiness {
    let (open, offline, pending) = tenants.sums();
    if offline == 0 {
        Readiness::ready()
    } else {
        Readiness::degraded(format!(
            "{offline} of {open} open schools do not reach the core, {pending} operations wait"
        ))
    }
}

fn status(tenants: &Tenants, name: &NodeName) -> serde_json::Value {
    let (_, offline, pending) = tenants.sums();
    let (open, open_max) = tenants.places();
    serde_json::json!({
        "kind": "gateway",
        "name": name,
        "pid": std::process::id(),
        "schools": tenants.len(),
        "open": open,
        "open_max": open_max,
        "offline": offline,
        "pending": pending,
        "open_schools": tenants.shown(),
    })
}
