//! A school for tests: its log without a core, a box around a temporary folder, and browsers.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod browser;
pub mod core;
pub mod depot;

use depot::Depot;
use parking_lot::Mutex;
use schulhof_edge::{
    app::{App, Parts},
    blob::{self, Blobs},
    cache::SledCache,
    clock::Monotonic,
    config::Config,
    door::{self, Passes, Passwords},
    live::Hub,
    placement::{OwnNode, Placement, Reservations},
    stop,
    store::{self, FreeSpace, Opener, Store, journal::BlocksOpener},
};
use schulhof_placement::{Budget, TicketKey};
use schulhof_school::{Actor, Body, GroupKind, Kv as _, MemoryKv, Operation, Role, view};
use schulhof_sync::{Ordered, order};
use schulhof_wire::{
    AccountId, DeviceId, GroupId, Hlc, LogIndex, SchoolId, Seq,
    chunk::{SchoolChunk, Summary},
    node::{EncodedOperation, Entry, SYNC_VERSION, ToBox, ToCore},
    ticket::{MediaNode, NodeKind},
};
use std::{path::Path, sync::Arc};

pub const PASSWORD: &str = "Kreide-und-Tafel";
pub const ROOM: &str = "7a";

pub fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a valid identifier")
}

pub fn school() -> SchoolId {
    id("nord")
}

pub fn config() -> Config {
    let text = r#"
        name = "nord"
        http = "127.0.0.1:0"
        public_url = "http://localhost:8080"
        data = "unused"
        identity = "unused"
        admin = "127.0.0.1:0"
        core = [{ name = "core-1", addr = "127.0.0.1:1" }]
    "#;
    toml::from_str(text).expect("a valid configuration")
}

/// The school's log as the core keeps it.
#[derive(Clone, Default)]
pub struct Log {
    state: MemoryKv,
    pub entries: Vec<Entry>,
    operator_seq: u64,
}

impl Log {
    /// eva and ali are in class 7a with the teacher weber; sam is in no class; leo is locked.
    pub fn with_school() -> Self {
        let mut log = Self::default();
        let password = door::password::hash(PASSWORD.as_bytes());
        log.operate(Body::SchoolName { name: "Grundschule Nord".into() });
        for (name, role) in [
            ("eva", Role::Pupil),
            ("ali", Role::Pupil),
            ("sam", Role::Pupil),
            ("leo", Role::Pupil),
            ("weber", Role::Teacher),
            ("amt", Role::Admin),
        ] {
            log.operate(Body::AccountCreate {
                account: id(name),
                login: name.into(),
                name: format!("{}{}", name[..1].to_uppercase(), &name[1..]),
                role,
                password: password.clone(),
            });
        }
        log.operate(Body::AccountLock { account: id("leo"), locked: true });
        log.operate(Body::GroupCreate { group: id::<GroupId>(ROOM), name: "Klasse 7a".into(), kind: GroupKind::Class });
        let add: Vec<AccountId> = ["eva", "ali", "weber"].map(id).to_vec();
        log.operate(Body::GroupMembers { group: id(ROOM), add, remove: vec![] });
        log
    }

    pub fn operate(&mut self, body: Body) {
        self.operator_seq += 1;
        let operation = Operation {
            device: id("up"),
            seq: Seq(self.operator_seq),
            actor: Actor::Operator,
            at: Hlc::from_ms(self.operator_seq),
            body,
        };
        let entry = self.order(&operation.encode()).expect("a new operation");
        assert_eq!(entry.rejected, None, "{operation:?}");
    }

    /// Somebody else's operation, by another way than this box.
    pub fn act(&mut self, account: &str, device: &str, seq: u64, body: Body) -> Entry {
        let operation = Operation {
            device: id::<DeviceId>(device),
            seq: Seq(seq),
            actor: Actor::Account(id(account)),
            at: Hlc::from_ms(seq),
            body,
        };
        self.order(&operation.encode()).expect("a new operation")
    }

    pub fn order(&mut self, encoded: &[u8]) -> Option<Entry> {
        match order(&mut self.state, EncodedOperation(encoded.to_vec())).expect("a readable operation") {
            Ordered::Entry { entry, .. } => {
                self.entries.push(entry.clone());
                Some(entry)
            }
            Ordered::Duplicate | Ordered::Gap { .. } => None,
        }
    }

    /// Hash of an account's password.
    pub fn password(&self, account: &str) -> String {
        let account = schulhof_school::view::account(&self.state, &id(account)).expect("an account");
        schulhof_school::view::credentials(&self.state, &account.login).expect("credentials").password
    }

    /// The state in parts, as the core sends it to a replica.
    pub fn chunks(&self, school: &SchoolId) -> Vec<SchoolChunk> {
        let head = self.head();
        let first = LogIndex(head.0 + 1);
        let mut records = Vec::new();
        self.state.scan(&[], &[0xff], false, &mut |key, value| {
            records.push((key.to_vec(), value.to_vec()));
            true
        });
        let count = records.len() as u64;
        let mut chunks = vec![SchoolChunk::Begin { school: school.clone(), head, first }];
        chunks.extend(records.chunks(1_000).map(|part| SchoolChunk::State(part.to_vec())));
        let (state_hash, entries_hash) = (view::state_hash(&self.state), view::StateHasher::default().finish());
        chunks.push(SchoolChunk::End(Summary { head, first, records: count, state_hash, entries_hash }));
        chunks
    }

