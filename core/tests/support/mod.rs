//! Core nodes in one process, over real QUIC on loopback, and clients for them.
#![allow(dead_code)] // each test file uses its part

pub mod load;

use schulhof_core::{
    Config, Node,
    config::{Node as Member, School},
    raft::types::Group,
    state::place::Stage,
};
use schulhof_net::{
    identity::{Ca, Role, SEAL_FILE, SealKey},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_school::{Actor, Body, Operation, Role as SchoolRole, view};
use schulhof_wire::{
    AccountId, DeviceId, Hlc, LogIndex, NodeName, RoomId, SchoolId, Seq,
    admin::{self, ALPN_ADMIN, Answer, Ask, Request},
    blob::{ALPN_BLOB, FromBlob, ToBlob},
    node::{ALPN_SYNC, EncodedOperation, Entry, SYNC_VERSION_MIN, ToBox, ToCore},
};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;

/// Short enough for tests, long enough for a busy machine.
pub const HEARTBEAT_MS: u64 = 100;
/// Whatever is waited for has come within this time, or never will.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until there is something.
pub async fn eventually<R>(what: &str, mut poll: impl AsyncFnMut() -> Option<R>) -> R {
    let wait = async {
        loop {
            if let Some(found) = poll().await {
                return found;
            }
            // Not a wait for a fixed time: the pause of a poll.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

pub struct Cluster {
    pub ca: Ca,
    dir: TempDir,
    pub configs: Vec<Config>,
    pub nodes: Vec<Option<Node>>,
    prepared: Vec<(usize, Endpoint)>,
}

impl Cluster {
    /// Three nodes with two groups; `nord` is in group 1, `sued` in group 2.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl Fn(&mut Config)) -> Self {
        if std::env::var_os("SCHULHOF_TEST_LOG").is_some() {
            schulhof_net::observe::init_tracing(false);
        }
        let ca = Ca::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<NodeName> = (1..=3).map(|i| NodeName::new(format!("core-{i}")).unwrap()).collect();
        let mut configs = Vec::new();
        let mut endpoints = Vec::new();
        let seal = dir.path().join("seal");
        SealKey::create(&seal).unwrap();
        for name in &names {
            let home = dir.path().join(name.as_str());
            ca.issue(Role::Core, name.as_str()).unwrap().save(&home.join("identity")).unwrap();
            std::fs::copy(seal.join(SEAL_FILE), home.join("identity").join(SEAL_FILE)).unwrap();
            let school = |id: &str, group| School { id: SchoolId::new(id).unwrap(), name: None, group };
            let mut config = Config {
                name: name.clone(),
                identity: home.join("identity"),
                data: home.join("data"),
                quic: SocketAddr::from(([127, 0, 0, 1], 0)),
                admin: SocketAddr::from(([127, 0, 0, 1], 0)),
                groups: 2,
                heartbeat_ms: HEARTBEAT_MS,
                purge_every: 10_000,
                keep_entries: 50_000,
                keep_days: 14,
                snapshot_every: 10_000,
                state_cache_mib: 8,
                objects: schulhof_core::objects::Config::default(),
                join: false,
                nodes: Vec::new(),
                schools: vec![school("nord", 1), school("sued", 2)],
            };
            change(&mut config);
            let endpoint = Node::bind(&config).unwrap();
            config.quic = endpoint.local_addr().unwrap();
            configs.push(config);
            endpoints.push(endpoint);
        }
        let members: Vec<Member> = (1..)
            .zip(&configs)
            .map(|(id, config)| Member { id, name: config.name.clone(), addr: config.quic })
            .collect();
        for config in &mut configs {
            config.nodes.clone_from(&members);
        }
        let mut nodes = Vec::new();
        for (config, endpoint) in configs.iter().zip(endpoints) {
            nodes.push(Some(Node::start_on(config.clone(), endpoint).await.unwrap()));
        }
        let cluster = Self { ca, dir, configs, nodes, prepared: Vec::new() };
        eventually("all know where the schools are", async || {
            cluster.running().all(|node| node.groups().view().borrow().schools.len() == 2).then_some(())
        })
        .await;
        cluster
    }

    /// A node that is to be added: configured and bound, not started, unknown to the others. Gives its place in `nodes`.
    pub fn prepare(&mut self, name: &str) -> usize {
        let home = self.dir.path().join(name);
        self.ca.issue(Role::Core, name).unwrap().save(&home.join("identity")).unwrap();
        let mut config = self.configs[0].clone();
        config.name = NodeName::new(name).unwrap();
        config.identity = home.join("identity");
        config.data = home.join("data");
        config.quic.set_port(0);
        config.join = true;
        config.schools.clear();
        let endpoint = Node::bind(&config).unwrap();
        config.quic = endpoint.local_addr().unwrap();
        self.prepared.push((self.configs.len(), endpoint));
        self.configs.push(config);
        self.nodes.push(None);
        self.configs.len() - 1
    }

    pub async fn start_prepared(&mut self, at: usize) {
        let found = self.prepared.iter().position(|(prepared, _)| *prepared == at).expect("it was prepared");
        let (_, endpoint) = self.prepared.remove(found);
        let starting = tokio::time::timeout(PATIENCE, Node::start_on(self.configs[at].clone(), endpoint));
        self.nodes[at] = Some(starting.await.expect("the node is told its number").unwrap());
    }

    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    /// Which node leads a group, as all running nodes see it.
    pub async fn leader(&self, group: u32) -> usize {
        eventually("a leader that all see", async || {
            let mut leaders = self.running().map(|node| {
                let status = node.groups().status();
                status.into_iter().find(|s| s.group == Group(group)).and_then(|s| s.leader)
            });
            let first = leaders.next()??;
            if !leaders.all(|leader| leader.as_ref() == Some(&first)) {
                return None;
            }
            let at = self.configs.iter().position(|config| config.name == first)?;
            self.nodes[at].as_ref().map(|_| at)
        })
        .await
    }

    pub async fn stop(&mut self, at: usize) {
        self.nodes[at].take().expect("the node runs").shutdown().await;
    }

    /// Starts a stopped node; its files may be let go of a little later than it says.
    pub async fn restart(&mut self, at: usize) {
        let config = self.configs[at].clone();
        let node = eventually("the node starts again", async || Node::start(config.clone()).await.ok()).await;
        self.nodes[at] = Some(node);
    }

    /// A school at its beginning, then a box that writes so many operations in it; where its log ends.
    pub async fn write_history(&self, school: &SchoolId, count: u64) -> LogIndex {
        let seed = seed();
        let begun =
            self.client(Role::Operator, "up").session(school, LogIndex(0)).await.write(&seed, LogIndex(0)).await;
        let history: Vec<Operation> =
            std::iter::once(room("d-1")).chain((2..=count).map(|n| message("d-1", n))).collect();
        self.client(Role::Box, school.as_str()).session(school, begun).await.write(&history, begun).await
    }

    pub fn client(&self, role: Role, name: &str) -> Client {
        let identity = self.ca.issue(role, name).unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] }).unwrap();
        Client { endpoint, nodes: self.configs.iter().map(|c| (c.name.clone(), c.quic)).collect() }
    }

    /// Asks one node after the other at the admin door until one answers.
    pub async fn ask(&self, ask: Ask) -> Answer {
        let operator = self.client(Role::Operator, "up");
        let request = Request { version: admin::VERSION, ask };
        let running: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_some()).collect();
        let mut turn = 0;
        eventually("an answer", async || {
            turn += 1;
            let connection = operator.admin(running[turn % running.len()]).await?;
            match ask_on(&connection, &request).await? {
                Answer::Redirect { .. } | Answer::Busy { .. } => None,
                answer => Some(answer),
            }
        })
        .await
    }

    /// As somebody with an identity of their own.
    pub fn client_of(&self, endpoint: Endpoint) -> Client {
        Client { endpoint, nodes: self.configs.iter().map(|c| (c.name.clone(), c.quic)).collect() }
    }

    /// Hash of a school's state on each running node, once all have applied up to the index.
    pub async fn hashes(&self, school: &SchoolId, head: LogIndex) -> Vec<[u8; 32]> {
        self.hashes_in(self.configs[0].placement()[school], school, head).await
    }

    pub async fn hashes_in(&self, group: Group, school: &SchoolId, head: LogIndex) -> Vec<[u8; 32]> {
        let mut hashes = Vec::new();
        for node in self.running() {
            let store = &node.groups().get(group).unwrap().store;
            // A follower may be loading the school still: then nobody watches its head for long.
            let reached = async || {
                let served = store.place(school).unwrap().stage == Stage::Served;
                let applied = *store.head(school).unwrap().borrow();
                (served && applied >= head).then_some(applied)
            };
            assert_eq!(eventually("the node catches up", reached).await, head);
            hashes.push(store.with_school(school, |kv| view::state_hash(kv)).unwrap());
        }
        hashes
    }
}

