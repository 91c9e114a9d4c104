//! Lists of the school's people: read and planned here, applied when the admin says so, undone.
//!
//! The file is kept until then; the plan is made again before it is applied, and must be the same. Its operations are numbered by a device of the import's own.

use crate::{
    app::App,
    clock::unix_ms,
    door::{body::raw_bytes, cookie::SignedIn, kept::Kept, problem::Refusal, read},
    import::{
        self, parts,
        plan::{self, Plan, School},
    },
    session::random_hex,
    store::Snapshot,
};
use axum::{
    Json as Answer,
    body::Bytes,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
};
use schulhof_school::{Actor, Body, Operation, Reject, Role, view};
use schulhof_wire::{
    AccountId, DeviceId, Hlc, Seq,
    api::SubmitState,
    import::{ImportDone, ImportPlan, ImportView, LIST_LEN_MAX},
};
use serde::Deserialize;
use std::sync::Arc;

/// Random bytes in an import's name.
const NAME_LEN: usize = 10;

/// Lists that were read and not applied yet.
pub type Plans = Kept<ReadList>;

/// A list, and what it would have changed.
pub struct ReadList {
    role: Role,
    file: Bytes,
    /// Of the changes: whether the plan is still the same.
    hash: blake3::Hash,
}

/// Whose list it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    role: Listed,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Listed {
    Pupil,
    Teacher,
}

impl From<Listed> for Role {
    fn from(listed: Listed) -> Self {
        match listed {
            Listed::Pupil => Self::Pupil,
            Listed::Teacher => Self::Teacher,
        }
    }
}

/// `POST /api/imports?role=`
pub async fn read_list(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<ListQuery>, QueryRejection>,
    request: Request,
) -> Result<Answer<ImportPlan>, Refusal> {
    let Query(query) = query.map_err(|rejection| read::bad_query(&rejection))?;
    let by = user.session.account;
    // Before the file is taken in.
    let asking = by.clone();
    app.store.read_async(move |snapshot| view::may_manage(&snapshot.kv(), &asking)).await?.map_err(read::rejected)?;
    let file = raw_bytes(request, LIST_LEN_MAX).await?;
    let import = new_name("import");
    let role = query.role.into();
    let plan = planned(&app, &import, role, &file, &by).await?;
    if plan.view.problems.is_empty() {
        let hash = hash(&plan);
        app.plans.lock().keep(import, by, ReadList { role, file, hash }, unix_ms());
    }
    Ok(Answer(plan.view))
}

/// `POST /api/imports/{import}/apply`
pub async fn apply(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(import): Path<String>,
) -> Result<Answer<ImportDone>, Refusal> {
    let import: DeviceId = read::id(&import)?;
    let by = user.session.account;
    let kept = app.plans.lock().take(&import, &by, unix_ms()).ok_or_else(unknown)?;
    let plan = planned(&app, &import, kept.role, &kept.file, &by).await?;
    if hash(&plan) != kept.hash {
        let title = "Something has changed since the list was read: read it again.";
        return Err(Refusal::new(StatusCode::CONFLICT, "plan-changed", title));
    }
    let Plan { view, mut changes } = plan;
    if changes.is_empty() {
        return Ok(Answer(ImportDone { passwords: Vec::new() }));
    }
    let given = tokio::task::spawn_blocking(move || {
        let passwords = parts::give_passwords(&mut changes);
        (changes, passwords)
    });
    let (changes, passwords) = given.await.map_err(|_| Refusal::busy())?;
    let operations = parts::operations(&import, &by, Hlc::from_ms(unix_ms()), changes);
    submit(&app, import, operations).await?;
    Ok(Answer(ImportDone { passwords: parts::sheets(&view.new_people, passwords) }))
}

/// `GET /api/imports`
pub async fn list(State(app): State<Arc<App>>, user: SignedIn) -> Result<Answer<Vec<ImportView>>, Refusal> {
    let viewer = user.session.account;
    let read = app.store.read_async(move |snapshot| view::imports(&snapshot.kv(), &viewer));
    read.await?.map(Answer).map_err(read::rejected)
}

/// `POST /api/imports/{import}/undo`
pub async fn undo(
    State(app): State<Arc<App>>,
    user: SignedIn,
    Path(import): Path<String>,
) -> Result<StatusCode, Refusal> {
    let import: DeviceId = read::id(&import)?;
    let body = Body::ImportUndo { import };
    once(&app, "undo", user.session.account, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was read is not kept any more, or was applied.
pub fn unknown() -> Refusal {
    let title = "This plan is not here any more: read the file again.";
    Refusal::new(StatusCode::NOT_FOUND, "unknown-import", title)
}

/// A name for an import.
pub fn new_name(begin: &str) -> DeviceId {
    DeviceId::new(format!("{begin}:{}", random_hex::<NAME_LEN>())).expect("hexadecimal")
}

/// One operation of somebody, numbered by a device of its own.
pub async fn once(app: &App, what: &str, by: AccountId, body: Body) -> Result<(), Refusal> {
    let device = new_name(what);
    let at = Hlc::from_ms(unix_ms());
    let operation = Operation { device: device.clone(), seq: Seq(1), actor: Actor::Account(by), at, body };
    submit(app, device, vec![operation]).await
}

/// Saves them all, or says why not.
pub async fn submit(app: &App, device: DeviceId, operations: Vec<Operation>) -> Result<(), Refusal> {
    let count = operations.len();
    let answer = app.store.submit(device, operations).await?;
    if let Some(refused) = answer.results.iter().find(|result| result.state == SubmitState::Refused) {
        let code = refused.reason.as_deref().unwrap_or_default();
        let reject = Reject::ALL.iter().copied().find(|reject| reject.code() == code).unwrap_or(Reject::NotAllowed);
        let status = if reject == Reject::NotAllowed { StatusCode::FORBIDDEN } else { StatusCode::CONFLICT };
        return Err(Refusal::new(status, reject.code(), format!("Refused: {reject}.")));
    }
    let saved = answer.results.iter().filter(|result| result.state == SubmitState::Saved).count();
    if saved == count { Ok(()) } else { Err(Refusal::busy()) }
}

async fn planned(app: &App, import: &DeviceId, role: Role, file: &Bytes, by: &AccountId) -> Result<Plan, Refusal> {
    let (import, file, by) = (import.clone(), file.clone(), by.clone());
    let plan = app.store.read_async(move |snapshot| {
        let source = plan::source(role);
        view::may_manage(&snapshot.kv(), &by)?;
        let school = school(snapshot, &source, by);
        Ok(plan::make(&import, &source, import::read(&file, role), &school))
    });
    plan.await?.map_err(read::rejected)
}

fn school(snapshot: &Snapshot<'_>, source: &DeviceId, asking: AccountId) -> School {
    let kv = snapshot.kv();
    let groups = view::groups(&kv, &asking).into_iter().map(|group| (group.group, (group.name, group.kind)));
    School {
        people: view::enrolled(&kv),
        identities: view::identities(&kv, source),
        groups: groups.collect(),
        rooms: view::names_taken(&kv),
        asking: Some(asking),
    }
}

fn hash(plan: &Plan) -> blake3::Hash {
    blake3::hash(&serde_json::to_vec(&plan.changes).expect("changes are always valid JSON"))
}
