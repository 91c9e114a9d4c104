//! Reading: people, groups, rooms, history, conferences, marks. Each answer is what the session's account may see.

use crate::{
    app::App,
    cache::{PAGE_BYTES_MAX, PageKey},
    door::{cookie::SignedIn, problem::Refusal},
};
use axum::{
    Json as Answer,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schulhof_school::{
    Reject,
    view::{self, ConferenceView, GroupView, MessageView, PersonView, RoomView},
};
use schulhof_wire::{
    ConferenceId, DeviceId, LogIndex, RoomId,
    api::{DeviceMarks, PAGE_LEN_MAX, Page},
};
use serde::Deserialize;
use std::{str::FromStr, sync::Arc};

/// Messages of a page when the browser names no number.
const PAGE_LEN_DEFAULT: u32 = 50;

type Signed<T> = Result<Answer<T>, Refusal>;

/// `GET /api/people`
pub async fn people(State(app): State<Arc<App>>, user: SignedIn) -> Signed<Vec<PersonView>> {
    let viewer = user.session.account;
    Ok(Answer(app.store.read_async(move |snapshot| view::people(&snapshot.kv(), &viewer)).await?))
}

/// `GET /api/groups`
pub async fn groups(State(app): State<Arc<App>>, user: SignedIn) -> Signed<Vec<GroupView>> {
    let viewer = user.session.account;
    Ok(Answer(app.store.read_async(move |snapshot| view::groups(&snapshot.kv(), &viewer)).await?))
}

/// `GET /api/rooms`
pub async fn rooms(State(app): State<Arc<App>>, user: SignedIn) -> Signed<Vec<RoomView>> {
    let viewer = user.session.account;
    Ok(Answer(app.store.read_async(move |snapshot| view::rooms(&snapshot.kv(), &viewer)).await?))
}

/// `GET /api/rooms/{room}`
pub async fn room(State(app): State<Arc<App>>, user: SignedIn, Path(room): Path<String>) -> Signed<RoomView> {
    let room: RoomId = id(&room)?;
    let viewer = user.session.account;
    let view = app.store.read_async(move |snapshot| view::room(&snapshot.kv(), &viewer, &room)).await?;
    view.map(Answer).map_err(rejected)
}

/// The query of a page of history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

/// `GET /api/rooms/{room}/messages?before=&limit=`
pub async fn messages(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(room): Path<String>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let room: RoomId = id(&room)?;
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    let limit = query.limit.unwrap_or(PAGE_LEN_DEFAULT).clamp(1, PAGE_LEN_MAX);
    let before = query.before.map(LogIndex);
    let viewer = user.session.account;
    let reader = app.clone();
    let page = app.store.read_async(move |snapshot| -> Result<Vec<u8>, Reject> {
        let kv = snapshot.kv();
        let key = before.map(|before| PageKey { room: room.clone(), before, limit });
        // Membership is asked before the cache: the cache knows pages, not rights.
        if let Some(key) = &key
            && view::room(&kv, &viewer, &room).is_ok()
            && let Some(page) = reader.cache.get(key)
        {
            return Ok(page);
        }
        let page = view::messages(&kv, &viewer, &room, before, limit)?;
        let bytes = serde_json::to_vec(&page).expect("a page is always valid JSON");
        if let Some(key) = key
            && key.before <= snapshot.head()
            && bytes.len() <= PAGE_BYTES_MAX
            && is_closed(&page, limit)
        {
            reader.cache.put(&key, &bytes);
        }
        Ok(bytes)
    });
    let bytes = page.await?.map_err(rejected)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Full and confirmed: with an upper end that is confirmed too, nothing can ever change in it.
fn is_closed(page: &Page<MessageView>, limit: u32) -> bool {
    page.items.len() == limit as usize && page.items.iter().all(|message| message.index.is_some())
}

/// `GET /api/conferences/{conference}`
pub async fn conference(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(conference): Path<String>,
) -> Signed<ConferenceView> {
    let conference: ConferenceId = id(&conference)?;
    let viewer = user.session.account;
    let view = app.store.read_async(move |snapshot| view::conference(&snapshot.kv(), &viewer, &conference)).await?;
    view.map(Answer).map_err(rejected)
}

/// `GET /api/devices/{device}`: of one's own devices, and of names that nobody has used yet.
pub async fn device(State(app): State<Arc<App>>, user: SignedIn, Path(device): Path<String>) -> Signed<DeviceMarks> {
    let device: DeviceId = id(&device)?;
    let (account, of) = (user.session.account, device.clone());
    let owner = app.store.read_async(move |snapshot| view::device_owner(&snapshot.kv(), &of)).await?;
    if owner.is_some_and(|owner| owner != schulhof_school::Actor::Account(account)) {
        return Err(rejected(Reject::DeviceOfAnother));
    }
    Ok(Answer(app.store.marks(device).await?))
}

/// An identifier from the address: what cannot be one names nothing.
pub fn id<T: FromStr>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

pub fn bad_query(rejection: &QueryRejection) -> Refusal {
    let title = format!("The address's query cannot be understood: {}.", rejection.body_text());
    Refusal::new(StatusCode::BAD_REQUEST, "bad-query", title)
}

/// A rule that forbids reading. What one may not see and what does not exist are told apart no further than the rules do.
pub fn rejected(reject: Reject) -> Refusal {
    let status = match reject {
        Reject::UnknownActor | Reject::AccountLocked => return Refusal::not_signed_in(),
        Reject::UnknownRoom | Reject::UnknownConference | Reject::UnknownAccount | Reject::UnknownGroup => {
            StatusCode::NOT_FOUND
        }
        Reject::BadExam | Reject::TooManyMembers => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::FORBIDDEN,
    };
    Refusal::new(status, reject.code(), format!("Refused: {reject}."))
}
