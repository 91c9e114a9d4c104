//! Reading a JSON body: limits before parsing, and errors that name the place.

use crate::door::problem::Refusal;
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use schulhof_wire::api::BODY_LEN_MAX;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A body of [`BODY_LEN_MAX`] in this time needs 70 kbit/s; whoever is slower holds a connection for nothing.
const BODY_READ_MAX: Duration = Duration::from_secs(30);

/// Bytes of a [`Json`] body: they are held for whoever knocks, signed in or not, on every connection.
const SMALL_LEN_MAX: usize = 8 * 1024;

/// A parsed JSON body of a few short fields.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = bounded_body(request, SMALL_LEN_MAX).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| malformed(&error))
    }
}

/// The bytes of a body that says it is JSON, bounded.
pub struct RawJson(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawJson {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        bounded_body(request, BODY_LEN_MAX).await.map(Self)
    }
}

async fn bounded_body(request: Request, len_max: usize) -> Result<Bytes, Refusal> {
    check_type(request.headers())?;
    raw_bytes(request, len_max).await
}

/// The bytes of a body of any type, bounded.
pub async fn raw_bytes(request: Request, len_max: usize) -> Result<Bytes, Refusal> {
    check_len(request.headers(), len_max)?;
    match tokio::time::timeout(BODY_READ_MAX, read(request.into_body(), len_max)).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The body took longer than 30 seconds.")),
    }
}

/// Names line and column. serde's text names fields and types, never more of the content than one value.
pub fn malformed(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        serde_json::error::Category::Data => "The JSON does not fit",
        _ => "The body is not JSON",
    };
    Refusal::new(StatusCode::BAD_REQUEST, "malformed-json", format!("{what}: {}.", bounded(&error.to_string())))
}

fn bounded(text: &str) -> String {
    const TITLE_LEN_MAX: usize = 300;
    // The place stands at the end: keep that.
    let skip = text.chars().count().saturating_sub(TITLE_LEN_MAX);
    text.chars().skip(skip).collect()
}

fn too_large(len_max: usize) -> Refusal {
    let title = format!("The body is larger than {len_max} bytes: send it in parts.");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title)
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json") {
        let title = "The body must be sent as application/json.";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", title));
    }
    Ok(())
}

fn check_len(headers: &HeaderMap, len_max: usize) -> Result<(), Refusal> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.map(str::parse::<u64>) {
        Some(Ok(length)) if length <= len_max as u64 => Ok(()),
        None => Ok(()),
        Some(_) => Err(too_large(len_max)),
    }
}

async fn read(body: Body, len_max: usize) -> Result<Bytes, Refusal> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, "malformed-json", "The body ended before its announced length.")
        })?;
        if bytes.len() + chunk.len() > len_max {
            return Err(too_large(len_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[allow(dead_code)]
        a: u32,
    }

    async fn parse(content_type: &str, body: impl Into<Body>) -> Result<u32, Refusal> {
        let request = Request::post("/").header("content-type", content_type).body(body.into()).unwrap();
        Json::<Thing>::from_request(request, &()).await.map(|Json(thing)| thing.a)
    }

    #[tokio::test]
    async fn json_of_the_right_shape_is_read() {
        assert_eq!(parse("application/json; charset=utf-8", "{\"a\":7}").await, Ok(7));
    }

    #[tokio::test]
    async fn a_syntax_error_is_named_by_line_and_column() {
        let refusal = parse("application/json", "{\n  \"a\": ,\n}").await.unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.code), (400, "malformed-json"));
        assert!(refusal.title.contains("line 2 column 8"), "{}", refusal.title);
    }

    #[tokio::test]
    async fn an_unknown_field_is_named() {
        let refusal = parse("application/json", "{\"a\":1,\"actor\":2}").await.unwrap_err();
        assert!(refusal.title.contains("`actor`") && refusal.title.contains("line 1"), "{}", refusal.title);
    }

    #[tokio::test]
    async fn a_form_is_not_json() {
        assert_eq!(parse("text/plain", "{\"a\":7}").await.unwrap_err().status.as_u16(), 415);
    }

    async fn raw(body: impl Into<Body>) -> Result<usize, Refusal> {
        let request = Request::post("/").header("content-type", "application/json").body(body.into()).unwrap();
        RawJson::from_request(request, &()).await.map(|RawJson(bytes)| bytes.len())
    }

    fn streamed(bytes: &[u8]) -> Body {
        let chunks = bytes.chunks(1000).map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c))).collect::<Vec<_>>();
        Body::from_stream(futures_util::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_past_the_limit_is_refused_before_parsing_however_it_is_sent() {
        let small = vec![b' '; SMALL_LEN_MAX + 1];
        assert_eq!(parse("application/json", small.clone()).await.unwrap_err().status.as_u16(), 413);
        assert_eq!(parse("application/json", streamed(&small)).await.unwrap_err().status.as_u16(), 413);
        assert_eq!(raw(small).await, Ok(SMALL_LEN_MAX + 1));
        let large = vec![b' '; BODY_LEN_MAX + 1];
        assert_eq!(raw(large.clone()).await.unwrap_err().status.as_u16(), 413);
        assert_eq!(raw(streamed(&large)).await.unwrap_err().status.as_u16(), 413);
    }
}
