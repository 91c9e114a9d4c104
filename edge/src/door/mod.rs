//! The box's HTTP door: who may, within which limits, and in which form. What is done stands in `store`, `live`, `placement`.
//!
//! Every request passes the guard (Origin, security headers); every error is problem+json; the account comes from the
//! session (or, at a gateway, the pass) alone; bodies are bounded before they are parsed.

mod blob;
mod body;
mod cookie;
mod events;
mod exam;
mod guard;
mod import;
mod kept;
mod limit;
mod login;
mod operations;
mod page;
mod pass;
pub mod password;
mod problem;
mod read;
mod ticket;
mod timetable;

pub use cookie::CookieName;
pub use guard::Guard;
pub use import::{Plans, new_name, submit};
pub use limit::LoginLimits;
pub use page::page;
pub use pass::{Passes, shown};
pub use password::Passwords;
pub use problem::Refusal;
pub use timetable::Drafts;

use crate::app::App;
use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use std::sync::Arc;

/// The whole door, callable without a socket (give it `ConnectInfo` as an extension).
pub fn router(app: Arc<App>) -> Router {
    let guard = app.guard.clone();
    Router::new()
        .route("/api/login", post(login::login))
        .route("/api/logout", post(login::logout))
        .route("/api/session", get(login::session))
        .route("/api/password", post(login::password))
        .route("/api/imports", get(import::list).post(import::read_list))
        .route("/api/imports/{import}/apply", post(import::apply))
        .route("/api/imports/{import}/undo", post(import::undo))
        .route("/api/exams", get(exam::exams))
        .route("/api/exams/load", get(exam::load))
        .route("/api/timetable", get(timetable::timetable))
        .route("/api/timetable/week", get(timetable::week))
        .route("/api/timetable/watch", get(timetable::watch))
        .route("/api/timetable/imports", post(timetable::read_file))
        .route("/api/timetable/imports/{import}/apply", post(timetable::apply))
        .route("/api/screen/{secret}", get(timetable::screen))
        .route("/api/people", get(read::people))
        .route("/api/groups", get(read::groups))
        .route("/api/rooms", get(read::rooms))
        .route("/api/rooms/{room}", get(read::room))
        .route("/api/rooms/{room}/messages", get(read::messages))
        .route("/api/conferences/{conference}", get(read::conference))
        .route("/api/conferences/{conference}/ticket", post(ticket::ticket))
        .route("/api/rooms/{room}/blobs/{hash}", get(blob::get))
        .route("/api/blobs", post(blob::begin))
        .route("/api/blobs/{upload}", put(blob::piece))
        .route("/api/operations", post(operations::submit))
        .route("/api/devices/{device}", get(read::device))
        .route("/api/events", get(events::events))
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .fallback(page::page)
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .with_state(app)
}
