//! The live stream: what happens is told to the browsers that may know it, in order, without a gap.
//!
//! The store's writer gives a [`Notice`] per commit; the [`Hub`] finds out who may know and puts it into the queues of
//! their sockets; each socket renders for its own viewer. A socket joins the hub *before* it reads what it missed, and skips
//! by index what both ways bring.

mod hub;
mod notice;
mod render;

pub use hub::{Delivery, Hub, Joined, Member};
pub use notice::{Changed, Notice, Rejected};
pub use render::{LiveEvent, Viewer, deliver, pending, rejected, resume, text};
