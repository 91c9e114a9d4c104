//! Files: uploading in pieces, and reading what a message of one's room brought along.
//!
//! Bytes that people upload are shown under the page's own origin, so nothing of them may become a page: only pictures,
//! sound and film keep their type, everything else is a download, all of it without scripts (`sandbox`), and browsers do not
//! guess (`nosniff`, from the guard).

use crate::{
    app::App,
    blob::{BlobError, DepotError, Source, UploadError, uploads::Progress},
    door::{
        body::{Json, raw_bytes},
        cookie::SignedIn,
        problem::Refusal,
        read::{bad_query, id, rejected},
    },
    store::Space,
};
use axum::{
    Json as Answer,
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_school::{Attachment, view};
use schulhof_wire::{
    BlobHash, RoomId,
    api::{UploadAnswer, UploadProgress, UploadRequest},
    blob::PART_LEN,
};
use serde::Deserialize;
use std::{fmt::Write as _, io, sync::Arc};

/// Types that a browser shows by itself and that run nothing.
const SHOWN: [&str; 11] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "audio/mpeg",
    "audio/ogg",
    "audio/mp4",
    "video/mp4",
    "video/webm",
    "video/ogg",
];

/// `POST /api/blobs`: begins an upload, or says how far it has come.
pub async fn begin(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Json(request): Json<UploadRequest>,
) -> Result<Answer<UploadAnswer>, Refusal> {
    let UploadRequest { size, hash } = request;
    let answer = |have| Ok(Answer(UploadAnswer { upload: hash, chunk_len: PART_LEN as u64, have }));
    if app.blobs.shelf().has(&hash) {
        return answer(size);
    }
    if app.store.space() < Space::Plenty {
        return Err(Refusal::disk_full());
    }
    let account = user.session.account;
    let begun = blocking(move || app.blobs.uploads().begin(&account, hash, size)).await?;
    answer(begun.map_err(|error| refused(&error))?)
}

/// The query of a piece.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PieceQuery {
    offset: u64,
}

/// `PUT /api/blobs/{upload}?offset=`: the next piece. With the last one the blob is whole, verified and durable here.
pub async fn piece(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(upload): Path<String>,
    query: Result<Query<PieceQuery>, QueryRejection>,
    request: Request,
) -> Result<Answer<UploadProgress>, Refusal> {
    let blob: BlobHash = id(&upload)?;
    let Query(PieceQuery { offset }) = query.map_err(|rejection| bad_query(&rejection))?;
    if app.store.space() < Space::Plenty {
        return Err(Refusal::disk_full());
    }
    let bytes = raw_bytes(request, PART_LEN).await?;
    let account = user.session.account;
    let progress = blocking(move || -> Result<u64, UploadError> {
        match app.blobs.uploads().append(&account, blob, offset, &bytes)? {
            Progress::Partial { have } => Ok(have),
            Progress::Whole { path, size } => {
                app.blobs.shelf().take(&path, blob, size)?;
                app.blobs.uploads().done(&account, blob);
                app.blobs.uploaded(blob);
                Ok(size)
            }
        }
    });
    let have = progress.await?.map_err(|error| refused(&error))?;
    Ok(Answer(UploadProgress { have }))
}

/// `GET /api/rooms/{room}/blobs/{hash}`: for the members of a room with a message that names it.
pub async fn get(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path((room, blob)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (room, blob): (RoomId, BlobHash) = (id(&room)?, id(&blob)?);
    let viewer = user.session.account;
    let named = app.store.read_async(move |snapshot| view::attachment(&snapshot.kv(), &viewer, &room, &blob));
    let attachment = named.await?.map_err(rejected)?.ok_or_else(Refusal::not_found)?;
    let tag = format!("\"{blob}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let source = app.blobs.source(blob).await.map_err(|error| unavailable(&error))?;
    // The first part before the head: what cannot be read at all is an error and not a torn download.
    let first = source.clone();
    let first = blocking(move || first.read(0)).await?.map_err(|error| unavailable(&BlobError::Disk(error)))?;
    let mut response = Response::new(body(source.clone(), first));
    describe(response.headers_mut(), &attachment, &tag, source.len());
    Ok(response)
}

fn body(source: Source, first: bytes::Bytes) -> Body {
    let rest = futures_util::stream::unfold((source, 1), |(source, n)| async move {
        if n >= source.parts() {
            return None;
        }
        let reading = source.clone();
        let read = tokio::task::spawn_blocking(move || reading.read(n)).await;
        // An error ends the body before its announced length, which the browser takes for the failure that it is.
        let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        let next = if read.is_ok() { n + 1 } else { usize::MAX };
        Some((read, (source, next)))
    });
    Body::from_stream(futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), rest))
}

fn describe(headers: &mut HeaderMap, attachment: &Attachment, tag: &str, len: u64) {
    let shown = SHOWN.contains(&attachment.mime.as_str());
    let content_type = if shown { attachment.mime.as_str() } else { "application/octet-stream" };
    let disposition = if shown { "inline" } else { "attachment" };
    let disposition = format!("{disposition}; filename*=UTF-8''{}", encoded(&attachment.name));
    let plain = |text: &str| HeaderValue::from_str(text).expect("plain ASCII");
    headers.insert(header::CONTENT_TYPE, plain(content_type));
    headers.insert(header::CONTENT_DISPOSITION, plain(&disposition));
    headers.insert(header::CONTENT_LENGTH, len.into());
    headers.insert(header::ETAG, plain(tag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'"),
    );
}

/// A name as an extended value (RFC 8187).
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::storage())
}

fn refused(error: &UploadError) -> Refusal {
    let (status, code) = match error {
        UploadError::Size { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "blob-size"),
        UploadError::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-uploads"),
        UploadError::NotBegun => return Refusal::not_found(),
        UploadError::Offset { .. } => (StatusCode::CONFLICT, "wrong-offset"),
        UploadError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        UploadError::WrongHash => (StatusCode::UNPROCESSABLE_ENTITY, "wrong-hash"),
        UploadError::Disk(error) if error.kind() == io::ErrorKind::StorageFull => return Refusal::disk_full(),
        UploadError::Disk(error) => {
            tracing::error!("an upload cannot be kept: {error}");
            return Refusal::storage();
        }
    };
    Refusal::new(status, code, format!("Refused: {error}."))
}

/// Why a file cannot be given now.
pub fn unavailable(error: &BlobError) -> Refusal {
    match error {
        BlobError::Unknown => Refusal::not_found(),
        BlobError::Depot(error) => unreachable(error),
        BlobError::Disk(error) => {
            tracing::error!("a blob cannot be read: {error}");
            Refusal::storage()
        }
    }
}

/// The core is needed and cannot be asked.
pub fn unreachable(error: &DepotError) -> Refusal {
    tracing::warn!("{error}");
    let title = "The file is not on this box, and the cloud cannot be reached: try again later.";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "blob-unreachable", title).retry_after(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_in_the_page_is_a_download() {
        let mut headers = HeaderMap::new();
        let mut file =
            Attachment { hash: BlobHash([0; 32]), name: "Übung 1.html".into(), mime: "text/html".into(), size: 3 };
        describe(&mut headers, &file, "\"x\"", 3);
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment; filename*=UTF-8''%C3%9Cbung%201.html");
        file.mime = "image/svg+xml".into();
        describe(&mut headers, &file, "\"x\"", 3);
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        file.mime = "image/png".into();
        describe(&mut headers, &file, "\"x\"", 3);
        assert_eq!(headers[header::CONTENT_TYPE], "image/png");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("sandbox"));
    }
}
