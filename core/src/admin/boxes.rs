//! Boxes: inviting, listing, revoking; and the CA that signs for them.

use super::{AdminDoor, Answer, refused};
use crate::{
    enrol::{BoxRecord, CaRecord, EnrolCommand, EnrolOutcome},
    meta::{MetaAnswer, MetaCommand},
};
use schulhof_net::{
    enrol::TokenId,
    identity::{Ca, SealKey},
};
use schulhof_wire::{
    NodeName, SchoolId,
    admin::{BoxState, Invitation, Private},
    enrol::{CoreNode, TOKEN_TTL_MS, code},
};
use std::time::{SystemTime, UNIX_EPOCH};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn listed(record: &BoxRecord) -> BoxState {
    BoxState {
        name: record.name.clone(),
        school: record.school.clone(),
        words: record.words.clone(),
        key: record.key.to_string(),
        joined_ms: record.joined_ms,
        renewed_ms: record.renewed_ms,
        expires_ms: record.expires_ms,
        revoked_ms: record.revoked_ms,
        software: record.software.clone(),
        ticket_key: record.ticket_key.clone(),
    }
}

impl AdminDoor {
    /// Seals the CA's key with this node's file and hands it to the meta group.
    pub(super) async fn ca_install(&self, certificate: Vec<u8>, key: Private) -> Result<Answer, Answer> {
        let unusable = |e: schulhof_net::identity::IdentityError| refused("ca", e.to_string());
        let ca = Ca::from_der(&certificate, &key.0).map_err(unusable)?;
        let sealed = SealKey::load(&self.identity).and_then(|seal| seal.seal(&ca)).map_err(unusable)?;
        self.enrol(EnrolCommand::InstallCa(CaRecord { certificate, sealed })).await?;
        Ok(Answer::Done)
    }

    pub(super) async fn box_invite(
        &self,
        operator: &NodeName,
        school: SchoolId,
        token: [u8; 32],
        ttl_ms: Option<u64>,
    ) -> Result<Answer, Answer> {
        let view = self.view().await?;
        if !view.schools.contains_key(&school) {
            return Err(refused("unknown-school", format!("there is no school {school}")));
        }
        let at_ms = now_ms();
        let expires_ms = at_ms + ttl_ms.unwrap_or(TOKEN_TTL_MS).min(TOKEN_TTL_MS);
        let by = operator.to_string();
        self.enrol(EnrolCommand::Invite { token: TokenId(token), school, by, at_ms, expires_ms }).await?;
        let view = self.groups.view().borrow().clone();
        let Some(ca) = &view.enrol.ca else { return Err(refused(code::NO_CA, "no CA is installed")) };
        let core = view.nodes.values();
        let core = core.map(|node| CoreNode { name: node.name.clone(), address: node.address.to_string() });
        Ok(Answer::BoxInvited { ca: ca.fingerprint().0, expires_ms, core: core.collect() })
    }

    pub(super) async fn boxes(&self) -> Result<Answer, Answer> {
        let view = self.view().await?;
        let boxes = view.enrol.boxes.values().map(listed).collect();
        let invitations = view.enrol.invitations.iter();
        let invitations = invitations.map(|(id, invited)| Invitation {
            id: id.short(),
            school: invited.school.clone(),
            by: invited.by.clone(),
            expires_ms: invited.expires_ms,
            used: invited.used.clone(),
            revoked_ms: invited.revoked_ms,
        });
        Ok(Answer::Boxes { boxes, invitations: invitations.collect() })
    }

    pub(super) async fn box_revoke(&self, what: String) -> Result<Answer, Answer> {
        match self.enrol(EnrolCommand::Revoke { what, at_ms: now_ms() }).await? {
            EnrolOutcome::Revoked { record } => Ok(Answer::BoxRevoked(record.map(|record| Box::new(listed(&record))))),
            other => Err(refused("internal", format!("the meta group answered {other:?}"))),
        }
    }

    async fn enrol(&self, command: EnrolCommand) -> Result<EnrolOutcome, Answer> {
        match self.propose(MetaCommand::Enrol(command)).await? {
            MetaAnswer::Enrol(EnrolOutcome::Refused { code, detail }) => Err(refused(&code, detail)),
            MetaAnswer::Enrol(outcome) => Ok(outcome),
            other => Err(refused("internal", format!("the meta group answered {other:?}"))),
        }
    }
}
