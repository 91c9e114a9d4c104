//! The timetable: weeks to look at, and files of a timetable program, read here and applied when an admin says so.

use crate::{
    app::App,
    clock::unix_ms,
    door::{
        body::raw_bytes,
        cookie::SignedIn,
        import::{new_name, submit, unknown},
        kept::Kept,
        problem::Refusal,
        read,
    },
    import::{
        draft::{self, Draft},
        lessons,
    },
};
use axum::{
    Json as Answer,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
};
use schulhof_school::view::{
    self,
    timetable::{ScreenView, TimetableView, WeekView, Whose},
};
use schulhof_wire::{
    Day, DeviceId, Hlc,
    timetable::{FILE_LEN_MAX, FileKind, TimetableDraft, WatchView},
};
use serde::Deserialize;
use std::sync::Arc;

/// Files that were read and not applied yet.
pub type Drafts = Kept<Draft>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimetableQuery {
    /// Any day of the week.
    week: Day,
}

/// `GET /api/timetable?week=`
pub async fn timetable(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<TimetableQuery>, QueryRejection>,
) -> Result<Answer<TimetableView>, Refusal> {
    let Query(TimetableQuery { week }) = query.map_err(|rejection| read::bad_query(&rejection))?;
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| view::timetable::timetable(&snapshot.kv(), &viewer, week));
    read.await?.map(Answer).map_err(read::rejected)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeekQuery {
    /// Any day of it.
    week: Day,
    #[serde(default)]
    of: Of,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    #[default]
    Own,
    Class,
    Teacher,
    Room,
}

/// `GET /api/timetable/week?week=&of=&name=`
pub async fn week(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<WeekQuery>, QueryRejection>,
) -> Result<Answer<WeekView>, Refusal> {
    let Query(WeekQuery { week, of, name }) = query.map_err(|rejection| read::bad_query(&rejection))?;
    let whose = match of {
        Of::Own => Whose::Own,
        Of::Class => Whose::Class(name),
        Of::Teacher => Whose::Teacher(name),
        Of::Room => Whose::Room(name),
    };
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| view::timetable::week(&snapshot.kv(), &viewer, &whose, week));
    read.await?.map(Answer).map_err(read::rejected)
}

/// Which file it is, and from when on it holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    kind: FileKind,
    from: Day,
    until: Option<Day>,
}

/// `POST /api/timetable/imports?kind=&from=&until=`
pub async fn read_file(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<FileQuery>, QueryRejection>,
    request: Request,
) -> Result<Answer<TimetableDraft>, Refusal> {
    let Query(query) = query.map_err(|rejection| read::bad_query(&rejection))?;
    let by = user.session.account;
    // Before the file is taken in.
    let asking = by.clone();
    app.store.read_async(move |snapshot| view::may_manage(&snapshot.kv(), &asking)).await?.map_err(read::rejected)?;
    let file = raw_bytes(request, FILE_LEN_MAX).await?;
    let import = new_name("timetable");
    let (named, viewer) = (import.clone(), by.clone());
    let read = app.store.read_async(move |snapshot| {
        let FileQuery { kind, from, until } = query;
        let input = draft::Input { import: &named, kind, file: &file, weeks: None, from, until, viewer: &viewer };
        draft::make(&snapshot.kv(), &input)
    });
    let (view, draft) = read.await?;
    if view.problems.is_empty() {
        app.drafts.lock().keep(import, by, draft, unix_ms());
    }
    Ok(Answer(view))
}

/// `POST /api/timetable/imports/{import}/apply`
pub async fn apply(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(import): Path<String>,
) -> Result<StatusCode, Refusal> {
    let import: DeviceId = read::id(&import)?;
    let by = user.session.account;
    let Draft { scope, items } = app.drafts.lock().take(&import, &by, unix_ms()).ok_or_else(unknown)?;
    let operations = lessons::operations(&import, &by, Hlc::from_ms(unix_ms()), scope, items);
    submit(&app, import, operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreenQuery {
    /// What day it is where the screen hangs.
    day: Day,
}

/// `GET /api/screen/{secret}?day=`: for whoever knows the secret. Of other days than today nothing is told.
pub async fn screen(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    query: Result<Query<ScreenQuery>, QueryRejection>,
) -> Result<Answer<ScreenView>, Refusal> {
    let Query(ScreenQuery { day }) = query.map_err(|rejection| read::bad_query(&rejection))?;
    // Somewhere it is yesterday still, or tomorrow already.
    let today = Day::from_unix_ms(unix_ms());
    let day = day.clamp(today.plus(-1), today.plus(1));
    let read = app.store.read_async(move |snapshot| view::timetable::screen(&snapshot.kv(), &secret, day));
    read.await?.map(Answer).ok_or_else(Refusal::not_found)
}

/// `GET /api/timetable/watch`
pub async fn watch(State(app): State<Arc<App>>, user: SignedIn) -> Result<Answer<WatchView>, Refusal> {
    let viewer = user.session.account;
    app.store.read_async(move |snapshot| view::may_manage(&snapshot.kv(), &viewer)).await?.map_err(read::rejected)?;
    Ok(Answer(app.watched.lock().clone()))
}
