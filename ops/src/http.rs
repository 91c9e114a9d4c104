//! A small HTTP/1.1 client (RFC 9112) for our own nodes on loopback: `status`, waiting for readiness, tests. One connection
//! per request, everything bounded in time and size.
//!
//! Must not: be used towards the outside; it knows neither TLS nor redirects.

use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// From connecting to the last byte. Nodes answer in milliseconds; a stopped one must not hold up the others' status.
pub const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Largest answer in bytes: the metrics of a busy node have some 100 KiB.
const ANSWER_LEN_MAX: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0}: not an address of the form http://HOST:PORT/PATH")]
    Url(String),
    #[error("{url}: {error}")]
    Io { url: String, error: io::Error },
    #[error("{0}: no answer in time")]
    Timeout(String),
    #[error("{0}: not an HTTP answer")]
    Malformed(String),
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub async fn get(url: &str) -> Result<Answer, HttpError> {
    request("GET", url, &[], None).await
}

/// Sends one request and reads the whole answer.
pub async fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Answer, HttpError> {
    let rest = url.strip_prefix("http://").ok_or_else(|| HttpError::Url(url.to_owned()))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    let length = body.map(|body| ("content-length", body.len().to_string()));
    let length = length.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in headers.iter().copied().chain(length) {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");

    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.unwrap_or_default()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    match tokio::time::timeout(REQUEST_MAX, exchange).await {
        Ok(Ok(bytes)) => parse(&bytes).ok_or_else(|| HttpError::Malformed(url.to_owned())),
        Ok(Err(error)) => Err(HttpError::Io { url: url.to_owned(), error }),
        Err(_) => Err(HttpError::Timeout(url.to_owned())),
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|w| w == END)?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let rest = &bytes[end + END.len()..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers: Vec<_> = lines
        .map(|line| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())))
        .collect::<Option<_>>()?;
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        chunks(rest)?
    } else if let Some(len) = answer.header("content-length") {
        // A connection that was cut in the middle is not an answer.
        rest.get(..len.parse().ok()?)?.to_vec()
    } else {
        rest.to_vec()
    };
    Some(answer)
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let len = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if len == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..len)?);
        rest = rest.get(len + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_length_is_read() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; Path=/\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
        assert_eq!(answer.header("set-cookie"), Some("a=b; Path=/"));
    }

    #[test]
    fn chunks_are_put_together() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
        assert_eq!(answer.unwrap().body, b"abcde");
    }

    #[test]
    fn a_cut_answer_is_none() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }

    #[tokio::test]
    async fn what_is_no_address_of_ours_is_refused() {
        assert!(matches!(get("https://localhost/").await, Err(HttpError::Url(_))));
    }
}
