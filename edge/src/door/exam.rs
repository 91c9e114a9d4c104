//! The exam plan: what is in it, and how full days would be for those who are to write.

use crate::{
    app::App,
    door::{cookie::SignedIn, problem::Refusal, read},
};
use axum::{
    Json as Answer,
    extract::{Query, State, rejection::QueryRejection},
};
use schulhof_school::{
    exam::{GROUPS_MAX, Kind},
    view::{
        self,
        exam::{DayLoad, ExamsView},
    },
};
use schulhof_wire::{Day, ExamId, GroupId};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanQuery {
    from: Day,
    until: Day,
}

/// `GET /api/exams?from=&until=`
pub async fn exams(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<SpanQuery>, QueryRejection>,
) -> Result<Answer<ExamsView>, Refusal> {
    let Query(SpanQuery { from, until }) = query.map_err(|rejection| read::bad_query(&rejection))?;
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| view::exam::exams(&snapshot.kv(), &viewer, (from, until)));
    read.await?.map(Answer).map_err(read::rejected)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadQuery {
    /// Parted by commas.
    groups: String,
    kind: Kind,
    from: Day,
    until: Day,
    /// The exam that is to be moved.
    except: Option<ExamId>,
}

/// `GET /api/exams/load?groups=&kind=&from=&until=&except=`
pub async fn load(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<LoadQuery>, QueryRejection>,
) -> Result<Answer<Vec<DayLoad>>, Refusal> {
    let Query(LoadQuery { groups, kind, from, until, except }) =
        query.map_err(|rejection| read::bad_query(&rejection))?;
    let groups: Vec<GroupId> = groups.split(',').take(GROUPS_MAX + 1).map(read::id).collect::<Result<_, _>>()?;
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| {
        view::exam::load(&snapshot.kv(), &viewer, &groups, kind, (from, until), except.as_ref())
    });
    read.await?.map(Answer).map_err(read::rejected)
}
