//! The info screen in the lobby: what is other than planned today and on the next school day.
//!
//! Nobody signs in for it; its address is secret, and only the address' hash is known here. It shows what pupils may see, and
//! nothing that concerns teachers alone.

use super::{ChangeView, Names, changes::change_view, plans, settings, substitutions, teachers, text_of};
use crate::{
    key::timetable as keys,
    record::{self, timetable::Screen},
    store::Kv,
    timetable::{Period, changes::Kind},
    view::school_name,
};
use schulhof_wire::{BlobHash, Day};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use ts_rs::TS;

/// Days that are shown, and how far ahead they are looked for.
const DAYS_SHOWN: usize = 2;
const DAYS_AHEAD: i32 = 7;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ScreenView {
    pub school_name: String,
    pub days: Vec<ScreenDay>,
    pub periods: Vec<Period>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ScreenDay {
    pub day: Day,
    pub text: String,
    pub rows: Vec<ScreenRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ScreenRow {
    pub classes: Vec<String>,
    pub period: u8,
    pub subject: String,
    pub change: ChangeView,
}

/// From `today` on. Nothing if the secret is not the one.
pub fn screen(store: &(impl Kv + ?Sized), secret: &str, today: Day) -> Option<ScreenView> {
    let Screen(hash) = record::load(store, keys::SCREEN)?;
    if BlobHash(*blake3::hash(secret.as_bytes()).as_bytes()) != hash {
        return None;
    }
    let settings = settings(store);
    let calls = teachers(store);
    let names = Names { store, calls: &calls, hidden: settings.teachers_hidden, known: RefCell::default() };
    let has_plan = !plans(store).is_empty();
    let mut days = Vec::new();
    for day in (0..DAYS_AHEAD).map(|n| today.plus(n)) {
        let rows: Vec<ScreenRow> = substitutions(store, day)
            .iter()
            .filter(|change| change.kind != Kind::BreakDuty && !change.classes.is_empty())
            .map(|change| ScreenRow {
                classes: change.classes.clone(),
                period: change.period,
                subject: change.subject.clone(),
                change: change_view(&names, change, false),
            })
            .collect();
        let text = text_of(store, day);
        let school_day = day.weekday() <= 5 && has_plan;
        if (school_day || !rows.is_empty() || !text.is_empty()) && days.len() < DAYS_SHOWN {
            days.push(ScreenDay { day, text, rows });
        }
    }
    Some(ScreenView { school_name: school_name(store), days, periods: settings.periods })
}
