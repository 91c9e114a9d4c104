//! Tools of simulations: numbers from a seed, a clock that moves when told, a link that delays, loses, doubles and reorders.
//!
//! Place: for tests only; uses no other crate of ours, so that every crate's tests may use it.
//!
//! - [`Rng`]: the same seed gives the same run
//! - [`Clock`]: virtual milliseconds
//! - [`Link`]: one direction of a way between two nodes, for messages of any type
//! - [`UdpProxy`]: such a way in real time, for UDP; by hand with `udp-line`

mod clock;
mod link;
mod rng;
mod udp;

pub use clock::Clock;
pub use link::{Conditions, Link};
pub use rng::Rng;
pub use udp::{Carried, UdpProxy, Way};
