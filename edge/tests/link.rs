//! The way to the core over real QUIC with certificates, against a core of one node that keeps its log in memory.

mod support;

use parking_lot::Mutex;
use schulhof_edge::{clock::Monotonic, config::Core as CoreAddress, link::Link};
use schulhof_net::{
    identity::{Ca, Identity, Role},
    quic::{Accepted, Endpoint, FrameReader, FrameWriter, Options as QuicOptions},
};
use schulhof_school::{Body, view::MessageView};
use schulhof_sync::{CoreSession, Peer};
use schulhof_wire::{
    LogIndex,
    api::Page,
    node::{ALPN_SYNC, ToBox, ToCore},
};
use std::{net::SocketAddr, sync::Arc};
use support::{
    Log, Nord, Options,
    browser::{Browser, PATIENCE, listen},
    id,
};
use tokio::{sync::watch, task::JoinHandle};

/// A core node.
struct Core {
    addr: SocketAddr,
    endpoint: Endpoint,
    log: Arc<Mutex<Log>>,
    grown: watch::Sender<LogIndex>,
    task: JoinHandle<()>,
}

enum Leads {
    Itself,
    /// Sends boxes to this node.
    Other(&'static str),
}

impl Core {
    async fn start(ca: &Ca, name: &str, listen: SocketAddr, log: Arc<Mutex<Log>>, leads: Leads) -> Self {
        let identity = ca.issue(Role::Core, name).unwrap();
        let began = std::time::Instant::now();
        // The port of a node that was stopped is free when its last connection is gone.
        let endpoint = loop {
            match Endpoint::bind(QuicOptions { listen, identity: &identity, data: None, alpns: &[ALPN_SYNC] }) {
                Ok(endpoint) => break endpoint,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        let (grown, _) = watch::channel(log.lock().head());
        let (accepting, of_task, grows) = (endpoint.clone(), log.clone(), grown.clone());
        let leads = Arc::new(leads);
        let task = tokio::spawn(async move {
            while let Some(handshake) = accepting.accept().await {
                let Ok(accepted) = handshake.finish().await else { continue };
                tokio::spawn(serve(accepted, of_task.clone(), grows.clone(), leads.clone()));
            }
        });
        Self { addr: endpoint.local_addr().unwrap(), endpoint, log, grown, task }
    }

    fn stop(self) -> (SocketAddr, Arc<Mutex<Log>>) {
        self.endpoint.close("stopped");
        self.task.abort();
        (self.addr, self.log)
    }

    fn act(&self, seq: u64, text: &str) {
        let body = Body::post(id("7a"), text);
        self.log.lock().act("weber", "elsewhere", seq, body);
        self.grown.send_replace(self.log.lock().head());
    }
}

async fn serve(accepted: Accepted, log: Arc<Mutex<Log>>, grown: watch::Sender<LogIndex>, leads: Arc<Leads>) {
    let (send, receive) = accepted.connection.accept_bi().await.unwrap();
    let mut reader = FrameReader::<ToCore>::new(receive);
    let mut writer = FrameWriter::<ToBox>::new(send);
    let hello = reader.read().await.unwrap().unwrap();
    if let Leads::Other(leader) = &*leads {
        let _ = writer.write(&ToBox::Redirect { leader: Some(id(leader)) }).await;
        return writer.delivered().await;
    }
    let peer = Peer::Box(accepted.peer.school().unwrap());
    let head = log.lock().head();
    let mut session = match CoreSession::accept(&hello, &peer, LogIndex(1), head) {
        Ok(session) => session,
        Err(refusal) => {
            let _ = writer.write(&refusal.0).await;
            return writer.delivered().await;
        }
    };
    let mut growing = grown.subscribe();
    if session.wants_snapshot() {
        let welcome = session.poll_transmit(|_, _| Vec::new()).expect("first the welcome");
        let chunks = log.lock().chunks(session.school());
        let frames = std::iter::once(welcome).chain(chunks.iter().map(|chunk| session.snapshot(chunk)));
        for frame in frames.collect::<Vec<_>>() {
            writer.write(&frame).await.unwrap();
        }
    }
    loop {
        let read = |after: LogIndex, count: usize| {
            log.lock().entries.iter().skip(after.0 as usize).take(count).cloned().collect()
        };
        while let Some(frame) = session.poll_transmit(read) {
            if writer.write(&frame).await.is_err() {
                return;
            }
        }
        tokio::select! {
            frame = reader.read() => {
                let Ok(Some(frame)) = frame else { return };
                if let Some(batch) = session.receive(frame).unwrap_or_else(|refusal| panic!("{refusal:?}")) {
                    for operation in &batch.operations {
                        log.lock().order(&operation.0);
                    }
                    session.committed(batch.batch);
                    grown.send_replace(log.lock().head());
                }
            }
            _ = growing.changed() => {}
        }
        session.head_moved(log.lock().head());
    }
}

fn link(nord: &Nord, identity: &Identity, cores: &[(&str, SocketAddr)]) -> JoinHandle<()> {
    let listen = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::bind(QuicOptions { listen, identity, data: None, alpns: &[] }).unwrap();
    let cores: Vec<CoreAddress> =
        cores.iter().map(|(name, addr)| CoreAddress { name: id(name), addr: *addr }).collect();
    let link = Link::new(nord.store.clone(), endpoint, &cores, Monotonic::start()).unwrap();
    tokio::spawn(link.run(nord.stopping.clone()))
}

/// Waits until something is so.
async fn eventually(nord: &Nord, what: impl Fn(&Nord) -> bool) {
    let waiting = async {
        while !what(nord) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it happens in time");
}

const ANY: &str = "127.0.0.1:0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_takes_over_its_school_and_its_operations_get_their_place() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::generate().unwrap());
    let log = Arc::new(Mutex::new(Log::with_school()));
    let core = Core::start(&ca, "core-1", ANY.parse().unwrap(), log.clone(), Leads::Itself).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
    link(&nord, &ca.issue(Role::Box, "nord").unwrap(), &[("core-1", core.addr)]);
    let head = core.log.lock().head();
    eventually(&nord, |nord| nord.store.status().0 == head).await;

    let addr = listen(&nord).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let mut events = ali.events(addr, "").await;
    eva.say("Guten Morgen").await;
    let index = events
        .until(|event| match event {
            schulhof_wire::live::Event::Message { message, .. } => message.index,
            _ => None,
        })
        .await;
    assert_eq!(index, LogIndex(head.0 + 1));
    core.act(1, "von anderswo");
    let text = events
        .until(|event| match event {
            schulhof_wire::live::Event::Message { message, .. } => Some(message.text.clone()),
            _ => None,
        })
        .await;
    assert_eq!(text, "von anderswo");
    assert_eq!(nord.store.status().1, 0, "nothing waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_without_its_core_goes_on_and_catches_up_when_it_is_back() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::generate().unwrap());
    let log = Arc::new(Mutex::new(Log::with_school()));
    let core = Core::start(&ca, "core-1", ANY.parse().unwrap(), log.clone(), Leads::Itself).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
    link(&nord, &ca.issue(Role::Box, "nord").unwrap(), &[("core-1", core.addr)]);
    eventually(&nord, |nord| nord.store.is_online() && nord.store.status().0 == log.lock().head()).await;
    let mut eva = Browser::signed_in(&nord, "eva", "eva-1").await;

    let (addr, log) = core.stop();
    eventually(&nord, |nord| !nord.store.is_online()).await;
    for n in 0..50 {
        let answer = eva.say(&format!("offline {n}")).await;
        assert_eq!((answer.marks.saved.0, answer.marks.secured.0), (n + 1, 0));
    }
    let core = Core::start(&ca, "core-1", addr, log.clone(), Leads::Itself).await;
    eventually(&nord, |nord| nord.store.status().1 == 0).await;
    let page: Page<MessageView> = eva.get("/api/rooms/7a/messages?limit=100").await.ok();
    let texts: Vec<&str> = page.items.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, (0..50).map(|n| format!("offline {n}")).collect::<Vec<_>>());
    assert!(page.items.iter().all(|message| message.index.is_some()));
    drop(core);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_followed_to_the_leader() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::generate().unwrap());
    let log = Arc::new(Mutex::new(Log::with_school()));
    let leader = Core::start(&ca, "core-2", ANY.parse().unwrap(), log.clone(), Leads::Itself).await;
    let core_1 = Core::start(&ca, "core-1", ANY.parse().unwrap(), Arc::default(), Leads::Other("core-2")).await;
    let core_3 = Core::start(&ca, "core-3", ANY.parse().unwrap(), Arc::default(), Leads::Other("core-2")).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
    let cores = [("core-1", core_1.addr), ("core-2", leader.addr), ("core-3", core_3.addr)];
    link(&nord, &ca.issue(Role::Box, "nord").unwrap(), &cores);
    let head = log.lock().head();
    eventually(&nord, |nord| nord.store.status().0 == head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_of_another_ca_or_name_is_not_believed() {
    let (folder, ca, foreign) = (tempfile::tempdir().unwrap(), Ca::generate().unwrap(), Ca::generate().unwrap());
    let log = Arc::new(Mutex::new(Log::with_school()));
    let impostor = Core::start(&foreign, "core-1", ANY.parse().unwrap(), log.clone(), Leads::Itself).await;
    let misnamed = Core::start(&ca, "core-9", ANY.parse().unwrap(), log.clone(), Leads::Itself).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
    let identity = ca.issue(Role::Box, "nord").unwrap();
    link(&nord, &identity, &[("core-1", impostor.addr), ("core-1", misnamed.addr)]);
    // Both are tried and fail; then the right one appears at the place of the second.
    let (addr, log) = misnamed.stop();
    assert!(!nord.store.is_online());
    let core = Core::start(&ca, "core-1", addr, log, Leads::Itself).await;
    eventually(&nord, |nord| nord.store.is_online()).await;
    assert_eq!(impostor.endpoint.open_connections(), 0);
    drop((core, impostor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_box_of_a_school_with_much_history_gets_its_state_and_goes_on_with_entries() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::generate().unwrap());
    let mut history = Log::with_school();
    for seq in 1..=3_000 {
        history.act("eva", "eva-old", seq, Body::post(id("7a"), format!("message {seq}")));
    }
    let core = Core::start(&ca, "core-1", ANY.parse().unwrap(), Arc::new(Mutex::new(history)), Leads::Itself).await;
    let nord = Nord::with(Options::in_folder(folder.path()), folder.path(), Log::default());
    link(&nord, &ca.issue(Role::Box, "nord").unwrap(), &[("core-1", core.addr)]);
    let head = core.log.lock().head();
    eventually(&nord, |nord| nord.store.status().0 == head).await;
    core.act(1, "after the state");
    eventually(&nord, |nord| nord.store.status().0.0 == head.0 + 1).await;
    let ali = Browser::signed_in(&nord, "ali", "ali-1").await;
    let page: Page<MessageView> = ali.get("/api/rooms/7a/messages?limit=2").await.ok();
    let texts: Vec<&str> = page.items.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["message 3000", "after the state"]);
}
