//! Somebody at a browser: signs in, writes, reads. Numbers operations as a browser does, and sends again what was not
//! acknowledged.

use crate::harness::{SOON, until};
use schulhof_ops::{
    http::{self, Answer, HttpError},
    seed::PASSWORD,
};
use schulhof_school::{Attachment, Body, view::MessageView};
use schulhof_wire::{
    BlobHash, DeviceId, Hlc, RoomId, Seq,
    api::{
        DeviceMarks, LoginRequest, Page, SessionView, SubmitAnswer, SubmitRequest, SubmitState, Submitted, UploadAnswer,
    },
    pass::GatewayView,
};
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Person {
    /// Of the page.
    origin: String,
    /// Of the node that serves it.
    url: String,
    cookie: String,
    /// For the gateway, in place of the cookie.
    pass: Option<String>,
    pub device: DeviceId,
    last: u64,
    /// As written, by number from 1: a browser keeps it until it is secured.
    written: Vec<Submitted<Body>>,
    /// How far the browser's clock goes wrong.
    pub clock_off_ms: i64,
}

impl Person {
    /// Signs in at a box with a new browser profile.
    pub async fn sign_in(url: &str, login: &str) -> Self {
        let cookie = Self::open_session(url, login).await.unwrap();
        let device = DeviceId::new(format!("test-{:032x}", rand::random::<u128>())).unwrap();
        Self {
            origin: url.to_owned(),
            url: url.to_owned(),
            cookie,
            pass: None,
            device,
            last: 0,
            written: Vec::new(),
            clock_off_ms: 0,
        }
    }

    /// The cookie of a new session.
    async fn open_session(url: &str, login: &str) -> Result<String, String> {
        let request = LoginRequest { login: login.to_owned(), password: PASSWORD.to_owned() };
        let body = serde_json::to_vec(&request).unwrap();
        let answer = send("POST", url, "/api/login", "", Some(&body)).await.map_err(|e| e.to_string())?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        Ok(answer.header("set-cookie").expect("a session").split(';').next().unwrap().to_owned())
    }

    /// Signs in anew with the same browser, at a box that may have lost everything, and sends what it lacks again.
    pub async fn come_back(&mut self, login: &str) {
        until("signing in again", SOON, async || {
            self.cookie = Self::open_session(&self.url, login).await?;
            Ok(())
        })
        .await;
        until("everything is saved again", SOON, async || {
            let saved = self.marks().await?.saved.0;
            let missing: Vec<_> = self.written.iter().filter(|op| op.seq.0 > saved).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            let request = SubmitRequest { account: None, device: self.device.clone(), operations: missing };
            let request = serde_json::to_vec(&request).unwrap();
            let answer = self.send("POST", "/api/operations", Some(&request)).await.map_err(|e| e.to_string())?;
            Err(format!("{} {}", answer.status, answer.text()))
        })
        .await;
    }

    /// Where the box says that this person can go, with the pass that it gives.
    pub async fn way_out(&self) -> GatewayView {
        self.get::<SessionView>("/api/session").await.unwrap().gateway.expect("a gateway")
    }

    /// The page goes on over the gateway.
    pub fn go_to(&mut self, gateway: &GatewayView) {
        self.url.clone_from(&gateway.url);
        self.pass = Some(gateway.pass.clone());
    }

    /// And back.
    pub fn return_to_box(&mut self) {
        self.url.clone_from(&self.origin);
        self.pass = None;
    }

