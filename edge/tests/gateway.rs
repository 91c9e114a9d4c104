//! The gateway with two schools, over real QUIC to a core of one node that keeps its logs in memory.

mod support;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header},
};
use futures_util::{StreamExt as _, future::join_all};
use parking_lot::Mutex;
use schulhof_edge::{
    clock::{Monotonic, unix_ms},
    dial::Pool,
    door::{Passes, Passwords},
    gateway::{
        config::{Config, School},
        door::{self, Door},
        folder::Folder,
        tenant::Ground,
        tenants::{Limits, Tenants},
    },
    session::{Session, SessionKey},
    stop,
};
use schulhof_net::{
    identity::{Ca, Role},
    quic::{Endpoint, Options},
};
use schulhof_placement::TicketKey;
use schulhof_school::{Body as Op, view::MessageView};
use schulhof_wire::{
    api::{Page, SessionView, SubmitAnswer},
    pass::GatewayView,
    problem::Problem,
    ticket::NodeKind,
};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use support::{
    Log, PASSWORD, ROOM,
    browser::PATIENCE,
    core::{Core, Logs},
    id, ticket_key,
};
use tokio_tungstenite::tungstenite;
use tower::ServiceExt as _;

const ANY: &str = "127.0.0.1:0";
const BOX: &str = "http://localhost:8080";
const NORD: &str = "nord.gateway.example";
const SUED: &str = "sued.gateway.example";
/// More than a test takes.
const LONG: u64 = 3_600_000;

struct World {
    ca: Ca,
    folder: tempfile::TempDir,
    core: Core,
}

impl World {
    /// nord and sued have the same people.
    async fn new() -> Self {
        let ca = Ca::generate().unwrap();
        let logs: Logs = ["nord", "sued"].map(|name| (id(name), Arc::new(Mutex::new(Log::with_school())))).into();
        let core = Core::start(&ca, ANY.parse().unwrap(), logs).await;
        Self { ca, folder: tempfile::tempdir().unwrap(), core }
    }

    fn gateway(&self) -> Gateway {
        self.gateway_with(Limits { open_max: 10, idle_ms: LONG, disk_bytes: u64::MAX })
    }

    fn gateway_with(&self, limits: Limits) -> Gateway {
        Gateway::start(&self.ca, self.folder.path(), &self.core, limits)
    }

    fn head(&self, school: &str) -> u64 {
        self.core.logs[&id(school)].lock().head().0
    }
}

struct Gateway {
    tenants: Arc<Tenants>,
    router: Router,
    stop: stop::Stopper,
    stopping: stop::Stop,
}

fn config(core: &Core) -> Config {
    let school =
        |name: &str| School { id: id(name), url: None, keys: vec![ticket_key().public()], boxes: vec![BOX.into()] };
    let other = School { keys: vec![TicketKey::generate(&[9; 32]).public()], ..school("sued") };
    Config {
        name: id("gateway-1"),
        http: vec![ANY.parse().unwrap()],
        url: Some("https://{school}.gateway.example".into()),
        tls: None,
        data: "unused".into(),
        disk_mib: 1,
        open_max: 1,
        idle_s: 1,
        store_cache_mib: 1,
        identity: "unused".into(),
        admin: ANY.parse().unwrap(),
        core: vec![core.address()],
        relay: vec![],
        school: vec![school("nord"), other, school("gone")],
    }
}

impl Gateway {
    fn start(ca: &Ca, folder: &Path, core: &Core, limits: Limits) -> Self {
        let identity = ca.issue(Role::Gateway, "gateway-1").unwrap();
        let listen = ANY.parse().unwrap();
        let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] }).unwrap();
        let config = config(core);
        assert_eq!(config.check(), Ok(()));
        let ground = Arc::new(Ground {
            folder: Folder::open(folder.join("tenants")).unwrap(),
            pool: Pool::new(endpoint.clone()),
            depot: Arc::new(schulhof_edge::blob::CoreDepot::new(endpoint, &config.core).unwrap()),
            cores: config.core.clone(),
            relays: vec![],
            ticket_key: Arc::new(TicketKey::generate(&[8; 32])),
            passwords: Passwords::new(),
            store_cache_bytes: 1 << 20,
            clock: Monotonic::start(),
        });
        let tenants = Tenants::new(ground, door::plots(&config), limits).unwrap();
        let router = door::router(Door::new(&config, tenants.clone()));
        let (stop, stopping) = stop::channel();
        tokio::spawn(tenants.clone().keep(stopping.clone()));
        Self { tenants, router, stop, stopping }
    }

    /// In order, as after an order to stop.
    async fn stop(self) {
        self.stop.stop();
        self.tenants.close_all().await;
    }

    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(schulhof_edge::serve::serve(listener, None, self.router.clone(), self.stopping.clone()));
        addr
    }

    fn open(&self) -> usize {
        self.tenants.sums().0
    }
}