/// A box or an operator.
pub struct Client {
    endpoint: Endpoint,
    nodes: Vec<(NodeName, SocketAddr)>,
}

/// A session with the leader.
pub struct Session {
    pub head: LogIndex,
    pub writer: FrameWriter<ToCore>,
    pub reader: FrameReader<ToBox>,
    connection: quinn::Connection,
}

/// A stream at the blob door.
pub struct Blobs {
    writer: FrameWriter<ToBlob>,
    reader: FrameReader<FromBlob>,
    _connection: quinn::Connection,
}

impl Blobs {
    pub async fn ask(&mut self, request: &ToBlob) -> FromBlob {
        self.writer.write(request).await.expect("the request is taken");
        let answer = tokio::time::timeout(PATIENCE, self.reader.read()).await.expect("an answer in time");
        answer.expect("an answer that can be read").expect("an answer")
    }
}

impl Client {
    /// Says hello to one node; its first answer.
    pub async fn hello(&self, at: usize, school: &SchoolId, after: LogIndex) -> Option<(ToBox, Session)> {
        self.hello_in(SYNC_VERSION_MIN, at, school, after).await
    }

    async fn hello_in(&self, version: u16, at: usize, school: &SchoolId, after: LogIndex) -> Option<(ToBox, Session)> {
        let connection = self.endpoint.connect(self.nodes[at].1, &Expected::AnyCore, ALPN_SYNC).await.ok()?;
        greet(&connection, version, school, after).await
    }

