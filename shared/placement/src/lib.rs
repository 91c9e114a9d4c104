//! Where a conference's media goes: tickets that let a browser in, and the budget against which they are given.
//!
//! Place: pure, beside `school`, above `wire`; used by the media engine, the box, the relay and the tests.
//! It must not read clocks, sockets, files or randomness: time and jitter are arguments, so the same calls give the
//! same answers.
//!
//! - [`pass`]: signing and checking of [`schulhof_wire::pass::PassClaims`]
//! - [`keys`]: which keys may sign for a school
//! - [`ticket`]: signing and checking of [`schulhof_wire::ticket::Claims`] (Ed25519, RFC 8032)
//! - [`budget`]: what a node can carry, and what a room of n people costs
//! - [`admission`]: reservation before joining: a new room is taken whole or queued, an admitted one is never harmed

pub mod admission;
pub mod budget;
pub mod keys;
pub mod pass;
pub mod ticket;
mod token;

pub use admission::{Admission, Admitted, Load, Room};
pub use budget::{Budget, Demand};
pub use keys::TicketKeys;
pub use pass::PassError;
pub use ticket::{PublicKey, TicketError, TicketKey};
