//! A core of one node that keeps the logs of some schools in memory, over real QUIC with certificates.

use super::{Log, browser::PATIENCE};
use parking_lot::Mutex;
use schulhof_edge::config::Core as Address;
use schulhof_net::{
    identity::{Ca, PeerIdentity, Role},
    quic::{Endpoint, FrameReader, FrameWriter, Options},
};
use schulhof_sync::{CoreSession, Peer};
use schulhof_wire::{
    LogIndex, SchoolId,
    node::{ALPN_SYNC, ToBox, ToCore},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{sync::watch, task::JoinHandle};

pub type Logs = BTreeMap<SchoolId, Arc<Mutex<Log>>>;

pub struct Core {
    pub addr: SocketAddr,
    pub logs: Logs,
    /// Streams that were opened, over all.
    pub streams: Arc<AtomicUsize>,
    endpoint: Endpoint,
    /// Counts changes of any log.
    grown: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Core {
    /// On a port that may have been another's before.
    pub async fn start(ca: &Ca, listen: SocketAddr, logs: Logs) -> Self {
        let identity = ca.issue(Role::Core, "core-1").unwrap();
        let began = std::time::Instant::now();
        let endpoint = loop {
            match Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[ALPN_SYNC] }) {
                Ok(endpoint) => break endpoint,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        let (grown, _) = watch::channel(0);
        let streams = Arc::new(AtomicUsize::new(0));
        let addr = endpoint.local_addr().unwrap();
        let accepting = accept(endpoint.clone(), logs.clone(), grown.clone(), streams.clone());
        Self { addr, logs, streams, endpoint, grown, task: tokio::spawn(accepting) }
    }

    pub fn address(&self) -> Address {
        Address { name: super::id("core-1"), addr: self.addr }
    }

    pub fn stop(self) -> (SocketAddr, Logs) {
        self.endpoint.close("stopped");
        self.task.abort();
        (self.addr, self.logs)
    }

    /// Somebody wrote into a log by another way.
    pub fn grew(&self) {
        self.grown.send_modify(|count| *count += 1);
    }
}

async fn accept(endpoint: Endpoint, logs: Logs, grown: watch::Sender<u64>, streams: Arc<AtomicUsize>) {
    while let Some(handshake) = endpoint.accept().await {
        let Ok(accepted) = handshake.finish().await else { continue };
        let (logs, grown, streams) = (logs.clone(), grown.clone(), streams.clone());
        tokio::spawn(async move {
            while let Ok((send, receive)) = accepted.connection.accept_bi().await {
                streams.fetch_add(1, Ordering::Relaxed);
                let (reader, writer) = (FrameReader::new(receive), FrameWriter::new(send));
                tokio::spawn(serve(accepted.peer.clone(), reader, writer, logs.clone(), grown.clone()));
            }
        });
    }
}

async fn serve(
    peer: PeerIdentity,
    mut reader: FrameReader<ToCore>,
    mut writer: FrameWriter<ToBox>,
    logs: Logs,
    grown: watch::Sender<u64>,
) {
    let Ok(Some(hello)) = reader.read().await else { return };
    let ToCore::Hello { school, .. } = &hello else { panic!("a hello comes first") };
    let Some(log) = logs.get(school) else {
        let refused = ToBox::Refused { code: "unknown-school".into(), detail: String::new() };
        let _ = writer.write(&refused).await;
        return writer.delivered().await;
    };
    let peer = peer.school().map_or(Peer::Gateway, Peer::Box);
    let mut growing = grown.subscribe();
    let head = log.lock().head();
    let mut session = match CoreSession::accept(&hello, &peer, LogIndex(1), head) {
        Ok(session) => session,
        Err(refusal) => {
            let _ = writer.write(&refusal.0).await;
            return writer.delivered().await;
        }
    };
    if session.wants_snapshot() {
        let welcome = session.poll_transmit(|_, _| Vec::new()).expect("first the welcome");
        let chunks = log.lock().chunks(session.school());
        let frames = std::iter::once(welcome).chain(chunks.iter().map(|chunk| session.snapshot(chunk)));
        for frame in frames.collect::<Vec<_>>() {
            if writer.write(&frame).await.is_err() {
                return;
            }
        }
    }
    loop {
        session.head_moved(log.lock().head());
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
                    grown.send_modify(|count| *count += 1);
                }
            }
            _ = growing.changed() => {}
        }
    }
}