    pub async fn session(&self) -> Result<SessionView, String> {
        self.get("/api/session").await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, HttpError> {
        let Some(pass) = &self.pass else { return send(method, &self.url, path, &self.cookie, body).await };
        let authorization = format!("Bearer {pass}");
        let headers =
            [("authorization", authorization.as_str()), ("origin", &self.origin), ("content-type", "application/json")];
        http::request(method, &format!("{}{path}", self.url), &headers, body).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let answer = self.send("GET", path, None).await.map_err(|e| e.to_string())?;
        if answer.status != 200 {
            return Err(format!("{path}: {} {}", answer.status, answer.text()));
        }
        answer.json().map_err(|e| e.to_string())
    }

    /// Writes a message and waits for the first mark, as long as it takes the box to come back.
    pub async fn write(&mut self, room: &str, text: &str) -> Seq {
        self.submit(Body::post(RoomId::new(room).unwrap(), text)).await
    }

    /// Uploads a file and sends it with a message.
    pub async fn send_file(&mut self, room: &str, name: &str, bytes: &[u8]) -> BlobHash {
        let hash = schulhof_edge::blob::hash(bytes);
        let size = bytes.len() as u64;
        let request = serde_json::to_vec(&serde_json::json!({"size": size, "hash": hash})).unwrap();
        let answer = self.send("POST", "/api/blobs", Some(&request)).await.unwrap();
        let begun: UploadAnswer = answer.json().unwrap_or_else(|e| panic!("{e}: {}", answer.text()));
        let missing = if begun.have == size { &[][..] } else { bytes };
        for (n, piece) in missing.chunks(begun.chunk_len as usize).enumerate() {
            let path = format!("/api/blobs/{}?offset={}", begun.upload, n * begun.chunk_len as usize);
            let answer = self.send("PUT", &path, Some(piece)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let attachment = Attachment { hash, name: name.to_owned(), mime: "application/pdf".into(), size };
        let room = RoomId::new(room).unwrap();
        self.submit(Body::MessagePost { room, text: String::new(), attachments: vec![attachment] }).await;
        hash
    }

    /// A file's bytes, as the box gives them to this person.
    pub async fn file(&self, room: &str, blob: BlobHash) -> Vec<u8> {
        until("the file", SOON, async || {
            let path = format!("/api/rooms/{room}/blobs/{blob}");
            let answer = self.send("GET", &path, None).await.map_err(|e| e.to_string())?;
            if answer.status == 200 { Ok(answer.body) } else { Err(format!("{} {}", answer.status, answer.text())) }
        })
        .await
    }

    async fn submit(&mut self, body: Body) -> Seq {
        self.last += 1;
        let seq = Seq(self.last);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let at = Hlc::from_ms(now_ms.saturating_add_signed(self.clock_off_ms));
        let operations = vec![Submitted { seq, at, body }];
        self.written.extend(operations.iter().cloned());
        let request = SubmitRequest { account: None, device: self.device.clone(), operations };
        let request = serde_json::to_vec(&request).unwrap();
        until("the operation is saved", SOON, async || {
            let answer = self.send("POST", "/api/operations", Some(&request)).await.map_err(|e| e.to_string())?;
            if answer.status != 200 {
                return Err(format!("{} {}", answer.status, answer.text()));
            }
            let answer: SubmitAnswer = answer.json().map_err(|e| e.to_string())?;
            match answer.results[0].state {
                SubmitState::Saved | SubmitState::Duplicate => Ok(seq),
                state => panic!("{state:?} for {seq:?}: {answer:?}"),
            }
        })
        .await
    }

    pub async fn marks(&self) -> Result<DeviceMarks, String> {
        self.get(&format!("/api/devices/{}", self.device)).await
    }

    /// Waits for the second mark on everything written so far.
    pub async fn until_secured(&self) {
        until("everything is secured", SOON, async || {
            let marks = self.marks().await?;
            if marks.secured.0 >= self.last { Ok(()) } else { Err(format!("{marks:?}")) }
        })
        .await;
    }

    /// The whole history of a room, oldest first.
    pub async fn history(&self, room: &str) -> Vec<MessageView> {
        let mut all: Vec<MessageView> = Vec::new();
        let mut before = None;
        loop {
            let query = before.map_or_else(String::new, |b: schulhof_wire::LogIndex| format!("&before={}", b.0));
            let page: Page<MessageView> =
                self.get(&format!("/api/rooms/{room}/messages?limit=200{query}")).await.unwrap();
            all.splice(0..0, page.items);
            match page.older {
                Some(older) => before = Some(older),
                None => return all,
            }
        }
    }
}

async fn send(method: &str, url: &str, path: &str, cookie: &str, body: Option<&[u8]>) -> Result<Answer, HttpError> {
    let headers = [("cookie", cookie), ("origin", url), ("content-type", "application/json")];
    http::request(method, &format!("{url}{path}"), &headers, body).await
}
