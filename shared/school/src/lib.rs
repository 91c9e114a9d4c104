//! The school: its entities, its operations, its rules, as a deterministic state machine over a small key-value store.
//!
//! Place: pure, above `wire` only. Used by `sync` (both ends), by the box and the core. `check` gives a quick answer where a
//! person waits; `apply` gives the truth where the log's order is known. Time and names travel in the operation: the same
//! operations in the same order give the same bytes in the store, on every replica, for ever.
//!
//! - [`op`]: what a person or a door does; [`timetable`], [`exam`]: what timetable and exam plan consist of
//! - [`mod@apply`]: an operation at its place: numbering per device, verdict, changes
//! - `effect`: rules and effects of each kind; `rule`: limits of texts and who may what
//! - `key`, `record`: layout of the store: ordered keys, versioned values
//! - [`store`]: the key-value trait, in memory and as an overlay
//! - [`view`]: what an account may see, read from a store
//! - [`export`]: the store's records in words
//! - [`reject`]: stable reasons of rejection

pub mod apply;
mod effect;
pub mod exam;
pub mod export;
mod key;
pub mod op;
mod record;
pub mod reject;
mod rule;
pub mod store;
pub mod timetable;
pub mod view;

pub use apply::{Applied, Change, Outcome, Position, apply, apply_encoded, apply_unknown, check};
pub use op::{Actor, Attachment, Body, Envelope, GroupKind, MalformedOperation, Operation, PeopleChange, Role};
pub use reject::Reject;
pub use rule::login as rule_of_login;
pub use store::{Changes, Kv, KvMut, Layered, MemoryKv, Overlay};

#[cfg(test)]
mod tests;
