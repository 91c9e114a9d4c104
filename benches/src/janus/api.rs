//! Janus's JSON over a WebSocket: one session, a handle for each connection. Each question waits for its own answer; what
//! Janus tells besides is not listened to.

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

const ANSWER_MAX: Duration = Duration::from_secs(10);

pub type Handle = u64;

/// What a plugin says to a question.
pub struct Answer {
    pub body: Value,
    pub sdp: Option<String>,
}

pub struct Api {
    runtime: Runtime,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: u64,
    asked: u64,
}

impl Api {
    pub fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut request = format!("ws://{addr}").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("janus-protocol"));
        let (socket, _) = runtime.block_on(tokio_tungstenite::connect_async(request))?;
        let mut api = Self { runtime, socket, session: 0, asked: 0 };
        let created = api.exchange(json!({ "janus": "create" }))?;
        api.session = created["data"]["id"].as_u64().context("no session")?;
        Ok(api)
    }

    /// A new handle of the VideoRoom.
    pub fn attach(&mut self) -> anyhow::Result<Handle> {
        let attached = self.exchange(json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" }))?;
        attached["data"]["id"].as_u64().context("no handle")
    }

    /// A message to the plugin, with an offer or answer. Its answer is what comes after the acknowledgement.
    pub fn ask(&mut self, handle: Handle, body: &Value, sdp: Option<(&str, &str)>) -> anyhow::Result<Answer> {
        let mut message = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let Some((kind, sdp)) = sdp {
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        let answer = self.exchange(message)?;
        let body = answer["plugindata"]["data"].clone();
        if let Some(error) = body.get("error") {
            bail!("Janus: {error}");
        }
        Ok(Answer { body, sdp: answer["jsep"]["sdp"].as_str().map(str::to_owned) })
    }

    fn exchange(&mut self, mut message: Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let transaction = self.asked.to_string();
        message["transaction"] = json!(transaction);
        if self.session != 0 {
            message["session_id"] = json!(self.session);
        }
        let socket = &mut self.socket;
        let answer = async {
            socket.send(Message::text(message.to_string())).await?;
            loop {
                let Message::Text(text) = socket.next().await.context("Janus closed the connection")?? else {
                    continue;
                };
                let answer: Value = serde_json::from_str(&text)?;
                match answer["janus"].as_str() {
                    _ if answer["transaction"] != transaction.as_str() => {}
                    Some("ack") => {}
                    Some("error") => bail!("Janus: {}", answer["error"]),
                    _ => return Ok(answer),
                }
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, answer).await })?
    }
}
