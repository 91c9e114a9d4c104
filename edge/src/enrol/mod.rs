//! How this box comes to its certificate, and keeps it valid (PROTOCOL.md section 7).
//!
//! - [`renew`]: a new certificate at two thirds of the lifetime, without a restart

pub mod renew;
