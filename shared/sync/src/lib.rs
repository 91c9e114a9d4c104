//! Both ends of the log's way between a box and the core. Sans-IO: frames and times come in, frames and times go out.
//!
//! Place: above `school` and `wire`; the box drives [`BoxSync`], the core one [`CoreSession`] per connection. No sockets,
//! clock, randomness or files: the shell brings connections, milliseconds of a steady clock, jitter, and transactions.
//!
//! - [`box_end`]: what the box does with operations and entries: outbox, cursor, connection
//! - `outbox`: operations that wait, and what they look like over the confirmed state
//! - [`loading`]: a state that comes in parts
//! - `uplink`: the connection as the box sees it: window, resending, backoff
//! - `held`: operations that wait for their blobs
//! - [`core_end`]: the core's part: who may say what, entries in bounded frames, and [`order`], which gives an operation
//!   its place

pub mod box_end;
pub mod core_end;
mod held;
pub mod loading;
mod outbox;
mod uplink;

pub use box_end::{BoxSync, Confirmed, Received, Redirect, RejectedOwn, Submit, SyncError};
pub use core_end::{Batch, CoreSession, Ordered, Peer, Refusal, order};
pub use loading::{Damaged, Staging};
pub use outbox::{NUMBER_TAKEN, OUTBOX_LEN_MAX};
