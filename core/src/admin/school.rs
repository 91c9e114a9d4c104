//! Schools: which there are, and where.

use super::{AdminDoor, Answer, refused};
use crate::{
    meta::{self, MetaAnswer, MetaCommand, NewSchool},
    raft::types::Group,
};
use schulhof_net::identity::{PeerIdentity, Role};
use schulhof_wire::{
    SchoolId,
    admin::{Moving, School},
};

fn listed(school: &SchoolId, found: &meta::School) -> School {
    let moving = found.moving.map(|moving| match moving {
        meta::Moving::To { group } => Moving::To(group.0),
        meta::Moving::From { group } => Moving::From(group.0),
    });
    School { school: school.clone(), name: found.name.clone(), group: found.group.0, epoch: found.epoch.0, moving }
}

impl AdminDoor {
    pub(super) async fn schools(&self) -> Result<Answer, Answer> {
        let view = self.view().await?;
        Ok(Answer::Schools(view.schools.iter().map(|(school, found)| listed(school, found)).collect()))
    }

    pub(super) async fn school_move(&self, school: SchoolId, to: Group, dry_run: bool) -> Result<Answer, Answer> {
        let command = MetaCommand::Move { school: school.clone(), to };
        let answer = if dry_run {
            self.view().await?;
            self.try_out(command).await?
        } else {
            self.propose(command).await?
        };
        match answer {
            MetaAnswer::School(found) => Ok(Answer::Schools(vec![listed(&school, &found)])),
            other => Err(refused("internal", format!("the meta group answered {other:?}"))),
        }
    }

    pub(super) async fn school_add(
        &self,
        school: SchoolId,
        name: Option<String>,
        group: Option<u32>,
    ) -> Result<Answer, Answer> {
        // A school's box has its name in a certificate.
        PeerIdentity::new(Role::Box, school.as_str()).map_err(|e| refused("school-name", e.to_string()))?;
        let new = NewSchool { school: school.clone(), name, group: group.map(Group) };
        match self.propose(MetaCommand::SchoolAdd(new)).await? {
            MetaAnswer::School(found) => Ok(Answer::Schools(vec![listed(&school, &found)])),
            other => Err(refused("internal", format!("the meta group answered {other:?}"))),
        }
    }
}
