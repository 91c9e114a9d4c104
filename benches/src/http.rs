//! As much HTTP as a bench needs: one request per connection, to a node on this machine.

use anyhow::{Context as _, bail};
use schulhof_wire::media::{JoinAnswer, JoinRequest};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Status and body.
pub fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// Joins with a ticket and an offer.
pub fn join(node: SocketAddr, ticket: String, offer: String) -> anyhow::Result<JoinAnswer> {
    let body = serde_json::to_string(&JoinRequest { ticket, offer, standby: false })?;
    let (status, body) = request(node, "POST", "/media/join", &body)?;
    if status != 200 {
        bail!("the join was refused with {status}: {body}");
    }
    Ok(serde_json::from_str(&body)?)
}
