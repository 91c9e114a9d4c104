//! What moderators ask for: who may ask, about whom, and what it changes in the room's state. [`crate::standing`] then
//! brings the connections in line with it.

use crate::{
    DropReason, Engine,
    source::Peer,
    state::{
        RoomState,
        registers::{Full, Key},
    },
};
use schulhof_wire::{
    id::AccountId,
    media::{Order, ToClient},
    ticket::MediaRole,
};
use std::time::Instant;

/// An order that is not carried out.
enum Refusal {
    /// The sender, or the person it is about, is not who it takes.
    NotAllowed,
    Full,
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl Engine {
    pub(crate) fn order(&mut self, now: Instant, peer: Peer, order: Order) {
        let Some(session) = self.sessions.get(peer) else { return };
        let (id, place) = (session.id, session.room);
        match self.try_order(now, peer, order) {
            Ok(Outcome::Same) => {}
            Ok(Outcome::Changed) => self.settle_room(now, place),
            Ok(Outcome::Attendance) => {
                if let Some(room) = self.rooms.get(place).and_then(Option::as_ref) {
                    let stays = room.state.attendance();
                    self.tell(id, ToClient::Attendance { stays });
                }
            }
            Err(Refusal::NotAllowed) => self.stats.drop(DropReason::NotAllowed),
            Err(Refusal::Full) => {
                self.stats.drop(DropReason::Control);
                // Some of it may have been written before.
                self.settle_room(now, place);
            }
        }
    }

    fn try_order(&mut self, now: Instant, peer: Peer, order: Order) -> Result<Outcome, Refusal> {
        let now_ms = self.wall_ms(now);
        let session = self.sessions.get(peer).ok_or(Refusal::NotAllowed)?;
        let by = session.participant.account.clone();
        let by_ticket = session.standing.ticket_role == MediaRole::Moderator;
        let allowed = match &order {
            Order::Role { account, role: MediaRole::Moderator } if *account == by && by_ticket => true,
            // The school's list of conferences follows those whom it has made moderators.
            Order::End => by_ticket,
            _ => session.participant.role == MediaRole::Moderator,
        };
        if session.standing.waits || !allowed {
            return Err(Refusal::NotAllowed);
        }
        let place = session.room;
        // Nothing is written down about people who have never been here.
        let about_ticket = match about(&order) {
            Some(account) => Some(self.ticket_role_of(place, account).ok_or(Refusal::NotAllowed)?),
            None => None,
        };
        let room = self.rooms.get_mut(place).and_then(Option::as_mut).ok_or(Refusal::NotAllowed)?;
        carry_out(&mut room.state, Context { now_ms, by, about_ticket }, order)
    }

    /// Nothing: nobody of this account is or was here.
    fn ticket_role_of(&self, room: usize, account: &AccountId) -> Option<MediaRole> {
        let room = self.rooms.get(room)?.as_ref()?;
        let here = room.members.iter().chain(&room.waiting).filter_map(|peer| self.sessions.get(*peer));
        let mut roles = here.filter(|session| session.participant.account == *account);
        roles
            .next()
            .map(|session| session.standing.ticket_role)
            .or_else(|| room.state.stay_of(account).map(|stay| stay.role))
            .or_else(|| {
                let known =
                    room.state.callers().iter().chain(&room.state.blocked()).any(|known| known.account == *account);
                known.then_some(MediaRole::Participant)
            })
    }
}

enum Outcome {
    Same,
    Changed,
    Attendance,
}

impl From<bool> for Outcome {
    fn from(changed: bool) -> Self {
        if changed { Self::Changed } else { Self::Same }
    }
}

/// Whom an order is about.
fn about(order: &Order) -> Option<&AccountId> {
    match order {
        Order::Admit { account }
        | Order::Refuse { account }
        | Order::Mute { account }
        | Order::Allow { account, .. }
        | Order::LowerHand { account }
        | Order::Role { account, .. }
        | Order::HandOver { account }
        | Order::Remove { account }
        | Order::Unblock { account } => Some(account),
        Order::Spotlight { account } => account.as_ref(),
        Order::Lobby { .. }
        | Order::AdmitAll
        | Order::MuteAll
        | Order::Lock { .. }
        | Order::CamerasToModerators { .. }
        | Order::LowerHands
        | Order::End
        | Order::Attendance => None,
    }
}

struct Context {
    now_ms: u64,
    by: AccountId,
    /// The role on the ticket of whom the order is about.
    about_ticket: Option<MediaRole>,
}

fn carry_out(state: &mut RoomState, context: Context, order: Order) -> Result<Outcome, Refusal> {
    let Context { now_ms, by, about_ticket } = context;
    let by_ticket = about_ticket == Some(MediaRole::Moderator);
    let changed = match order {
        Order::Lobby { on } => {
            if on {
                // Who is in the room is in, also when the line breaks for a moment.
                let present: Vec<AccountId> = state.present().into_iter().cloned().collect();
                for account in present {
                    state.set(Key::Admitted(account), true)?;
                }
            }
            state.set(Key::Lobby, on)?
        }
        Order::Admit { account } => state.set(Key::Admitted(account), true)?,
        Order::AdmitAll => {
            let mut changed = false;
            for caller in state.callers() {
                changed |= state.set(Key::Admitted(caller.account), true)?;
            }
            changed
        }
        Order::Refuse { account } => state.refuse(&account)?,
        Order::Mute { account } => state.set(Key::Muted(account), true)?,
        Order::MuteAll => {
            let mut changed = false;
            for account in state.participants() {
                changed |= state.set(Key::Muted(account), true)?;
            }
            changed
        }
        Order::Lock { kind, on } => state.set(Key::Locked(kind), on)?,
        Order::Allow { account, kind, on } => state.set(Key::Allowed(account, kind), on)?,
        Order::CamerasToModerators { on } => state.set(Key::CamerasToModerators, on)?,
        Order::LowerHand { account } => state.set_hand(&account, now_ms, false)?,
        Order::LowerHands => state.lower_hands()?,
        Order::Spotlight { account } => state.set_spotlight(account)?,
        Order::Role { account, role } => {
            let gives_up = account == by;
            if role == MediaRole::Participant && by_ticket && !gives_up {
                return Err(Refusal::NotAllowed);
            }
            state.set(Key::Moderates(account), role == MediaRole::Moderator)?
        }
        Order::HandOver { account } if account == by => false,
        Order::HandOver { account } => {
            let given = state.set(Key::Moderates(account), true)?;
            state.set(Key::Moderates(by), false)? || given
        }
        Order::Remove { .. } if by_ticket => return Err(Refusal::NotAllowed),
        Order::Remove { account } => remove(state, now_ms, &account)?,
        Order::Unblock { account } => state.set(Key::Blocked(account), false)?,
        Order::End => state.set(Key::Ended, true)?,
        Order::Attendance => return Ok(Outcome::Attendance),
    };
    Ok(changed.into())
}

fn remove(state: &mut RoomState, now_ms: u64, account: &AccountId) -> Result<bool, Full> {
    let removed = state.set(Key::Blocked(account.clone()), true)?;
    // Should he be let back, then as anybody else.
    state.set_hand(account, now_ms, false)?;
    state.set(Key::Admitted(account.clone()), false)?;
    if state.role(account, MediaRole::Participant) == MediaRole::Moderator {
        state.set(Key::Moderates(account.clone()), false)?;
    }
    if state.rules().spotlight.as_ref() == Some(account) {
        state.set_spotlight(None)?;
    }
    Ok(removed)
}
