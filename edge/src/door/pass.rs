//! Passes (PROTOCOL.md section 4.1): given by a box with its session view, shown at the gateway in place of a cookie.

use crate::{
    app::App,
    door::problem::Refusal,
    session::{Session, SessionKey},
    store::OpenSession,
};
use axum::http::{HeaderMap, header};
use schulhof_placement::TicketKey;
use schulhof_wire::{
    SchoolId,
    pass::{GatewayView, PassClaims, SUBPROTOCOL_BEARER, VALID_MS, VERSION},
};
use std::sync::Arc;

/// What a box needs to give passes for its gateway.
pub struct Passes {
    /// The gateway's origin for this school.
    pub url: String,
    pub key: Arc<TicketKey>,
}

impl Passes {
    /// A pass for a session at this box.
    pub fn give(&self, school: &SchoolId, key: &SessionKey, session: &Session, now_ms: u64) -> GatewayView {
        let claims = PassClaims {
            v: VERSION,
            school: school.clone(),
            account: session.account.clone(),
            session: key.public_name(),
            password_mark: hex(&session.password_mark),
            issued_ms: now_ms,
            expires_ms: now_ms + VALID_MS,
        };
        GatewayView { url: self.url.clone(), pass: self.key.sign_pass(&claims) }
    }
}

/// The pass that a request shows: in `Authorization`, or among a WebSocket's subprotocols, as browsers can set no other
/// header there. `Some` with an empty text is a request that means to show one and does not.
pub fn shown(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, pass) = text.split_once(' ').unwrap_or((text, ""));
        return scheme.eq_ignore_ascii_case("bearer").then(|| pass.trim());
    }
    if !headers.contains_key(header::UPGRADE) {
        return None;
    }
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL_BEARER))
}

/// The session that a pass stands for, made at its first use. The claims' signature, school and expiry were checked; here
/// the account is: not locked, and still with the password of then.
pub(super) async fn by_pass(app: &App, claims: &PassClaims, now_ms: u64) -> Result<(SessionKey, Session), Refusal> {
    let mark = unhex(&claims.password_mark).ok_or_else(Refusal::not_signed_in)?;
    let key = SessionKey::of_pass(claims);
    let wanted = Session::of_pass(claims.account.clone(), mark, claims.expires_ms, now_ms);
    if let Some(session) = app.store.sessions().get(&key, now_ms)
        && session.account == wanted.account
        && session.password_mark == wanted.password_mark
        // A younger pass prolongs the session.
        && session.created_ms >= wanted.created_ms
    {
        app.store.touch_session(key, now_ms);
        return Ok((key, session));
    }
    let open = OpenSession { key, session: wanted.clone(), replaces: None, kept: false };
    match app.store.open_session(open).await {
        Ok(true) => Ok((key, wanted)),
        Ok(false) => Err(Refusal::not_signed_in()),
        Err(error) => Err(error.into()),
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_pass_is_found_where_the_protocol_puts_it_and_nowhere_else() {
        let found = |pairs: &[(header::HeaderName, &str)]| shown(&headers(pairs)).map(str::to_owned);
        assert_eq!(found(&[(header::AUTHORIZATION, "Bearer a.b")]).as_deref(), Some("a.b"));
        assert_eq!(found(&[(header::AUTHORIZATION, "bearer a.b")]).as_deref(), Some("a.b"));
        assert_eq!(found(&[(header::AUTHORIZATION, "Basic a.b")]), None);
        assert_eq!(found(&[(header::AUTHORIZATION, "Bearer")]).as_deref(), Some(""));
        let protocols = (header::SEC_WEBSOCKET_PROTOCOL, "schulhof, bearer.a.b");
        assert_eq!(found(&[(header::UPGRADE, "websocket"), protocols.clone()]).as_deref(), Some("a.b"));
        assert_eq!(found(&[protocols]), None, "no WebSocket");
        assert_eq!(found(&[(header::COOKIE, "schulhof-nord=x")]), None);
    }

    #[test]
    fn marks_survive_their_text() {
        assert_eq!(unhex(&hex(&[7; 32])), Some([7; 32]));
        assert_eq!(unhex("07"), None);
    }
}
