//! Enrolment: the core is the CA of its boxes (PROTOCOL.md section 7).
//!
//! What this is: which invitations and boxes there are, as the meta group keeps it. What it must not do: hold a secret: of a
//! token its hash is kept, of the CA's key a sealed form.
//!
//! - [`state`]: commands and their outcome, pure
//! - [`record`]: what is kept, behind which keys

pub mod record;
pub mod state;

#[cfg(test)]
mod tests;

pub use record::{BoxRecord, CaRecord, Invitation};
pub use state::{EnrolCommand, EnrolOutcome, apply};
