//! Signing in and out. Unknown login, wrong password and locked account take the same time and get the same answer.

use crate::{
    app::App,
    clock::unix_ms,
    door::{
        body::Json,
        cookie::SignedIn,
        password::{Overloaded, PASSWORD_LEN_MAX},
        problem::Refusal,
    },
    session::{Session, SessionKey, Token},
    store::{OpenSession, WriteError},
};
use axum::{
    Json as Answer,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_school::{Role, view};
use schulhof_wire::{
    AccountId,
    api::{LoginRequest, SessionView},
    ticket::NodeKind,
};
use std::{net::SocketAddr, sync::Arc};

/// Longest login in bytes; a longer one belongs to nobody.
const LOGIN_LEN_MAX: usize = 120;

/// `POST /api/login`
pub async fn login(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(request): Json<LoginRequest>,
) -> Result<Response, Refusal> {
    let login = request.login.trim().to_lowercase();
    if login.len() > LOGIN_LEN_MAX || request.password.len() > PASSWORD_LEN_MAX {
        return Err(wrong_credentials());
    }
    let tried = app.limits.lock().try_login(app.clock.now_ms(), &login, peer.ip());
    tried.map_err(|too_many| {
        let title = "Too many wrong passwords for this login or from this address.";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", title).retry_after(too_many.retry_after_s)
    })?;

    let name = login.clone();
    let known = app.store.read_async(move |snapshot| view::credentials(&snapshot.kv(), &name)).await?;
    let usable = known.filter(|credentials| !credentials.locked);
    let hash = usable.as_ref().map(|credentials| credentials.password.clone());
    let fits = match app.passwords.verify(request.password, hash).await {
        Ok(fits) => fits,
        Err(Overloaded) => {
            // Nobody looked at the password.
            app.limits.lock().succeeded(&login, peer.ip());
            return Err(Refusal::busy());
        }
    };
    let Some(credentials) = usable.filter(|_| fits) else {
        metrics::counter!("schulhof_edge_logins_total", "result" => "wrong").increment(1);
        return Err(wrong_credentials());
    };
    app.limits.lock().succeeded(&login, peer.ip());

    let token = Token::generate();
    let session = Session::new(credentials.account.clone(), &credentials.password, unix_ms());
    // One session per browser: the one before ends, so that a stolen older cookie does too.
    let replaces = app.cookie.key(&headers);
    let open = OpenSession { key: SessionKey::of(token.as_str()), session, login, replaces };
    match app.store.open_session(open).await {
        Ok(true) => {}
        // Locked or changed while the password was verified.
        Ok(false) => return Err(wrong_credentials()),
        Err(error) => return Err(error.into()),
    }
    metrics::counter!("schulhof_edge_logins_total", "result" => "right").increment(1);
    let view = session_view(&app, &credentials.account).await?.ok_or_else(wrong_credentials)?;
    let mut response = Answer(view).into_response();
    response.headers_mut().insert(header::SET_COOKIE, app.cookie.set(&token));
    Ok(response)
}

/// `POST /api/logout`: also without a session.
pub async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(key) = app.cookie.key(&headers)
        && app.store.sessions().get(&key, unix_ms()).is_some()
    {
        app.store.close_session(key).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.cookie.clear())]).into_response())
}

/// `GET /api/session`
pub async fn session(State(app): State<Arc<App>>, signed_in: SignedIn) -> Result<Answer<SessionView>, Refusal> {
    session_view(&app, &signed_in.session.account).await?.map(Answer).ok_or_else(Refusal::not_signed_in)
}

async fn session_view(app: &App, account: &AccountId) -> Result<Option<SessionView>, Refusal> {
    let account = account.clone();
    let read = app.store.read_async(move |snapshot| {
        let kv = snapshot.kv();
        view::account(&kv, &account).map(|account| (account, view::school_name(&kv)))
    });
    let Some((account, school_name)) = read.await? else { return Ok(None) };
    let role = match account.role {
        Role::Pupil => "pupil",
        Role::Teacher => "teacher",
        Role::Admin => "admin",
    };
    Ok(Some(SessionView {
        account: account.account,
        login: account.login,
        name: account.name,
        role: role.to_owned(),
        school: app.config.school(),
        school_name,
        served_by: app.config.name.clone(),
        served_by_kind: NodeKind::Box,
        core_online: app.store.is_online(),
        gateway: None,
    }))
}

fn wrong_credentials() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "wrong-credentials", "Login and password do not fit together.")
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::DiskFull => Self::disk_full(),
            WriteError::Storage => Self::storage(),
            WriteError::Busy => Self::busy(),
        }
    }
}

impl From<crate::store::ReadError> for Refusal {
    fn from(error: crate::store::ReadError) -> Self {
        tracing::warn!(%error, "reading failed");
        Self::storage()
    }
}
