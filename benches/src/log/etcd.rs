//! Three nodes of etcd as Debian packages it, with its own defaults, and puts over gRPC.
//!
//! Two fields of one message are all that is encoded, so there is no code generator: a unary call is an HTTP/2 request
//! whose body and answer are a message behind five bytes (gRPC over HTTP/2, "Length-Prefixed-Message").

use super::{OPERATION_LEN, ports};
use crate::{
    http as local,
    measure::{Client, System},
};
use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use schulhof_net::lifeline;
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

const NODES: usize = 3;
const START_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);
/// `/etcdserverpb.KV/Put`
const PUT: &str = "/etcdserverpb.KV/Put";

/// The processes; they end with this value.
pub struct Cluster {
    children: Vec<Child>,
    clients: [SocketAddr; NODES],
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Cluster {
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let ports: [SocketAddr; NODES * 2] = ports::free()?;
        let (clients, peers) = ports.split_at(NODES);
        let all: Vec<String> = peers.iter().enumerate().map(|(n, peer)| format!("n{n}=http://{peer}")).collect();
        let mut cluster = Self { children: Vec::new(), clients: clients.try_into()? };
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let data = folder.join(format!("n{n}"));
            std::fs::create_dir_all(&data)?;
            let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("n{n}"), "--logger", "zap", "--log-level", "error"]);
            command.arg("--data-dir").arg(&data);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = lifeline::tie(&mut command).spawn().context("cannot start etcd (Debian: etcd-server)")?;
            cluster.children.push(child);
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Where its leader takes clients.
    pub async fn leader(&self) -> anyhow::Result<SocketAddr> {
        let end = Instant::now() + START_MAX;
        while Instant::now() < end {
            for client in self.clients {
                let asked =
                    tokio::task::spawn_blocking(move || local::request(client, "POST", "/v3/maintenance/status", "{}"));
                let Ok(Ok((200, body))) = asked.await else { continue };
                // The answer may be in chunks: what stands between the outermost braces counts.
                let Some(json) = body.find('{').zip(body.rfind('}')).map(|(from, to)| &body[from..=to]) else {
                    continue;
                };
                let Ok(status) = serde_json::from_str::<serde_json::Value>(json) else { continue };
                if status["leader"].is_string() && status["leader"] == status["header"]["member_id"] {
                    return Ok(client);
                }
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        bail!("etcd has no leader after {START_MAX:?}")
    }
}

/// Connections to one node.
pub struct Puts {
    connections: Vec<SendRequest<Bytes>>,
    next_key: Arc<AtomicU64>,
}

impl Puts {
    pub async fn connect(node: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(node).await?;
            stream.set_nodelay(true)?;
            let (requests, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(async move {
                if let Err(e) = connection.await {
                    eprintln!("a connection to etcd ended: {e}");
                }
            });
            open.push(requests);
        }
        Ok(Self { connections: open, next_key: Arc::default() })
    }
}

impl System for Puts {
    type Client = Putting;

    fn client(&self, number: usize) -> Putting {
        let requests = self.connections[number % self.connections.len()].clone();
        Putting { requests, next_key: self.next_key.clone() }
    }
}

pub struct Putting {
    requests: SendRequest<Bytes>,
    next_key: Arc<AtomicU64>,
}

/// A PutRequest: field 1 is the key, field 2 the value; as a gRPC message.
fn put(key: &[u8]) -> Bytes {
    let value_len = OPERATION_LEN - key.len();
    let mut message = BytesMut::with_capacity(OPERATION_LEN + 16);
    message.put_u8(1 << 3 | 2);
    varint(&mut message, key.len());
    message.put_slice(key);
    message.put_u8(2 << 3 | 2);
    varint(&mut message, value_len);
    message.put_bytes(b'v', value_len);
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}

fn varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

impl Client for Putting {
    async fn operate(&mut self) -> anyhow::Result<()> {
        let key = format!("school/message/{:010}", self.next_key.fetch_add(1, Ordering::Relaxed));
        let request = ::http::Request::builder()
            .method("POST")
            .uri(format!("http://etcd{PUT}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut body) = requests.send_request(request, false)?;
        body.send_data(put(key.as_bytes()), true)?;
        let mut answer = answer.await?;
        ensure!(answer.status() == 200, "etcd answered {}", answer.status());
        let body = answer.body_mut();
        while let Some(data) = body.data().await {
            let len = data?.len();
            body.flow_control().release_capacity(len)?;
        }
        let trailers = body.trailers().await?.context("a put without trailers")?;
        let status = trailers.get("grpc-status").context("a put without status")?;
        ensure!(status == "0", "etcd refused a put: {trailers:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_a_message_of_two_fields_behind_its_length() {
        let bytes = put(b"key");
        assert_eq!(bytes[..5], [0, 0, 0, 1, 49]);
        assert_eq!(bytes[5..10], [10, 3, b'k', b'e', b'y']);
        // 297 as a varint.
        assert_eq!(bytes[10..14], [18, 0xa9, 2, b'v']);
        assert_eq!(bytes.len(), 5 + 5 + 3 + 297);
    }
}
