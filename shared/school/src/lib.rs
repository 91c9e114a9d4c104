//! The school: its entities, its operations, its rules, as a deterministic state machine over a small key-value store.
//!
//! Place: pure, above `wire` only. Used by `sync` (both ends), by the box and the core. `check` gives a quick answer where a
//! person waits; `apply` gives the truth where the log's order is known. Time and names travel in the operation: the same
//! operations in the same order give the same bytes in the store, on every replica, for ever.
//!
//! - [`op`]: what a person or a door does
//! - [`store`]: the key-value trait, in memory and as an overlay
//! - [`mod@apply`]: rules and effects of each operation
//! - [`view`]: what an account may see, read from a store

pub mod apply;
pub mod op;
pub mod store;
pub mod view;

pub use apply::{Applied, Change, Outcome, Position, Reject, apply, check};
pub use op::{Body, GroupKind, Operation, Role};
pub use store::{Kv, KvMut, MemoryKv, Overlay};