    pub fn head(&self) -> LogIndex {
        self.entries.last().map_or(LogIndex(0), |entry| entry.index)
    }
}

/// A box with its store in a folder, and the log's other end in the test's hand.
pub struct Nord {
    pub app: Arc<App>,
    pub store: Arc<Store>,
    pub router: axum::Router,
    pub log: Arc<Mutex<Log>>,
    pub depot: Arc<Depot>,
    pub stop: stop::Stopper,
    pub stopping: stop::Stop,
}

pub struct Options {
    pub config: Config,
    pub opener: Opener,
    pub journal: Option<BlocksOpener>,
    pub space: FreeSpace,
    pub relays: Vec<Arc<dyn Reservations>>,
    /// Places of the box's own media node.
    pub own: Option<u32>,
    /// The core's blobs.
    pub depot: Arc<Depot>,
}

impl Options {
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            config: config(),
            opener: store::file(&folder.join("box.redb"), store::MEMORY_BYTES),
            journal: Some(store::journal::file(&folder.join("journal"))),
            space: FreeSpace::of(folder),
            relays: Vec::new(),
            own: None,
            depot: Arc::default(),
        }
    }
}

pub fn ticket_key() -> TicketKey {
    TicketKey::generate(&[7; 32])
}

impl Nord {
    /// With a school of its own, already taken over.
    pub async fn start(folder: &Path) -> Self {
        let nord = Self::with(Options::in_folder(folder), folder, Log::with_school());
        nord.connect().await;
        nord
    }

    pub fn with(options: Options, folder: &Path, log: Log) -> Self {
        let clock = Monotonic::start();
        let opened = match options.journal {
            Some(journal) => Store::open_journaled(school(), options.opener, journal, options.space, clock),
            None => Store::open(school(), options.opener, options.space, clock),
        };
        let (store, notices) = opened.expect("the store opens");
        let store = Arc::new(store);
        let hub = Arc::new(Hub::default());
        let own = options.own.map(|participants| {
            let url = "http://localhost:8480".to_owned();
            let node = MediaNode { name: id("nord"), kind: NodeKind::Box, url };
            OwnNode::new(node, Budget::of_participants(participants))
        });
        let placement = Placement::new(school(), Arc::new(ticket_key()), own, options.relays, store.clone(), clock);
        let (of_hub, weak) = (hub.clone(), Arc::downgrade(&store));
        std::thread::spawn(move || of_hub.run(&weak, &notices, |_| {}));
        let (stop, stopping) = stop::channel();
        let cache = Arc::new(SledCache::open(folder.join("pages")));
        let parts = blob::Parts {
            school: school(),
            folder: &folder.join("blobs"),
            cache_len_max: 64 << 20,
            depot: options.depot.clone(),
            store: store.clone(),
        };
        let blobs = Blobs::open(parts).expect("the folder opens");
        let passes = options.config.gateway_url().map(|url| Passes { url, key: Arc::new(ticket_key()) });
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
        let app = App::new(options.config.site(), parts);
        let router = door::router(app.clone());
        Self { app, store, router, log: Arc::new(Mutex::new(log)), depot: options.depot, stop, stopping }
    }

    /// The line to the core opens, and everything that either side has goes over it.
    pub async fn connect(&self) {
        let ToCore::Hello { after, .. } = self.store.link_connected() else { panic!("a hello comes first") };
        let head = self.log.lock().head();
        self.store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head }).await.expect("welcome");
        self.deliver_after(after).await;
        self.pump().await;
    }

    pub fn disconnect(&self) {
        self.store.link_disconnected();
    }

    /// Everything that waits goes to the core, is ordered there, and comes back.
    pub async fn pump(&self) {
        while let Some(frame) = self.store.link_transmit() {
            let ToCore::Submit { batch, operations } = frame else { continue };
            let before = self.log.lock().head();
            for operation in operations {
                self.log.lock().order(&operation.0);
            }
            self.deliver_after(before).await;
            self.store.link_frame(ToBox::Committed { batch }).await.expect("committed");
        }
    }

    /// Files go to the core in the background. Ends when the box is dropped.
    pub fn carry(&self) {
        tokio::spawn(blob::courier::run(self.app.blobs.clone(), self.stopping.clone()));
    }

    /// Files of the newest messages come in the background. Ends when the box is dropped.
    pub fn prefetch(&self) {
        tokio::spawn(blob::prefetch::run(self.app.blobs.clone(), self.stopping.clone()));
    }

    /// Entries behind an index.
    pub async fn deliver_after(&self, after: LogIndex) {
        let entries: Vec<Entry> = self.log.lock().entries[after.0 as usize..].to_vec();
        for entries in entries.chunks(500) {
            self.store.link_frame(ToBox::Entries { entries: entries.to_vec() }).await.expect("entries fit");
        }
    }

    /// The same folder opened again, as after a restart; `between` happens while the box is down.
    pub fn restart(self, folder: &Path, between: impl FnOnce(&Path)) -> Self {
        let log = std::mem::take(&mut *self.log.lock());
        let weak = Arc::downgrade(&self.store);
        drop(self);
        // Nobody may hold the old store: its file is locked.
        assert!(weak.upgrade().is_none(), "the store is still in use");
        between(folder);
        Self::with(Options::in_folder(folder), folder, log)
    }
}