    pub async fn connect(&self, at: usize) -> quinn::Connection {
        self.connect_to(at, ALPN_SYNC).await
    }

    /// At whichever door.
    pub async fn connect_to(&self, at: usize, alpn: &[u8]) -> quinn::Connection {
        self.endpoint.connect(self.nodes[at].1, &Expected::AnyCore, alpn).await.expect("the node answers")
    }

    /// A stream at a node's blob door, after the hello; and the answer to it.
    pub async fn blobs(&self, at: usize, school: &SchoolId) -> (FromBlob, Blobs) {
        let connecting = self.endpoint.connect(self.nodes[at].1, &Expected::AnyCore, ALPN_BLOB);
        let connection = connecting.await.expect("the node answers");
        let (send, receive) = connection.open_bi().await.expect("a stream opens");
        let (writer, reader) = (FrameWriter::new(send), FrameReader::new(receive));
        let mut blobs = Blobs { writer, reader, _connection: connection };
        let version = schulhof_wire::blob::VERSION;
        (blobs.ask(&ToBlob::Hello { version, school: school.clone() }).await, blobs)
    }

    /// At the admin door.
    pub async fn admin(&self, at: usize) -> Option<quinn::Connection> {
        self.endpoint.connect(self.nodes[at].1, &Expected::AnyCore, ALPN_ADMIN).await.ok()
    }

    /// Follows redirects until a leader welcomes. In the version before: all that is old in it stays as it was.
    pub async fn session(&self, school: &SchoolId, after: LogIndex) -> Session {
        self.session_in(SYNC_VERSION_MIN, school, after).await
    }

    pub async fn session_in(&self, spoken: u16, school: &SchoolId, after: LogIndex) -> Session {
        let mut at = 0;
        eventually("a leader that welcomes", async || {
            match self.hello_in(spoken, at, school, after).await {
                Some((ToBox::Welcome { version, head }, session)) => {
                    assert_eq!(version, spoken);
                    return Some(Session { head, ..session });
                }
                Some((ToBox::Redirect { leader: Some(leader) }, _)) => {
                    at = self.nodes.iter().position(|(name, _)| *name == leader).expect("a configured node");
                }
                Some((ToBox::RedirectTo { leader, address }, _)) => {
                    at = self.nodes.iter().position(|node| *node == (leader.clone(), address)).expect("its address");
                }
                Some((ToBox::Redirect { leader: None }, _)) | None => at = (at + 1) % self.nodes.len(),
                Some((other, _)) => panic!("unexpected: {other:?}"),
            }
            None
        })
        .await
    }

    pub async fn refused(&self, at: usize, school: &SchoolId, after: LogIndex) -> String {
        match self.hello(at, school, after).await {
            Some((ToBox::Refused { code, .. }, _)) => code,
            other => panic!("not refused, but {:?}", other.map(|(frame, _)| frame)),
        }
    }
}

/// One request at the admin door.
pub async fn ask_on(connection: &quinn::Connection, request: &Request) -> Option<Answer> {
    let (send, receive) = connection.open_bi().await.ok()?;
    let mut writer = FrameWriter::new(send);
    writer.write(request).await.ok()?;
    FrameReader::new(receive).read().await.ok()?
}

