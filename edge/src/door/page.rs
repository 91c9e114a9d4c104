//! The browser client: the embedded files, and `index.html` for every address of the app.

use crate::door::problem::Refusal;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use schulhof_web::Asset;

/// Hashed names never change their content; everything else is asked for each time and mostly answered with 304.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// Everything that is no API: a file, or the app itself, whose router knows the address.
pub async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        return Refusal::not_found().into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return Refusal::method_not_allowed().into_response();
    }
    match schulhof_web::asset(path) {
        Some(asset) => file(&asset, &headers),
        // A missing file is missing; the app's own addresses have no extension.
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => Refusal::not_found().into_response(),
        None => match schulhof_web::asset("/") {
            Some(index) => file(&index, &headers),
            None => Refusal::not_found().into_response(),
        },
    }
}

fn file(asset: &Asset, headers: &HeaderMap) -> Response {
    let mentions = |name: header::HeaderName, text: &str| {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(text))
    };
    let unchanged = mentions(header::IF_NONE_MATCH, asset.etag);
    let gzip = asset.gzip.filter(|_| mentions(header::ACCEPT_ENCODING, "gzip"));
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(gzip.unwrap_or(asset.bytes)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        if gzip.is_some() {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let to = response.headers_mut();
    to.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    to.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    to.insert(header::CACHE_CONTROL, if asset.immutable { FOREVER } else { ASK });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str, name: header::HeaderName, value: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        page(Method::GET, path.parse().unwrap(), headers).await
    }

    #[tokio::test]
    async fn every_address_of_the_app_is_the_app_and_a_missing_file_is_missing() {
        for path in ["/", "/rooms/7a", "/conferences/x"] {
            let response = get(path, header::ACCEPT, "*/*").await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        }
        assert_eq!(get("/assets/none.js", header::ACCEPT, "*/*").await.status(), StatusCode::NOT_FOUND);
        assert_eq!(get("/api/none", header::ACCEPT, "*/*").await.status(), StatusCode::NOT_FOUND);
        let post = page(Method::POST, "/".parse().unwrap(), HeaderMap::new()).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let etag = schulhof_web::asset("/").unwrap().etag;
        let response = get("/", header::IF_NONE_MATCH, etag).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let zipped = |path: &&str| path.starts_with("assets/") && schulhof_web::asset(path).unwrap().gzip.is_some();
        let hashed = schulhof_web::paths().find(zipped).unwrap();
        let response = get(&format!("/{hashed}"), header::ACCEPT_ENCODING, "gzip, br").await;
        assert_eq!(response.headers()[header::CACHE_CONTROL], FOREVER);
        assert_eq!(response.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes), Some(&b"gzip"[..]));
    }
}
