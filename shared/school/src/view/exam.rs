//! The exam plan, as its viewer may see it.

use super::{AccountView, GroupView, account, groups};
use crate::{
    effect::exam as rights,
    exam::{Exam, GROUPS_MAX, Kind, Rules, load},
    key::{self, exam as keys},
    op::{Actor, GroupKind},
    record::{self, Group, exam::Planned},
    reject::Reject,
    rule,
    store::Kv,
};
use schulhof_wire::{AccountId, Day, ExamId, GroupId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use ts_rs::TS;

/// Most days that are looked at together: a school year.
pub const DAYS_MAX: i32 = 400;
/// Most days whose load is told together: a quarter.
pub const LOAD_DAYS_MAX: i32 = 92;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ExamView {
    pub exam: ExamId,
    pub kind: Kind,
    pub subject: String,
    pub day: Day,
    pub from: u8,
    pub to: u8,
    pub groups: Vec<GroupId>,
    /// Of the groups, in the same order.
    pub group_names: Vec<String>,
    pub room: String,
    pub by: AccountId,
    /// Of who planned it; empty for pupils.
    pub by_name: String,
    pub may_change: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ExamsView {
    /// By day and period.
    pub exams: Vec<ExamView>,
    pub rules: Rules,
    /// Groups that the viewer may plan for.
    pub groups: Vec<GroupView>,
    /// Whether the rules are the viewer's to set.
    pub may_manage: bool,
}

/// How full a day would be for those who are to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DayLoad {
    pub day: Day,
    /// Most exams that count, of whoever has the most.
    pub on_day: u8,
    pub in_week: u8,
    /// One more would be more than the school wants.
    pub over: bool,
    /// For how many pupils.
    pub pupils: u32,
    /// Nobody writes, and why.
    pub blocked: Option<String>,
    pub exams: Vec<ExamId>,
}

fn viewing(store: &(impl Kv + ?Sized), viewer: &AccountId) -> Result<AccountView, Reject> {
    let account = account(store, viewer).ok_or(Reject::UnknownActor)?;
    if account.locked { Err(Reject::AccountLocked) } else { Ok(account) }
}

/// Pupils see what they write; staff see all.
pub fn exams(store: &(impl Kv + ?Sized), viewer: &AccountId, (from, until): (Day, Day)) -> Result<ExamsView, Reject> {
    let viewing = viewing(store, viewer)?;
    let staff = rule::is_staff(viewing.role);
    let acting = rule::acting(store, &Actor::Account(viewer.clone()))?;
    let rules = rights::rules(store);
    let own: BTreeSet<GroupId> = record::ids(store, &key::groups_of(viewer)).into_iter().collect();
    let until = until.min(from.plus(DAYS_MAX));
    let range = keys::days(from, until);
    let mut ids: Vec<ExamId> = Vec::new();
    store.scan(&range.0, &range.1, false, &mut |key, _| {
        ids.push(keys::listed(key, &range));
        true
    });
    let mut exams: Vec<ExamView> = ids
        .iter()
        .filter_map(|id| Some((id, record::load::<Planned>(store, &keys::exam(id))?)))
        .filter(|(_, planned)| staff || planned.exam.groups.iter().any(|group| own.contains(group)))
        .map(|(id, Planned { exam, by, .. })| {
            let may_change = rights::may_change(&acting, &rules, &by);
            let by_name =
                if staff { account(store, &by).map_or_else(String::new, |known| known.name) } else { String::new() };
            exam_view(store, id, exam, (by, by_name, may_change))
        })
        .collect();
    exams.sort_by(|a, b| (a.day, a.from, &a.subject, &a.exam).cmp(&(b.day, b.from, &b.subject, &b.exam)));
    let all = rights::edits(&acting, &rules);
    let mut groups = if staff { groups(store, viewer) } else { Vec::new() };
    groups.retain(|group| group.kind != GroupKind::Staff && (all || own.contains(&group.group)));
    let may_manage = acting.manages().is_ok();
    // Who may change others' exams is nobody else's concern.
    let rules = if may_manage { rules } else { Rules { editors: Vec::new(), ..rules } };
    Ok(ExamsView { exams, rules, groups, may_manage })
}

fn exam_view(
    store: &(impl Kv + ?Sized),
    id: &ExamId,
    exam: Exam,
    (by, by_name, may_change): (AccountId, String, bool),
) -> ExamView {
    let Exam { kind, subject, day, from, to, groups, room } = exam;
    let name = |group: &GroupId| {
        record::load::<Group>(store, &key::group(group)).map_or_else(|| group.to_string(), |known| known.name)
    };
    let group_names = groups.iter().map(name).collect();
    ExamView { exam: id.clone(), kind, subject, day, from, to, groups, group_names, room, by, by_name, may_change }
}

/// How full the school days of a span are for some classes and courses and everybody in them, for staff. `except` is an
/// exam that is to be moved.
pub fn load(
    store: &(impl Kv + ?Sized),
    viewer: &AccountId,
    groups: &[GroupId],
    kind: Kind,
    (from, until): (Day, Day),
    except: Option<&ExamId>,
) -> Result<Vec<DayLoad>, Reject> {
    if !rule::is_staff(viewing(store, viewer)?.role) {
        return Err(Reject::NotAllowed);
    }
    if groups.len() > GROUPS_MAX {
        return Err(Reject::BadExam);
    }
    let until = until.min(from.plus(LOAD_DAYS_MAX));
    let rules = rights::rules(store);
    let load = load::Load::of(store, groups, (from, until), except)?;
    Ok(load::school_days(from, until)
        .map(|day| {
            let load::Fullness { day: on_day, week: in_week, exams } = load.on(&rules, day);
            let against = load.against_any(&rules, kind, day);
            DayLoad {
                day,
                on_day,
                in_week,
                over: against.day_full || against.week_full,
                pupils: against.pupils,
                blocked: rules.blocked_on(day).map(str::to_owned),
                exams: exams.into_iter().collect(),
            }
        })
        .collect())
}
