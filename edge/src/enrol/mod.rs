//! How this box comes to its certificate, and keeps it valid (PROTOCOL.md section 7).
//!
//! - [`setup`]: joining with a token
//! - [`page`]: the page for that, of a box that was just unpacked; [`first`]: such a box, from there on
//! - [`renew`]: a new certificate at two thirds of the lifetime, without a restart

pub mod first;
pub mod page;
pub mod renew;
pub mod setup;
