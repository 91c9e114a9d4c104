//! What each kind of operation does. Every effect first asks all of its rules, then writes: a rejected operation leaves no
//! trace besides its number.

mod account;
pub mod conference;
pub mod exam;
mod import;
mod message;
pub mod room;
pub mod timetable;

use crate::{
    apply::{Change, Position},
    key,
    op::{Body, Operation},
    reject::Reject,
    rule::{self, Acting},
    store::{Kv, KvMut},
};

/// Rules and effect of an operation that is the next of its device.
pub fn perform(
    store: &mut impl KvMut,
    position: Position,
    op: &Operation,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let acting = rule::acting(store, &op.actor)?;
    password_first(store, &acting, &op.body)?;
    match &op.body {
        Body::SchoolName { name } => account::name_school(store, &acting, name),
        Body::AccountCreate { account, login, name, role, password } => {
            let new = account::New { account, login, name, role: *role, password };
            account::create(store, &acting, &new, changes)
        }
        Body::AccountPassword { account, password } => {
            account::set_password(store, &acting, account, password, changes)
        }
        Body::AccountLock { account, locked } => account::lock(store, &acting, account, *locked, changes),
        Body::ImportPart { import, part, changes: parts } => import::keep(store, &acting, (import, *part), parts),
        Body::ImportApply { import, parts } => {
            import::apply(store, &acting, &import::Order { import, parts: *parts, by: &op.actor, at: op.at }, changes)
        }
        Body::ImportUndo { import } => import::undo(store, &acting, import, changes),
        Body::GroupCreate { group, name, kind } => room::create_group(store, &acting, group, name, *kind, changes),
        Body::GroupMembers { group, add, remove } => {
            room::change_group_members(store, &acting, group, add, remove, changes)
        }
        Body::RoomCreate { room, name, members } => room::create(store, &acting, room, name, members, changes),
        Body::RoomMembers { room, add, remove } => room::change_members(store, &acting, room, add, remove, changes),
        Body::RoomDirect { with } => room::open_direct(store, &acting, with, changes),
        Body::MessagePost { room, text, attachments } => {
            message::post(store, &acting, position, op, &message::New { room, text, attachments }, changes)
        }
        Body::ReadMark { room, upto } => message::mark_read(store, &acting, room, *upto, changes),
        Body::ConferenceOpen { conference, room, title, expected } => {
            let new = conference::New { conference, room, title, expected: *expected, at: op.at };
            conference::open(store, &acting, &new, changes)
        }
        Body::ConferenceClose { conference } => conference::close(store, &acting, conference, changes),
        Body::ExamRules { rules } => exam::set_rules(store, &acting, rules, changes),
        Body::ExamPlan { exam, plan } => exam::plan(store, &acting, (exam, plan, op.at), changes),
        Body::ExamChange { exam, plan } => exam::change(store, &acting, (exam, plan), changes),
        Body::ExamCancel { exam } => exam::cancel(store, &acting, exam, changes),
        Body::TimetableSettings { settings } => timetable::set(store, &acting, settings, changes),
        Body::TimetablePart { import, part, items } => timetable::keep(store, &acting, (import, *part), items),
        Body::TimetableApply { import, parts, scope } => {
            let order = timetable::Order { import, parts: *parts, scope: *scope, by: &op.actor, at: op.at };
            timetable::apply(store, &acting, &order, changes)
        }
        Body::TimetableRemove { plan } => timetable::remove(store, &acting, plan, changes),
        Body::TimetableTeacher { short, account } => timetable::call(store, &acting, short, account.as_ref(), changes),
        Body::TimetableDay { day, text } => timetable::say(store, &acting, *day, text, changes),
        Body::TimetableScreen { key } => timetable::show(store, &acting, key.as_ref()),
        Body::TimetableWatch { on } => timetable::watch(store, &acting, *on),
        Body::TimetableEdit { plan, remove, add } => {
            timetable::edit(store, &acting, plan, &timetable::Edit { remove, add }, changes)
        }
        Body::TimetableChange { remove, add } => {
            timetable::change(store, &acting, op.at, &timetable::Edit { remove, add }, changes)
        }
    }
}

/// Who has a first password, which others have seen on paper, changes it and does nothing else before.
fn password_first(store: &impl Kv, acting: &Acting, body: &Body) -> Result<(), Reject> {
    let Acting::Person { account: actor, .. } = acting else { return Ok(()) };
    let changes_it = matches!(body, Body::AccountPassword { account, .. } if account == actor);
    if !changes_it && store.get(&key::first_password(actor)).is_some() { Err(Reject::PasswordFirst) } else { Ok(()) }
}
