//! The session cookie (RFC 6265bis): `HttpOnly`, `SameSite=Strict`, and over HTTPS `Secure` with the `__Host-` prefix.

use crate::{
    app::{App, Site},
    clock::unix_ms,
    door::{pass::by_pass, problem::Refusal},
    session::{Session, SessionKey, TOUCH_EVERY_MS, Token},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use schulhof_school::view;
use schulhof_wire::{pass::PassClaims, ticket::NodeKind};
use std::sync::Arc;

/// Bytes of a token in hexadecimal; anything else is not looked up.
const TOKEN_TEXT_LEN: usize = 64;

/// How this box's cookie is called and written.
#[derive(Debug)]
pub struct CookieName {
    name: String,
    secure: bool,
}

impl CookieName {
    /// Over plain HTTP the school is part of the name: browsers do not part cookies by port, and two boxes on one
    /// machine would sign each other's people out, as would a box and its gateway.
    pub fn new(site: &Site) -> Self {
        let secure = site.is_https();
        let name = match site.kind {
            _ if secure => "__Host-schulhof".to_owned(),
            NodeKind::Gateway => format!("schulhof-gateway-{}", site.school),
            _ => format!("schulhof-{}", site.school),
        };
        Self { name, secure }
    }

    /// `Set-Cookie` that begins a session. Without an age: it goes with the browser window.
    pub fn set(&self, token: &Token) -> HeaderValue {
        self.header(token.as_str(), "")
    }

    /// `Set-Cookie` that ends it.
    pub fn clear(&self) -> HeaderValue {
        self.header("", "; Max-Age=0")
    }

    fn header(&self, value: &str, more: &str) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", self.name);
        HeaderValue::from_str(&text).expect("name and token are plain ASCII")
    }

    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, token) = pairs.find(|(name, _)| *name == self.name)?;
        (token.len() == TOKEN_TEXT_LEN).then_some(token)
    }

    /// Names the session that the request carries, whether or not there is one.
    pub fn key(&self, headers: &HeaderMap) -> Option<SessionKey> {
        self.token(headers).map(SessionKey::of)
    }
}

/// The session of a request, by cookie or by pass; 401 without one. The account comes from here and from nowhere else.
pub struct SignedIn {
    pub key: SessionKey,
    pub session: Session,
}

/// The same, also with a first password that was not changed yet.
pub struct AnySession(pub SignedIn);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let AnySession(signed_in) = AnySession::from_request_parts(parts, app).await?;
        let account = signed_in.session.account.clone();
        let first = app.store.read_async(move |snapshot| view::has_first_password(&snapshot.kv(), &account));
        if first.await? { Err(Refusal::password_first()) } else { Ok(signed_in) }
    }
}

impl FromRequestParts<Arc<App>> for AnySession {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let now_ms = unix_ms();
        if let Some(claims) = parts.extensions.get::<Arc<PassClaims>>() {
            let (key, session) = by_pass(app, claims, now_ms).await?;
            return Ok(Self(SignedIn { key, session }));
        }
        let found = app.cookie.key(&parts.headers).and_then(|key| Some((key, app.store.sessions().get(&key, now_ms)?)));
        let (key, session) = found.ok_or_else(Refusal::not_signed_in)?;
        if now_ms.saturating_sub(session.seen_ms) > TOUCH_EVERY_MS {
            app.store.touch_session(key, now_ms);
        }
        Ok(Self(SignedIn { key, session }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn over_https_the_cookie_is_bound_to_the_host() {
        let config = Config { public_url: "https://schule.example".into(), ..crate::config::tests::example() };
        let cookie = CookieName::new(&config.site()).set(&Token::generate());
        let text = cookie.to_str().unwrap();
        assert!(text.starts_with("__Host-schulhof="), "{text}");
        assert!(text.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{text}");
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let cookie = CookieName::new(&crate::config::tests::example().site());
        let token = Token::generate();
        let mut headers = HeaderMap::new();
        assert!(cookie.key(&headers).is_none());
        let text = format!("theme=dark; schulhof-nord={}; schulhof-sued=x", token.as_str());
        headers.insert(header::COOKIE, text.parse().unwrap());
        assert_eq!(cookie.key(&headers), Some(SessionKey::of(token.as_str())));
        headers.insert(header::COOKIE, "schulhof-nord=short".parse().unwrap());
        assert!(cookie.key(&headers).is_none());
    }
}
