//! People in conferences as real ones: cameras with three layers from a recording, voices that take turns, a screen; each
//! with a connection of its own, all driven by one thread.

mod hall;
mod person;
mod schedule;

pub use hall::{Counts, Hall};
pub use person::{Part, Person};
