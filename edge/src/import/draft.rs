//! A timetable's file beside what the school has: what it would change, and as what it would be applied.

use super::{changes, duties, lessons, weeks};
use schulhof_school::{
    Kv,
    timetable::{Item, Scope},
    view::timetable as view,
};
use schulhof_wire::{
    AccountId, Day, DeviceId,
    timetable::{FileKind, TimetableDraft},
};

/// What is to be read, and for whom.
pub struct Input<'a> {
    pub import: &'a DeviceId,
    pub kind: FileKind,
    pub file: &'a [u8],
    /// With a plan: the file that says in which weeks its lessons are held. Without, what is known of them stays.
    pub weeks: Option<&'a [u8]>,
    pub from: Day,
    pub until: Option<Day>,
    pub viewer: &'a AccountId,
}

/// What a file says.
pub struct Draft {
    pub scope: Scope,
    pub items: Vec<Item>,
}

pub fn make(kv: &impl Kv, input: &Input<'_>) -> (TimetableDraft, Draft) {
    let groups = view::classes_of_groups(kv, input.viewer);
    let Input { import, kind, from, until, .. } = *input;
    let head = (import, kind, from);
    match kind {
        FileKind::Plan => {
            let lessons::File { format, lessons, mut problems } = lessons::read(input.file);
            let known = view::planned(kv, from);
            let held = match input.weeks.map(weeks::read) {
                Some(file) if file.problems.is_empty() => file.held,
                Some(_) => {
                    problems.add((0, 0), "broken-weeks", "");
                    weeks::known(&known)
                }
                None => weeks::known(&known),
            };
            let lessons = weeks::join(lessons, &held);
            let sets = (&lessons, &known);
            let view = lessons::draft(head, (format, problems), sets, |one| &one.classes, lessons::line, &groups);
            (view, Draft { scope: Scope::Plan { from, until }, items: lessons.into_iter().map(Item::Lesson).collect() })
        }
        FileKind::Weeks => {
            let weeks::File { format, held, mut problems } = weeks::read(input.file);
            let known = view::planned(kv, from);
            if known.is_empty() {
                problems.add((0, 0), "no-plan", "");
            }
            let lessons = weeks::join(known.clone(), &held);
            let sets = (&lessons, &known);
            let view = lessons::draft(head, (format, problems), sets, |one| &one.classes, lessons::line, &groups);
            (view, Draft { scope: Scope::Plan { from, until }, items: lessons.into_iter().map(Item::Lesson).collect() })
        }
        FileKind::Changes => {
            let changes::File { format, changes, problems } = changes::read(input.file);
            // Days before the file's first are not its business; an empty one says that there are none from now on.
            let from = changes::first_day(&changes).unwrap_or(from);
            let known = view::substituted(kv, from);
            let sets = (&changes, &known);
            let head = (import, kind, from);
            let view = lessons::draft(head, (format, problems), sets, |one| &one.classes, changes::line, &groups);
            (view, Draft { scope: Scope::Changes { from }, items: changes.into_iter().map(Item::Change).collect() })
        }
        FileKind::Duties => {
            let duties::File { format, duties, problems } = duties::read(input.file);
            let known = view::duties(kv);
            let sets = (&duties, &known);
            let view = lessons::draft(head, (format, problems), sets, |_| &[], duties::line, &groups);
            (view, Draft { scope: Scope::Duties, items: duties.into_iter().map(Item::Duty).collect() })
        }
    }
}
