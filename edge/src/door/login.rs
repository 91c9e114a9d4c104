//! Signing in and out. Unknown login, wrong password and locked account take the same time and get the same answer.

use crate::{
    app::App,
    clock::unix_ms,
    door::{
        body::Json,
        cookie::{AnySession, SignedIn},
        import::once,
        limit::TooManyTries,
        password::{Overloaded, PASSWORD_LEN_MAX},
        problem::Refusal,
    },
    import::plan::role_name,
    session::{Session, SessionKey, Token},
    store::{OpenSession, WriteError},
};
use axum::{
    Extension, Json as Answer,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_school::{Body, view};
use schulhof_wire::{
    LogIndex,
    api::{LoginRequest, SessionView},
    import::PasswordRequest,
    pass::PassClaims,
};
use std::{net::SocketAddr, sync::Arc};

/// Longest login in bytes; a longer one belongs to nobody.
const LOGIN_LEN_MAX: usize = 120;
/// Shortest new password.
const PASSWORD_CHARS_MIN: usize = 8;
/// Parts of a name that are longer must not stand in a password: shorter ones stand in many words.
const NAME_PART_LEN: usize = 4;

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
    tried.map_err(too_many_tries)?;

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

/// `POST /api/password`: the own one. All sessions with the old one end; this browser gets a new one.
pub async fn password(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    AnySession(user): AnySession,
    Json(request): Json<PasswordRequest>,
) -> Result<Response, Refusal> {
    let account = user.session.account;
    let id = account.clone();
    let known = app.store.read_async(move |snapshot| {
        let kv = snapshot.kv();
        view::account(&kv, &id).and_then(|known| view::credentials(&kv, &known.login))
    });
    let known = known.await?.filter(|known| !known.locked).ok_or_else(Refusal::not_signed_in)?;
    app.limits.lock().try_login(app.clock.now_ms(), &known.login, peer.ip()).map_err(too_many_tries)?;
    let fits = request.old.len() <= PASSWORD_LEN_MAX
        && app
            .passwords
            .verify(request.old.clone(), Some(known.password))
            .await
            .map_err(|Overloaded| Refusal::busy())?;
    if !fits {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong-password", "The old password is another one."));
    }
    app.limits.lock().succeeded(&known.login, peer.ip());
    if let Some(why) = weakness(&request, &known.login, &known.name) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "weak-password", why));
    }
    let hashed = app.passwords.hash(request.new).await.map_err(|Overloaded| Refusal::busy())?;
    let session = Session::new(account.clone(), &hashed, unix_ms());
    once(&app, "password", account.clone(), Body::AccountPassword { account, password: hashed }).await?;
    let token = Token::generate();
    let key = SessionKey::of(token.as_str());
    if !app.store.open_session(OpenSession { key, session, replaces: None, kept: true }).await? {
        // Locked, or changed once more at the same moment.
        return Err(Refusal::not_signed_in());
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, app.cookie.set(&token))]).into_response())
}

/// Why a new password will not do: length is what counts (NIST SP 800-63B), and that it is not what others know.
fn weakness(request: &PasswordRequest, login: &str, name: &str) -> Option<&'static str> {
    let new = request.new.to_lowercase();
    let known = |word: &str| word.chars().count() >= NAME_PART_LEN && new.contains(&word.to_lowercase());
    if request.new.chars().count() < PASSWORD_CHARS_MIN {
        Some("A password has at least 8 characters.")
    } else if request.new.len() > PASSWORD_LEN_MAX {
        Some("A password has at most 1024 bytes.")
    } else if request.new == request.old {
        Some("The new password is the old one.")
    } else if new.contains(login) || name.split([' ', '-']).any(known) {
        Some("The password must not contain the login or the name.")
    } else {
        None
    }
}

/// `GET /api/session`
pub async fn session(
    State(app): State<Arc<App>>,
    AnySession(signed_in): AnySession,
) -> Result<Answer<SessionView>, Refusal> {
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
    Ok(Some(SessionView {
        account: account.account,
        login: account.login,
        name: account.name,
        role: role_name(account.role).to_owned(),
        school: app.site.school.clone(),
        school_name,
        served_by: app.site.name.clone(),
        served_by_kind: app.site.kind,
        core_online: app.store.is_online(),
        must_change_password: account.first_password,
        gateway: app.passes.as_ref().map(|passes| passes.give(&app.site.school, key, session, unix_ms())),
    }))
}

fn too_many_tries(too_many: TooManyTries) -> Refusal {
    let title = "Too many wrong passwords for this login or from this address.";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", title).retry_after(too_many.retry_after_s)
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
