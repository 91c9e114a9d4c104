//! Moves of schools between groups, driven by whichever node leads the meta group.
//!
//! How far a move is stands in the meta group's records ([`Moving`]); each step may be repeated, by the same node or by the
//! next leader, and is then answered as the first time. So nothing is lost with a node that dies in between:
//!
//! 1. the old group seals the school: from here on boxes are asked to come again
//! 2. the dump of the sealed school is loaded chunk by chunk into the new group, at the next epoch
//! 3. the meta group names the new place: from here on boxes are sent there
//! 4. the old group drops what it has, and the meta group notes that the move is over

use super::{MetaAnswer, MetaCommand, Moving, School};
use crate::{
    raft::{
        Groups, ProposeError,
        types::{Answer, Command, Epoch, Group, Loaded, META},
    },
    state::{
        place::{Place, Stage},
        school::Parts,
    },
};
use schulhof_wire::{LogIndex, SchoolId};
use std::{io, sync::Arc, time::Duration};

/// Between two looks, when nothing changes or a step failed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// This node's copy of the old group has the seal within this time, or the move is tried again.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
const CATCH_UP_EVERY: Duration = Duration::from_millis(10);

/// Why a step did not succeed; it is tried again.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("the state cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("group {group} answered {answer}")]
    Unexpected { group: Group, answer: Answer },
    #[error("{0}")]
    Other(String),
}

/// Carries out what stands in the records, one school after the other, until it is dropped.
pub async fn drive(groups: Arc<Groups>) {
    let mut view = groups.view();
    loop {
        let moving: Vec<(SchoolId, School)> = if groups.leads(META) {
            let view = view.borrow_and_update();
            view.schools.iter().filter(|(_, s)| s.moving.is_some()).map(|(id, s)| (id.clone(), s.clone())).collect()
        } else {
            view.borrow_and_update();
            Vec::new()
        };
        let mut failed = false;
        for (school, place) in moving {
            if let Err(e) = step(&groups, &school, &place).await {
                tracing::warn!(%school, "a move goes on later: {e}");
                failed = true;
            }
        }
        if failed {
            tokio::time::sleep(LOOK_EVERY).await;
        } else {
            // The lead changes without the view: look again now and then.
            let _ = tokio::time::timeout(LOOK_EVERY, view.changed()).await;
        }
    }
}

async fn step(groups: &Groups, school: &SchoolId, place: &School) -> Result<(), StepError> {
    match place.moving {
        None => Ok(()),
        Some(Moving::To { group }) => {
            let head = seal(groups, school, place.group, place.epoch).await?;
            let epoch = place.epoch.next();
            load(groups, school, place.group, group, epoch).await?;
            tracing::info!(%school, from = place.group.0, to = group.0, epoch = epoch.0, head = head.0, "a school moved");
            note(groups, MetaCommand::Moved { school: school.clone(), epoch }).await
        }
        Some(Moving::From { group }) => {
            let epoch = Epoch(place.epoch.0 - 1);
            let drop = Command::Drop { school: school.clone(), epoch };
            match groups.propose_there(group, drop).await? {
                Answer::Dropped => {}
                answer => return Err(StepError::Unexpected { group, answer }),
            }
            note(groups, MetaCommand::Left { school: school.clone(), epoch: place.epoch }).await
        }
    }
}

/// Writes down how far the move is; a refusal means that somebody else has.
async fn note(groups: &Groups, command: MetaCommand) -> Result<(), StepError> {
    match groups.propose(META, Command::Meta(command)).await? {
        Answer::Meta(MetaAnswer::Refused { code, detail }) => {
            tracing::info!(code, "a step was done already: {detail}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Ends with the school sealed, and with the seal in this node's own copy.
async fn seal(groups: &Groups, school: &SchoolId, group: Group, epoch: Epoch) -> Result<LogIndex, StepError> {
    let seal = Command::Seal { school: school.clone(), epoch };
    let head = match groups.propose_there(group, seal).await? {
        Answer::Sealed { head } => head,
        answer => return Err(StepError::Unexpected { group, answer }),
    };
    let store = groups.store(group)?;
    let caught_up = async {
        loop {
            let (store, school) = (store.clone(), school.clone());
            let place = tokio::task::spawn_blocking(move || store.place(&school)).await.map_err(io::Error::other)??;
            if place == (Place { epoch, stage: Stage::Sealed }) {
                return Ok(());
            }
            tokio::time::sleep(CATCH_UP_EVERY).await;
        }
    };
    match tokio::time::timeout(CATCH_UP_MAX, caught_up).await {
        Ok(result) => result.map(|()| head),
        Err(_) => Err(StepError::Other(format!("this node is behind in group {group}"))),
    }
}

/// Loads the sealed school into the other group. All replicas make the same chunks of it, so that it does not matter whose
/// are taken when two nodes do this at once.
async fn load(groups: &Groups, school: &SchoolId, from: Group, to: Group, epoch: Epoch) -> Result<(), StepError> {
    let (store, named) = (groups.store(from)?.clone(), school.clone());
    let open = move || store.dump_school(&named, Parts::StateAndEntries);
    let mut dump = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
    for number in 0.. {
        let read = tokio::task::spawn_blocking(move || (dump.next_chunk(), dump)).await.map_err(io::Error::other)?;
        dump = read.1;
        let Some(chunk) = read.0? else { break };
        let chunk = Arc::new(chunk.encode());
        let command = Command::Load { school: school.clone(), epoch, number, chunk };
        match groups.propose_there(to, command).await? {
            Answer::Loaded(Loaded::Next(next)) if next == number + 1 => {}
            Answer::Loaded(Loaded::Whole) => return Ok(()),
            answer => return Err(StepError::Unexpected { group: to, answer }),
        }
    }
    Err(StepError::Other(format!("group {to} did not say that the school is whole")))
}
