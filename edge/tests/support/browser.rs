//! A browser: requests into the router without a socket, and the live stream over a real one.

use super::{Nord, PASSWORD};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{Request, StatusCode, header},
    response::Response,
};
use futures_util::{SinkExt as _, StreamExt as _};
use schulhof_edge::live::LiveEvent;
use schulhof_wire::{api::SubmitAnswer, problem::Problem};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite};
use tower::ServiceExt as _;

/// Long enough for a slow disk; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 16 << 20).await.expect("a whole body");
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error}: {} {}", self.status, String::from_utf8_lossy(&self.body));
        })
    }

    #[track_caller]
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem: Problem = self.json();
        assert_eq!((self.status.as_u16(), problem.status, problem.code.as_str()), (status, status, code));
        problem
    }
}

/// One browser with its cookie and its device.
#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub cookie: Option<String>,
    pub device: String,
    pub seq: u64,
    pub address: SocketAddr,
}

impl Browser {
    pub fn new(nord: &Nord, device: &str) -> Self {
        let address = "192.0.2.1:50000".parse().unwrap();
        Self { router: nord.router.clone(), cookie: None, device: device.to_owned(), seq: 0, address }
    }

    pub async fn signed_in(nord: &Nord, login: &str, device: &str) -> Self {
        let mut browser = Self::new(nord, device);
        let answer = browser.login(login, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        browser
    }

    /// The same browser at a box that was started again.
    pub fn at(mut self, nord: &Nord) -> Self {
        self.router = nord.router.clone();
        self
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(self.address));
        parts.headers.entry(header::HOST).or_insert("localhost:8080".parse().unwrap());
        if let Some(cookie) = &self.cookie {
            parts.headers.insert(header::COOKIE, cookie.parse().unwrap());
        }
        let response = self.router.clone().oneshot(Request::from_parts(parts, body)).await.unwrap();
        Answer::of(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn put(&self, path: &str) -> Answer {
        let request = Request::put(path).header(header::ORIGIN, "http://localhost:8080");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, "http://localhost:8080");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn login(&mut self, login: &str, password: &str) -> Answer {
        let answer = self.post("/api/login", &json!({"login": login, "password": password})).await;
        if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        answer
    }

    /// The next operation of this device.
    pub async fn operate(&mut self, body: Value) -> SubmitAnswer {
        let answer = self.submit(&[(self.seq + 1, body)]).await.ok();
        self.seq += 1;
        answer
    }

    pub async fn submit(&self, operations: &[(u64, Value)]) -> Answer {
        let operations: Vec<Value> =
            operations.iter().map(|(seq, body)| json!({"seq": seq, "at": seq << 10, "body": body})).collect();
        self.post("/api/operations", &json!({"device": self.device, "operations": operations})).await
    }

    pub async fn say(&mut self, text: &str) -> SubmitAnswer {
        self.operate(json!({"type": "message.post", "room": super::ROOM, "text": text})).await
    }

    /// The live stream, over a socket to `addr`, behind its hello: what happens from now on will be told.
    pub async fn events(&self, addr: SocketAddr, query: &str) -> Events {
        let mut events = self.try_events(addr, query, "http://localhost:8080").await.expect("the stream opens");
        events.hello = events.next().await;
        assert!(matches!(events.hello, Some(LiveEvent::Hello { .. })), "hello comes first: {:?}", events.hello);
        events
    }

    pub async fn try_events(&self, addr: SocketAddr, query: &str, origin: &str) -> Result<Events, tungstenite::Error> {
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(format!(
            "ws://{addr}/api/events?device={}{query}",
            self.device
        ))
        .unwrap();
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        }
        Ok(Events { socket: tokio_tungstenite::connect_async(request).await?.0, hello: None })
    }
}

/// A live stream.
pub struct Events {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Option<LiveEvent>,
}

impl Events {
    /// The next event; `None` when the box closed.
    pub async fn next(&mut self) -> Option<LiveEvent> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("an event in time")?;
            match message.ok()? {
                tungstenite::Message::Text(text) => {
                    return Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")));
                }
                tungstenite::Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Skips events until one fits.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&LiveEvent) -> Option<T>) -> T {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(tungstenite::Message::text(text)).await.expect("the stream takes it");
    }
}

/// Puts the box on a socket.
pub async fn listen(nord: &Nord) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = schulhof_edge::serve::serve(listener, None, nord.router.clone(), nord.stopping.clone());
    tokio::spawn(serving);
    addr
}
