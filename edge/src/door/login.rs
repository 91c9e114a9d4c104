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
    Extension, Json as Answer,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_school::{Role, view};
use schulhof_wire::{
    LogIndex,
    api::{LoginRequest, SessionView},
    pass::PassClaims,
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
    let read = app.store.read_async(move |snapshot| (snapshot.head(), view::credentials(&snapshot.kv(), &name)));
    let (head, known) = read.await?;
    if head == LogIndex(0) {
        // A new box before its first entries: nobody's password is wrong, and no try counts.
        app.limits.lock().succeeded(&login, peer.ip());
        return Err(Refusal::loading());
    }
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
    let key = SessionKey::of(token.as_str());
    match app.store.open_session(OpenSession { key, session: session.clone(), replaces, kept: true }).await {
        Ok(true) => {}
        // Locked or changed while the password was verified.
        Ok(false) => return Err(wrong_credentials()),
        Err(error) => return Err(error.into()),
    }
    metrics::counter!("schulhof_edge_logins_total", "result" => "right").increment(1);
    let view = session_view(&app, &key, &session).await?.ok_or_else(wrong_credentials)?;
    let mut response = Answer(view).into_response();
    response.headers_mut().insert(header::SET_COOKIE, app.cookie.set(&token));
    Ok(response)
}

/// `POST /api/logout`: also without a session. With a pass its session here ends; the pass itself is the browser's to forget.
pub async fn logout(
    State(app): State<Arc<App>>,
    pass: Option<Extension<Arc<PassClaims>>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = match pass {
        Some(Extension(claims)) => Some(SessionKey::of_pass(&claims)),
        None => app.cookie.key(&headers),
    };
    if let Some(key) = key
        && app.store.sessions().get(&key, unix_ms()).is_some()
    {
        app.store.close_session(key).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.cookie.clear())]).into_response())
}

/// `GET /api/session`
pub async fn session(State(app): State<Arc<App>>, signed_in: SignedIn) -> Result<Answer<SessionView>, Refusal> {
    let SignedIn { key, session } = signed_in;
    session_view(&app, &key, &session).await?.map(Answer).ok_or_else(Refusal::not_signed_in)
}

async fn session_view(app: &App, key: &SessionKey, session: &Session) -> Result<Option<SessionView>, Refusal> {
    let account = session.account.clone();
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
        school: app.site.school.clone(),
        school_name,
        served_by: app.site.name.clone(),
        served_by_kind: app.site.kind,
        core_online: app.store.is_online(),
        gateway: app.passes.as_ref().map(|passes| passes.give(&app.site.school, key, session, unix_ms())),
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
