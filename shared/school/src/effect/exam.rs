//! The exam plan: the school's rules, and planning, moving and cancelling exams.
//!
//! Where a place is the last one and two plan it at the same time, the order of the log decides: the second is refused.

use crate::{
    apply::Change,
    exam::{Exam, Rules, load},
    key::{self, exam as keys},
    record::{self, PRESENT, exam::Planned},
    reject::Reject,
    rule::{self, Acting},
    store::{Kv, KvMut},
};
use schulhof_wire::{AccountId, ExamId, Hlc};

pub fn set_rules(
    store: &mut impl KvMut,
    acting: &Acting,
    rules: &Rules,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    rules.check()?;
    for editor in &rules.editors {
        if !rule::is_staff(rule::account(store, editor)?.role) {
            return Err(Reject::NotAllowed);
        }
    }
    record::save(store, keys::RULES, rules);
    changes.push(Change::Exams);
    Ok(())
}

pub fn rules(store: &(impl Kv + ?Sized)) -> Rules {
    record::load(store, keys::RULES).unwrap_or_default()
}

pub fn plan(
    store: &mut impl KvMut,
    acting: &Acting,
    (id, exam, at): (&ExamId, &Exam, Hlc),
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let actor = acting.staff()?;
    exam.check()?;
    if store.get(&keys::exam(id)).is_some() {
        return Err(Reject::IdTaken);
    }
    let rules = rules(store);
    may_plan(store, acting, &rules, exam)?;
    load::admit(store, &rules, exam, None)?;
    write(store, id, &Planned { exam: exam.clone(), by: actor.clone(), at });
    changes.push(Change::Exams);
    Ok(())
}

/// Puts another one in its place, which is the planner's still.
pub fn change(
    store: &mut impl KvMut,
    acting: &Acting,
    (id, exam): (&ExamId, &Exam),
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.staff()?;
    exam.check()?;
    let before: Planned = record::load(store, &keys::exam(id)).ok_or(Reject::UnknownExam)?;
    let rules = rules(store);
    if !may_change(acting, &rules, &before.by) {
        return Err(Reject::NotAllowed);
    }
    may_plan(store, acting, &rules, exam)?;
    load::admit(store, &rules, exam, Some(id))?;
    erase(store, id, &before.exam);
    write(store, id, &Planned { exam: exam.clone(), ..before });
    changes.push(Change::Exams);
    Ok(())
}

pub fn cancel(store: &mut impl KvMut, acting: &Acting, id: &ExamId, changes: &mut Vec<Change>) -> Result<(), Reject> {
    acting.staff()?;
    let Planned { exam, by, .. } = record::load(store, &keys::exam(id)).ok_or(Reject::UnknownExam)?;
    if !may_change(acting, &rules(store), &by) {
        return Err(Reject::NotAllowed);
    }
    erase(store, id, &exam);
    changes.push(Change::Exams);
    Ok(())
}

/// For classes and courses of one's own; with a right to it, for all.
pub fn may_plan(store: &(impl Kv + ?Sized), acting: &Acting, rules: &Rules, exam: &Exam) -> Result<(), Reject> {
    let actor = acting.staff()?;
    for group in &exam.groups {
        if store.get(&key::group(group)).is_none() {
            return Err(Reject::UnknownGroup);
        }
    }
    let own = exam.groups.iter().all(|group| store.get(&key::group_of(actor, group)).is_some());
    if own || edits(acting, rules) { Ok(()) } else { Err(Reject::NotAMember) }
}

/// One's own, or with the right to change others'.
pub fn may_change(acting: &Acting, rules: &Rules, by: &AccountId) -> bool {
    edits(acting, rules) || acting.staff().is_ok_and(|actor| actor == by)
}

pub fn edits(acting: &Acting, rules: &Rules) -> bool {
    acting.manages().is_ok() || acting.staff().is_ok_and(|actor| rules.editors.contains(actor))
}

fn write(store: &mut impl KvMut, id: &ExamId, planned: &Planned) {
    let Exam { day, groups, .. } = &planned.exam;
    record::save(store, &keys::exam(id), planned);
    store.put(&keys::on_day(*day, id), PRESENT);
    for group in groups {
        store.put(&keys::of_group(group, *day, id), PRESENT);
    }
}

fn erase(store: &mut impl KvMut, id: &ExamId, exam: &Exam) {
    store.delete(&keys::exam(id));
    store.delete(&keys::on_day(exam.day, id));
    for group in &exam.groups {
        store.delete(&keys::of_group(group, exam.day, id));
    }
}