async fn greet(
    connection: &quinn::Connection,
    version: u16,
    school: &SchoolId,
    after: LogIndex,
) -> Option<(ToBox, Session)> {
    let (send, receive) = connection.open_bi().await.ok()?;
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(receive));
    let hello = ToCore::Hello { version, software: "test".into(), school: school.clone(), after };
    writer.write(&hello).await.ok()?;
    let answer = reader.read().await.ok()??;
    Some((answer, Session { head: LogIndex(0), writer, reader, connection: connection.clone() }))
}

/// Says hello on a further stream of a connection; the first answer.
pub async fn hello_on(connection: &quinn::Connection, school: &SchoolId, after: LogIndex) -> (ToBox, Session) {
    let greeted = tokio::time::timeout(PATIENCE, greet(connection, SYNC_VERSION_MIN, school, after));
    greeted.await.expect("an answer in time").expect("the stream opens and is answered")
}

impl Session {
    pub fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// The next frame; `None` when the session is over.
    pub async fn next(&mut self) -> Option<ToBox> {
        tokio::time::timeout(PATIENCE, self.reader.read()).await.expect("a frame in time").ok().flatten()
    }

    pub async fn submit(&mut self, batch: u64, operations: &[Operation]) {
        let operations = operations.iter().map(|op| EncodedOperation(op.encode())).collect();
        self.writer.write(&ToCore::Submit { batch, operations }).await.unwrap();
    }

    /// Submits in batches, each when the one before is committed; the index after them.
    pub async fn write(&mut self, operations: &[Operation], mut after: LogIndex) -> LogIndex {
        for (batch, operations) in (1..).zip(operations.chunks(500)) {
            self.submit(batch, operations).await;
            self.collect(Some(batch), operations.len(), after).await;
            after.0 += operations.len() as u64;
        }
        after
    }

    /// Reads until the batch is committed and this many entries have come; checks that they have no gaps.
    pub async fn collect(&mut self, batch: Option<u64>, count: usize, after: LogIndex) -> Vec<Entry> {
        let (mut entries, mut committed) = (Vec::new(), batch.is_none());
        while !committed || entries.len() < count {
            match self.next().await.expect("the session goes on") {
                ToBox::Entries { entries: more } => entries.extend(more),
                // After a state: nothing was rejected before it.
                ToBox::Verdicts { entries } => assert_eq!(entries, []),
                ToBox::Committed { batch: done } => {
                    assert_eq!(Some(done), batch);
                    committed = true;
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        let indices: Vec<u64> = entries.iter().map(|entry| entry.index.0).collect();
        assert_eq!(indices, (after.0 + 1..).take(count).collect::<Vec<_>>(), "gapless, in order, once");
        entries
    }
}

pub fn school(id: &str) -> SchoolId {
    SchoolId::new(id).unwrap()
}

fn operation(device: &str, seq: u64, actor: Actor, body: Body) -> Operation {
    Operation { device: DeviceId::new(device).unwrap(), seq: Seq(seq), actor, at: Hlc::from_ms(1_000 + seq), body }
}

pub const TEACHER: &str = "t-weber";
pub const ROOM: &str = "r-lehrer";

/// What an operator does first: a name and a teacher.
pub fn seed() -> Vec<Operation> {
    let account = Body::AccountCreate {
        account: AccountId::new(TEACHER).unwrap(),
        login: "m.weber".into(),
        name: "Maria Weber".into(),
        role: SchoolRole::Teacher,
        password: "$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo".into(),
    };
    let name = Body::SchoolName { name: "Nordschule".into() };
    vec![operation("op-seed", 1, Actor::Operator, name), operation("op-seed", 2, Actor::Operator, account)]
}

/// The teacher's room, with number 1 of the device; then messages.
pub fn room(device: &str) -> Operation {
    let body = Body::RoomCreate { room: RoomId::new(ROOM).unwrap(), name: "Lehrer".into(), members: vec![] };
    operation(device, 1, Actor::Account(AccountId::new(TEACHER).unwrap()), body)
}

pub fn message(device: &str, seq: u64) -> Operation {
    let body = Body::post(RoomId::new(ROOM).unwrap(), format!("Nachricht {seq} von {device}"));
    operation(device, seq, Actor::Account(AccountId::new(TEACHER).unwrap()), body)
}

pub fn decoded(entries: &[Entry]) -> Vec<Operation> {
    entries.iter().map(|entry| Operation::decode(&entry.operation.0).unwrap()).collect()
}
