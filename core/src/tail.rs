//! Old entries of the schools' logs go away: looked at by whichever node leads a school's group, done by all.
//!
//! What it must not do: decide by a clock or disk of this node. What is kept is counted in entries, and their age is taken
//! from the entries themselves ([`crate::state::tail`]).

use crate::{
    meta::School,
    raft::{
        Groups, ProposeError,
        types::{Answer, Command},
    },
    state::tail::{BLOCK, Tail},
};
use schulhof_wire::{LogIndex, SchoolId};
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

/// Between two looks at schools that are led here: one or two look-ups for each.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Schools of one look, so that thousands of quiet ones cost little; the next look goes on after them.
pub const SCHOOLS_PER_LOOK: usize = 50;
/// Blocks of one school in one round: a school with much history lets the others have their turn.
const BLOCKS_MAX: usize = 20;

/// What is kept of each school's log: so many entries and those of so many days, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub entries: u64,
    pub days: u32,
}

/// Why a tail stays as it is for now.
#[derive(Debug, thiserror::Error)]
enum TrimError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("the log of the school cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Until it is dropped.
pub async fn drive(groups: Arc<Groups>, keep: Keep) {
    // Tails whose oldest entries were too young, and when to look again.
    let mut again: BTreeMap<SchoolId, LogIndex> = BTreeMap::new();
    let mut after = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let view = groups.view().borrow().clone();
        again.retain(|school, _| view.schools.contains_key(school));
        let may = |place: &School| groups.leads(place.group) && place.moving.is_none() && groups.all_current();
        for (school, place) in turn(&view.schools, &mut after, may) {
            if let Err(e) = trim(&groups, school, place, keep, &mut again).await {
                tracing::warn!(%school, "old entries are deleted later: {e}");
            }
        }
    }
}

/// The next schools that may be looked at, from the one after `after` on, around in a circle.
pub fn turn<'a>(
    schools: &'a BTreeMap<SchoolId, School>,
    after: &mut Option<SchoolId>,
    may: impl Fn(&School) -> bool,
) -> Vec<(&'a SchoolId, &'a School)> {
    let (before, behind): (Vec<_>, Vec<_>) =
        schools.iter().partition(|(school, _)| after.as_ref().is_some_and(|after| *school <= after));
    let round = behind.into_iter().chain(before).filter(|(_, place)| may(place));
    let found: Vec<_> = round.take(SCHOOLS_PER_LOOK).collect();
    *after = found.last().map(|(school, _)| (*school).clone());
    found
}

async fn trim(
    groups: &Groups,
    school: &SchoolId,
    place: &School,
    keep: Keep,
    again: &mut BTreeMap<SchoolId, LogIndex>,
) -> Result<(), TrimError> {
    for _ in 0..BLOCKS_MAX {
        let not_before = again.get(school).copied().unwrap_or(LogIndex(0));
        let (store, named) = (groups.store(place.group)?.clone(), school.clone());
        let look = tokio::task::spawn_blocking(move || store.tail(&named, keep, not_before));
        let first = match look.await.map_err(io::Error::other)?? {
            Tail::Short => return Ok(()),
            Tail::Young { head } => {
                again.insert(school.clone(), LogIndex(head.0 + BLOCK));
                return Ok(());
            }
            Tail::Old { first } => first,
        };
        let command = Command::Trim { school: school.clone(), epoch: place.epoch, first };
        match groups.propose(place.group, command).await? {
            Answer::Trimmed { first } => {
                metrics::counter!("schulhof_core_entries_trimmed_total").increment(BLOCK);
                tracing::debug!(%school, first = first.0, "old entries were deleted");
            }
            // It is on its way to another group.
            _ => return Ok(()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Epoch, Group};

    #[test]
    fn each_school_that_may_be_looked_at_has_its_turn_before_any_has_it_again() {
        let place = |n: usize| School { name: None, group: Group(n as u32 % 2), epoch: Epoch::FIRST, moving: None };
        let schools: BTreeMap<SchoolId, School> =
            (0..240).map(|n| (SchoolId::new(format!("s-{n:03}")).unwrap(), place(n))).collect();
        let mut after = None;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let found = turn(&schools, &mut after, |place| place.group == Group(1));
            assert_eq!(found.len(), SCHOOLS_PER_LOOK);
            seen.extend(found.into_iter().map(|(school, _)| school.clone()));
        }
        let first: std::collections::BTreeSet<_> = seen[..120].iter().collect();
        assert_eq!(first.len(), 120, "all of them once");
        assert_eq!(seen[120..], seen[..30], "then from the beginning");
        assert!(turn(&schools, &mut after, |_| false).is_empty() && after.is_none());
    }
}
