//! `POST /media/join`: a ticket and an offer in, an answer and a control channel out.
//!
//! Limits come before parsing, the ticket before the offer. Any origin may ask, without cookies: the ticket is the
//! authority, and it is in the body, so that no other page can borrow it. Problems are RFC 9457, CORS is the Fetch
//! standard, with the private network preflight (a page from the internet may talk to the school's box).

use super::{
    control::{self, Channels},
    meter::Meter,
    ways::Ways,
    worker::{Command, Commands},
};
use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use schulhof_media::JoinError;
use schulhof_placement::{TicketError, TicketKeys};
use schulhof_wire::{
    NodeName,
    media::{JoinAnswer, JoinRequest, SDP_LEN_MAX},
    problem::{self, Problem},
    ticket::{NodeKind, TICKET_LEN_MAX},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::{Semaphore, oneshot};

/// Largest request: the longest offer with every line end escaped as JSON, the longest ticket, and the rest.
const BODY_LEN_MAX: usize = 2 * SDP_LEN_MAX + TICKET_LEN_MAX + 1_024;
/// Time for a request's body: 130 kB over a bad mobile line.
const BODY_MAX: Duration = Duration::from_secs(10);
/// Joins under way: each holds up to [`BODY_LEN_MAX`], 32 MB in all.
const JOINS_MAX: usize = 256;
/// Time for the worker to answer; it takes a millisecond for each join before this one.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Of a participant's name in the user name for TURN.
const NAME_LEN_MAX: usize = 40;
/// When a full or busy node may be asked again.
const RETRY_AFTER_S: u32 = 2;

pub(super) struct Door {
    pub name: NodeName,
    pub kind: NodeKind,
    pub keys: TicketKeys,
    pub commands: Commands,
    pub channels: Arc<Channels>,
    pub meter: Arc<Meter>,
    /// For closed networks.
    pub turn: Option<Ways>,
    joins: Semaphore,
}

impl Door {
    pub fn new(
        name: NodeName,
        kind: NodeKind,
        keys: TicketKeys,
        commands: Commands,
        meter: Arc<Meter>,
        turn: Option<Ways>,
    ) -> Arc<Self> {
        let channels = Arc::new(Channels::new(commands.clone()));
        Arc::new(Self { name, kind, keys, commands, channels, meter, turn, joins: Semaphore::new(JOINS_MAX) })
    }
}

pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/media/join", post(join))
        .route("/media/control/{session}", get(control::open))
        .method_not_allowed_fallback(|| async {
            refuse(&Problem::new(405, "method-not-allowed", "this address does not take this method"))
        })
        .fallback(|| async { refuse(&Problem::new(404, "not-found", "there is nothing here")) })
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(middleware::from_fn(cors))
        .with_state(door)
}

/// As `application/problem+json`.
pub(super) fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

async fn cors(request: Request, next: Next) -> Response {
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let private = request.headers().contains_key("access-control-request-private-network");
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        if private {
            headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        }
    }
    response
}

/// A refusal: status, stable code, one sentence.
struct Refusal {
    status: u16,
    code: &'static str,
    title: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, title: impl Into<String>) -> Self {
        Self { status, code, title: title.into() }
    }

    fn busy() -> Self {
        Self::new(503, "busy", "the node has more to do than it can")
    }
}

impl From<TicketError> for Refusal {
    fn from(error: TicketError) -> Self {
        let status = if matches!(error, TicketError::WrongNode(_)) { 403 } else { 401 };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let (status, code) = match error {
            JoinError::Claims(_) => (400, "bad-claims"),
            JoinError::Offer(_) => (400, "bad-offer"),
            JoinError::Ended => (403, "room-closed"),
            JoinError::Blocked => (403, "blocked"),
            JoinError::Draining => (503, "draining"),
            JoinError::RoomFull | JoinError::NodeFull => (503, "full"),
        };
        Self::new(status, code, error.to_string())
    }
}

async fn join(State(door): State<Arc<Door>>, request: Request) -> Response {
    match admit(&door, request).await {
        Ok(answer) => {
            door.meter.joined("ok");
            Json(answer).into_response()
        }
        Err(refusal) => {
            door.meter.joined(refusal.code);
            tracing::debug!(code = refusal.code, "join refused: {}", refusal.title);
            let mut problem = Problem::new(refusal.status, refusal.code, refusal.title);
            problem.retry_after_s = (refusal.status == 503).then_some(RETRY_AFTER_S);
            refuse(&problem)
        }
    }
}

async fn admit(door: &Arc<Door>, request: Request) -> Result<JoinAnswer, Refusal> {
    let _place = door.joins.try_acquire().map_err(|_| Refusal::busy())?;
    let request = read(request).await?;
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let claims = door.keys.verify(&request.ticket, now_ms, &door.name)?;
    let (reply, answer) = oneshot::channel();
    let JoinRequest { offer, standby, .. } = request;
    let command = Command::Join { claims: Box::new(claims), offer, standby, reply };
    door.commands.try_send(command).map_err(|_| Refusal::busy())?;
    // In a task of its own: a client that hangs up now still gets its channel, which then lapses in order.
    let channels = door.channels.clone();
    let opened = tokio::spawn(async move {
        let (joined, mailbox) = tokio::time::timeout(ANSWER_MAX, answer)
            .await
            .map_err(|_| Refusal::busy())?
            .map_err(|_| Refusal::busy())??;
        channels.expect(joined.session, mailbox);
        Ok::<_, Refusal>(joined)
    });
    let joined = opened.await.map_err(|_| Refusal::busy())??;
    // The participant's name is no secret; the session's is.
    let ice_servers = door.turn.iter().map(|turn| turn.issue(&short(&joined.participant.0))).collect();
    Ok(JoinAnswer {
        ice_servers,
        session: joined.session.to_string(),
        answer: joined.answer,
        node: door.name.clone(),
        node_kind: door.kind,
    })
}

/// For a user name, which has a bounded length.
fn short(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(NAME_LEN_MAX).collect()
}

async fn read(request: Request<Body>) -> Result<JoinRequest, Refusal> {
    let too_large = || Refusal::new(413, "too-large", format!("a join has at most {BODY_LEN_MAX} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > BODY_LEN_MAX) {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_MAX, to_bytes(request.into_body(), BODY_LEN_MAX))
        .await
        .map_err(|_| Refusal::new(408, "too-slow", "the request did not come in time"))?
        .map_err(|_| too_large())?;
    let request: JoinRequest =
        serde_json::from_slice(&body).map_err(|e| Refusal::new(400, "malformed", format!("not a join: {e}")))?;
    if request.offer.len() > SDP_LEN_MAX {
        return Err(Refusal::new(413, "offer-too-large", format!("an offer has at most {SDP_LEN_MAX} bytes")));
    }
    Ok(request)
}
