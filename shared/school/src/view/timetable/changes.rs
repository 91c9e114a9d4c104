//! Substitutions laid over the lessons of a day.

use super::{LessonView, Names, Rosters};
use crate::{
    key::timetable::Of,
    store::Kv,
    timetable::{
        Lesson, Weeks,
        changes::{Kind, Substitution},
        class_key,
    },
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What happens to a lesson, as far as the viewer may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChangeView {
    pub kind: Kind,
    /// Whether there is a lesson all the same.
    pub held: bool,
    /// Only what is other than planned.
    pub subject: Option<String>,
    pub teacher: Option<String>,
    pub rooms: Vec<String>,
    pub text: String,
    /// As it was read in; for who may change it.
    pub source: Option<Substitution>,
}

/// The day's lessons with what happens to them, and what the plan has not.
pub fn lay<S: Kv + ?Sized>(
    names: &Names<'_, S>,
    held: &[&Lesson],
    substitutions: &[Substitution],
    rosters: &Rosters,
    (staff, may_manage): (bool, bool),
) -> Vec<LessonView> {
    let mut lessons: Vec<LessonView> = held.iter().map(|lesson| view(names, lesson, may_manage)).collect();
    let mine =
        substitutions.iter().filter(|change| (staff || change.kind != Kind::BreakDuty) && of_class(rosters, change));
    for change in mine {
        let meant: Vec<usize> = (0..held.len()).filter(|n| change.means(held[*n])).collect();
        for n in &meant {
            lessons[*n].changes.push(change_view(names, change, may_manage));
        }
        if meant.is_empty() && concerns(rosters, change) {
            lessons.push(extra(names, change, may_manage));
        }
    }
    // Stable: within a period in the plan's order.
    lessons.sort_by_key(|lesson| lesson.period);
    lessons
}

fn view<S: Kv + ?Sized>(names: &Names<'_, S>, lesson: &Lesson, may_manage: bool) -> LessonView {
    LessonView {
        period: lesson.period,
        subject: lesson.subject.clone(),
        classes: lesson.classes.clone(),
        teachers: names.all(&lesson.teachers),
        rooms: lesson.rooms.clone(),
        weeks: lesson.weeks,
        planned: true,
        changes: Vec::new(),
        source: may_manage.then(|| lesson.clone()),
    }
}

/// What is there by a substitution alone: how it will be.
fn extra<S: Kv + ?Sized>(names: &Names<'_, S>, change: &Substitution, may_manage: bool) -> LessonView {
    let told = ChangeView { subject: None, teacher: None, rooms: Vec::new(), ..change_view(names, change, may_manage) };
    LessonView {
        period: change.period,
        subject: change.teaching().to_owned(),
        classes: change.classes.clone(),
        teachers: names.of(change.teaches()).into_iter().collect(),
        rooms: change.where_to().to_vec(),
        weeks: Weeks::All,
        planned: false,
        changes: vec![told],
        source: None,
    }
}

pub fn change_view<S: Kv + ?Sized>(names: &Names<'_, S>, change: &Substitution, may_manage: bool) -> ChangeView {
    let held = change.kind.is_held();
    let subject = held && !change.new_subject.is_empty() && change.new_subject != change.subject;
    let teacher = held && !change.teacher.is_empty() && change.teacher != change.absent;
    let rooms = held && !change.new_rooms.is_empty() && change.new_rooms != change.rooms;
    ChangeView {
        kind: change.kind,
        held,
        subject: subject.then(|| change.new_subject.clone()),
        teacher: if teacher { names.of(&change.teacher) } else { None },
        rooms: if rooms { change.new_rooms.clone() } else { Vec::new() },
        text: change.text.clone(),
        source: may_manage.then(|| change.clone()),
    }
}

/// A lesson of several classes may be another one for some of them only.
fn of_class(rosters: &Rosters, change: &Substitution) -> bool {
    let mut classes = rosters.iter().filter(|(of, ..)| *of == Of::Class).peekable();
    classes.peek().is_none() || change.classes.is_empty() || classes.any(|(_, key, _)| names_class(change, key))
}

fn names_class(change: &Substitution, key: &str) -> bool {
    change.classes.iter().any(|name| class_key(name) == key)
}

fn concerns(rosters: &Rosters, change: &Substitution) -> bool {
    rosters.iter().any(|(of, key, _)| match of {
        Of::Class => names_class(change, key),
        Of::Teacher => change.absent == *key || change.teacher == *key,
        Of::Room => change.rooms.contains(key) || change.new_rooms.contains(key),
    })
}