/// The pass that nord's box gives to an account.
fn pass(log: &Log, account: &str) -> String {
    let hash = log.password(account);
    let session = Session::new(id(account), &hash, unix_ms());
    let passes = Passes { url: format!("https://{NORD}"), key: Arc::new(ticket_key()) };
    let GatewayView { pass, .. } = passes.give(&id("nord"), &SessionKey::of(account), &session, unix_ms());
    pass
}

/// A browser whose page is the box's, or the gateway's own.
#[derive(Clone)]
struct Visitor {
    router: Router,
    host: &'static str,
    headers: HeaderMap,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn ok<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> Problem {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.status));
        assert_eq!((self.status.as_u16(), problem.code.as_str()), (status, code));
        problem
    }
}

impl Visitor {
    fn at(gateway: &Gateway, host: &'static str) -> Self {
        Self { router: gateway.router.clone(), host, headers: HeaderMap::new() }
    }

    fn with(mut self, name: header::HeaderName, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// A page of the box, with a pass.
    fn with_pass(self, pass: &str) -> Self {
        self.with(header::AUTHORIZATION, &format!("Bearer {pass}")).with(header::ORIGIN, BOX)
    }

    async fn send(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        let headers = request.headers_mut().unwrap();
        headers.clone_from(&self.headers);
        headers.insert(header::HOST, self.host.parse().unwrap());
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        }
        let mut request = request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 50_000))));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// Asks again while the school is being loaded, as browsers do.
    async fn get_loaded(&self, path: &str) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(path).await;
                if !String::from_utf8_lossy(&answer.body).contains("\"loading\"") {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the school is loaded in time")
    }

    async fn say(&self, seq: u64, text: &str) -> SubmitAnswer {
        let operation =
            json!({"seq": seq, "at": seq << 10, "body": {"type": "message.post", "room": ROOM, "text": text}});
        let body = json!({"device": "eva-1", "operations": [operation]});
        self.send("POST", "/api/operations", Some(body)).await.ok()
    }

    async fn texts(&self) -> Vec<String> {
        let page: Page<MessageView> = self.get_loaded(&format!("/api/rooms/{ROOM}/messages?limit=100")).await.ok();
        page.items.into_iter().map(|message| message.text).collect()
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

fn eva(world: &World, gateway: &Gateway) -> Visitor {
    let pass = pass(&world.core.logs[&id("nord")].lock(), "eva");
    Visitor::at(gateway, NORD).with_pass(&pass)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_of_the_box_opens_its_own_school_and_no_other() {
    let world = World::new().await;
    let gateway = world.gateway();
    let eva = eva(&world, &gateway);
    let view: SessionView = eva.get_loaded("/api/session").await.ok();
    assert_eq!((view.school.as_str(), view.account.as_str()), ("nord", "eva"));
    assert_eq!((view.served_by.as_str(), view.served_by_kind), ("gateway-1", NodeKind::Gateway));
    assert!(view.gateway.is_none(), "there is no further one");

    let at_sued = Visitor { host: SUED, ..eva.clone() };
    at_sued.get("/api/session").await.refused(403, "pass-other-school");
    assert_eq!(gateway.open(), 1, "a pass that opens nothing opens no file either");
    let forged = Visitor::at(&gateway, NORD).with_pass("e30.AAAA");
    assert_eq!(forged.get("/api/session").await.status, StatusCode::UNAUTHORIZED);
    let locked = pass(&world.core.logs[&id("nord")].lock(), "leo");
    Visitor::at(&gateway, NORD).with_pass(&locked).get("/api/session").await.refused(401, "not-signed-in");
    Visitor { host: "gateway.example", ..eva }.get("/api/session").await.refused(404, "unknown-school");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_at_home_sign_in_at_the_gateway_itself() {
    let world = World::new().await;
    let gateway = world.gateway();
    let page = Visitor::at(&gateway, SUED).get("/").await;
    assert_eq!((page.status, gateway.open()), (StatusCode::OK, 0), "its files need no school");
    assert!(page.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    let own = Visitor::at(&gateway, SUED).with(header::ORIGIN, &format!("https://{SUED}"));
    own.get_loaded("/api/session").await.refused(401, "not-signed-in");
    let login = json!({"login": "ali", "password": PASSWORD});
    let answer = own.send("POST", "/api/login", Some(login.clone())).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-schulhof="), "{cookie}");
    let signed_in = own.clone().with(header::COOKIE, cookie.split(';').next().unwrap());
    let view: SessionView = signed_in.get("/api/session").await.ok();
    assert_eq!((view.school.as_str(), view.account.as_str()), ("sued", "ali"));
    // A cookie of one school is nobody at another, and a page of the box may not use it.
    Visitor { host: NORD, ..signed_in.clone() }.get_loaded("/api/session").await.refused(401, "not-signed-in");
    let foreign = signed_in.with(header::ORIGIN, BOX).send("POST", "/api/login", Some(login)).await;
    foreign.refused(403, "foreign-origin");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_box_is_let_in_by_its_exact_origin_and_without_cookies() {
    let world = World::new().await;
    let gateway = world.gateway();
    let asks = |origin: &str| {
        let visitor = Visitor::at(&gateway, NORD).with(header::ORIGIN, origin);
        visitor
            .with(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .with(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
    };
    let answer = asks(BOX).send("OPTIONS", "/api/operations", None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], BOX);
    assert!(answer.headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("authorization"));
    assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    for origin in ["http://localhost:8081", "https://localhost:8080", "null", "http://localhost:8080.evil.example"] {
        let answer = asks(origin).send("OPTIONS", "/api/operations", None).await;
        answer.refused(403, "foreign-origin");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
    }
    // A refusal must be readable for the page, too: else it could not tell "loading" from "gone".
    let answer = Visitor::at(&gateway, NORD).with_pass("nonsense").get("/api/session").await;
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], BOX);
    assert_eq!(answer.headers[header::VARY], "Origin");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_requests_open_a_school_once() {
    let world = World::new().await;
    let gateway = world.gateway();
    let eva = eva(&world, &gateway);
    let answers = join_all((0..40).map(|_| eva.get_loaded("/api/rooms"))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!((gateway.open(), gateway.tenants.places().0), (1, 1));
    assert_eq!(world.core.streams.load(Ordering::Relaxed), 1, "one stream to the core");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_at_the_gateway_is_ordered_and_told_live() {
    let world = World::new().await;
    let gateway = world.gateway();
    let eva = eva(&world, &gateway);
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    let addr = gateway.listen().await;
    let pass = pass(&world.core.logs[&id("nord")].lock(), "ali");
    let mut request =
        tungstenite::client::IntoClientRequest::into_client_request(format!("ws://{addr}/api/events")).unwrap();
    let to = request.headers_mut();
    to.insert(header::HOST, NORD.parse().unwrap());
    to.insert(header::ORIGIN, BOX.parse().unwrap());
    to.insert(header::SEC_WEBSOCKET_PROTOCOL, format!("schulhof, bearer.{pass}").parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "schulhof");

    let before = world.head("nord");
    let answer = eva.say(1, "über die Cloud").await;
    assert_eq!(answer.marks.saved.0, 1);
    eventually("the core has it", || world.head("nord") == before + 1).await;
    let told = async {
        while let Some(Ok(message)) = socket.next().await {
            let text = message.into_text().unwrap();
            if text.contains("über die Cloud") && text.contains(&format!("\"index\":{}", before + 1)) {
                return;
            }
        }
        panic!("the stream ended");
    };
    tokio::time::timeout(PATIENCE, told).await.expect("told in time, with its index");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_that_nobody_uses_is_closed_and_served_again_from_its_file() {
    let world = World::new().await;
    let gateway = world.gateway_with(Limits { open_max: 10, idle_ms: 200, disk_bytes: u64::MAX });
    let eva = eva(&world, &gateway);
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    eva.say(1, "vorher").await;
    eventually("it is closed", || gateway.open() == 0 && gateway.tenants.places().0 == 0).await;
    let mark = world.folder.path().join("tenants/nord/unfinished");
    // It goes after the place is free again.
    eventually("nothing waits in it", || !mark.exists()).await;

    // The core is gone: what was whole once is served as it is, after a moment in which the core could have answered.
    let World { core, .. } = &world;
    core.logs[&id("nord")].lock().act("weber", "elsewhere", 1, Op::post(id(ROOM), "inzwischen"));
    let (addr, logs) = world.core.stop();
    assert_eq!(eva.texts().await, ["vorher"]);
    eva.say(2, "ohne Core").await;
    // It stays open while something waits, however long nobody uses it.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(gateway.tenants.sums(), (1, 1, 1), "open, offline, waiting");
    let core = Core::start(&world.ca, addr, logs).await;
    eventually("it is handed over and closed", || gateway.open() == 0).await;
    let log = core.logs[&id("nord")].lock();
    let last: Vec<_> = log.entries[log.entries.len() - 3..]
        .iter()
        .map(|e| String::from_utf8_lossy(&e.operation.0).into_owned())
        .collect();
    assert!(last[0].contains("vorher") && last[1].contains("inzwischen") && last[2].contains("ohne Core"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_that_waited_at_a_gateway_that_died_arrive_without_anybody_asking() {
    let world = World::new().await;
    let gateway = world.gateway();
    let eva = eva(&world, &gateway);
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    let (addr, logs) = world.core.stop();
    eventually("the core is missed", || gateway.tenants.sums().1 == 1).await;
    eva.say(1, "vor dem Ende").await;
    drop(eva);
    // Closed with something waiting leaves the same mark as a crash.
    gateway.stop().await;
    assert!(world.folder.path().join("tenants/nord/unfinished").exists());

    let core = Core::start(&world.ca, addr, logs).await;
    let before = core.logs[&id("nord")].lock().head().0;
    let limits = Limits { open_max: 10, idle_ms: LONG, disk_bytes: u64::MAX };
    let gateway = Gateway::start(&world.ca, world.folder.path(), &core, limits);
    eventually("it arrives", || core.logs[&id("nord")].lock().head().0 == before + 1).await;
    gateway.stop().await;
    assert!(!world.folder.path().join("tenants/nord/unfinished").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_place_is_in_use_a_further_school_is_told_to_come_back() {
    let world = World::new().await;
    let gateway = world.gateway_with(Limits { open_max: 1, idle_ms: 100, disk_bytes: u64::MAX });
    let eva = eva(&world, &gateway);
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    let addr = gateway.listen().await;
    let mut request =
        tungstenite::client::IntoClientRequest::into_client_request(format!("ws://{addr}/api/events")).unwrap();
    request.headers_mut().extend(eva.headers.clone());
    request.headers_mut().insert(header::HOST, NORD.parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();

    let sued = Visitor::at(&gateway, SUED);
    let problem = sued.get("/api/session").await.refused(503, "busy");
    assert!(problem.retry_after_s.is_some_and(|seconds| seconds > 0));
    drop(socket);
    let asking = async {
        while sued.get("/api/session").await.status != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("the place of the school that nobody uses any more is given away");
    assert_eq!(gateway.open(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_that_the_core_does_not_have_is_unknown() {
    let world = World::new().await;
    let gateway = world.gateway();
    Visitor::at(&gateway, "gone.gateway.example").get_loaded("/api/session").await.refused(404, "unknown-school");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_put_aside_and_the_school_loaded_anew() {
    let world = World::new().await;
    let gateway = world.gateway();
    let path = world.folder.path().join("tenants/nord");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("box.redb"), b"no database of any kind".repeat(1_000)).unwrap();
    eva(&world, &gateway).get_loaded("/api/session").await.ok::<SessionView>();
    assert!(path.join("box.redb.damaged").exists());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_closed_schools_go_when_they_take_too_much() {
    let world = World::new().await;
    let gateway = world.gateway_with(Limits { open_max: 10, idle_ms: 200, disk_bytes: 0 });
    let eva = eva(&world, &gateway);
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    gateway.tenants.make_room_on_disk().await;
    assert!(world.folder.path().join("tenants/nord/box.redb").exists(), "an open school keeps its file");
    eventually("it is closed", || gateway.open() == 0 && gateway.tenants.places().0 == 0).await;
    gateway.tenants.make_room_on_disk().await;
    assert!(!world.folder.path().join("tenants/nord").exists());
    eva.get_loaded("/api/session").await.ok::<SessionView>();
    gateway.stop().await;
}
