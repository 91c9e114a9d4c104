//! What every request passes: the Origin check on writes and on the WebSocket, and the security headers on every answer.
//!
//! The session is a cookie, so a page of another origin must not be able to write with it (OWASP, cross-site request
//! forgery): `SameSite=Strict` is the first fence, this is the second. A request with neither `Origin` nor
//! `Sec-Fetch-Site` comes from no browser and carries nobody's cookie by itself.

use crate::{app::Site, door::problem::Refusal};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use schulhof_wire::pass::PassClaims;
use std::sync::Arc;

/// Prepared once from the configuration.
#[derive(Debug)]
pub struct Guard {
    origins: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Guard {
    pub fn new(site: &Site) -> Self {
        let mut origins = vec![site.origin.clone()];
        origins.extend(site.allowed_origins.iter().cloned());
        let fixed =
            |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut headers = vec![
            (header::CONTENT_SECURITY_POLICY, policy(&site.connects, &origins)),
            fixed("x-content-type-options", "nosniff"),
            fixed("x-frame-options", "DENY"),
            fixed("referrer-policy", "no-referrer"),
            fixed("cross-origin-opener-policy", "same-origin"),
            fixed("cross-origin-resource-policy", "same-origin"),
            fixed(
                "permissions-policy",
                "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), \
                 screen-wake-lock=(self), geolocation=(), payment=(), usb=()",
            ),
        ];
        if site.is_https() {
            headers.push(fixed("strict-transport-security", "max-age=31536000"));
        }
        Self { origins, headers }
    }

    /// Puts the security headers on an answer.
    pub fn protect(&self, headers: &mut HeaderMap, api: bool) {
        for (name, value) in &self.headers {
            // A stricter policy of an answer's own stays.
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if api {
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
    }

    /// Whether the request may write, as far as its origin goes.
    fn admits(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get("sec-fetch-site")
            && !matches!(site.as_bytes(), b"same-origin" | b"none")
        {
            return false;
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.origins.iter().any(|own| own == origin) {
            return true;
        }
        // The address that the browser itself used, whatever name it has: 127.0.0.1 beside localhost.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some() && of_origin == host
    }
}

/// Content Security Policy Level 3. Names what the page needs: itself, the media nodes of its tickets, the gateway.
fn policy(connects: &[String], origins: &[String]) -> HeaderValue {
    let mut connect = vec!["'self'".to_owned()];
    for url in connects {
        connect.push(url.clone());
        connect.push(websocket(url));
    }
    connect.extend(origins.iter().map(|origin| websocket(origin)));
    let connect = connect.join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src {connect}; media-src 'self' blob:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types {TRUSTED_TYPES}"
    );
    HeaderValue::from_str(&policy).expect("the configuration's addresses were checked to be plain hosts")
}

/// Svelte's own policy for its compiled templates, and the page's for its service worker (one fixed address).
const TRUSTED_TYPES: &str = "svelte-trusted-html schulhof-worker";

fn websocket(url: &str) -> String {
    url.replacen("http", "ws", 1)
}

/// The middleware around the whole router.
pub async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    // Who shows a pass does so on purpose: no browser adds it by itself, as it does with a cookie.
    let by_pass = request.extensions().get::<Arc<PassClaims>>().is_some();
    let api = request.uri().path().starts_with("/api/");
    let mut response = if (writes || upgrades) && !by_pass && !guard.admits(request.headers()) {
        Refusal::foreign_origin().into_response()
    } else {
        next.run(request).await
    };
    guard.protect(response.headers_mut(), api);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_of_another_origin_may_not_write() {
        let guard = Guard::new(&crate::config::tests::example().site());
        let admits = |pairs: &[(&'static str, &str)]| guard.admits(&request(pairs));
        assert!(admits(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(admits(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")]));
        assert!(admits(&[("host", "localhost:8080")]), "no browser");
        assert!(!admits(&[("origin", "https://evil.example"), ("host", "localhost:8080")]));
        assert!(!admits(&[("origin", "http://localhost:9999"), ("host", "localhost:8080")]));
        assert!(!admits(&[("origin", "null"), ("host", "localhost:8080")]));
        assert!(!admits(&[("sec-fetch-site", "cross-site"), ("host", "localhost:8080")]));
        assert!(!admits(&[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8080")]));
    }

    #[test]
    fn the_policy_allows_the_media_nodes_and_the_gateway_and_nothing_else_outside() {
        let guard = Guard::new(&crate::config::tests::example().site());
        let (_, policy) = guard.headers.iter().find(|(name, _)| name == header::CONTENT_SECURITY_POLICY).unwrap();
        let policy = policy.to_str().unwrap();
        let connect = policy.split(';').find(|part| part.trim().starts_with("connect-src")).unwrap();
        assert_eq!(
            connect.trim(),
            "connect-src 'self' http://localhost:8480 ws://localhost:8480 http://localhost:8490 ws://localhost:8490 \
             http://nord.localhost:8090 ws://nord.localhost:8090 ws://localhost:8080"
        );
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
    }
}
