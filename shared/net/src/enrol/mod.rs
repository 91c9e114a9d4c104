//! Enrolment, as a box goes through it (PROTOCOL.md section 7): the token, the way to the core that it opens, and the words
//! by which two people make sure that they speak of the same box.
//!
//! What this is: text forms and the client. What it must not do: decide who is let in; that is the core's state.
//!
//! - [`token`]: the line that is copied into the box
//! - [`words`]: four words, the same at both ends or somebody is between
//! - [`client`]: joining and renewing

pub mod client;
mod token;
mod words;

pub use client::{EnrolError, Joined, join, renew};
pub use token::{Pin, Secret, Token, TokenError, TokenId};
pub use words::words;
