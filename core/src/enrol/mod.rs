//! Enrolment: the core is the CA of its boxes (PROTOCOL.md section 7).
//!
//! What this is: which invitations and boxes there are, as the meta group keeps it, and the door to that. What it must not do:
//! hold a secret: of a token its hash is kept, of the CA's key a sealed form.
//!
//! - [`state`]: commands and their outcome, pure
//! - [`record`]: what is kept, behind which keys; `view`: the same in memory
//! - `door`: boxes that join or renew, within `limit`
//! - `guard`: keeps revoked boxes out of all doors

mod door;
mod guard;
mod limit;
pub mod record;
pub mod state;
mod view;

#[cfg(test)]
mod tests;

pub use door::EnrolDoor;
pub use guard::Guard;
pub use record::{BoxRecord, CaRecord, Invitation};
pub use state::{EnrolCommand, EnrolOutcome, apply};
pub use view::View;
