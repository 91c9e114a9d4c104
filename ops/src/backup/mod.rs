//! `schulhof backup` and `schulhof restore`: all schools of a core with their files, and its enrolment, encrypted, in a folder that may
//! lie anywhere.
//!
//! A school's dump comes as chunks that end where the data says so; each is kept under a keyed hash of its content, so that a later
//! run writes what has changed and nothing else. Whoever holds the folder sees how many there are and how long, nothing more.
//! Taking a backup needs the public key only; reading one needs the identity.
//!
//! ```text
//! VERSION                 backup 1
//! objects/ab/HASH.age     a chunk of a school, the list of a school's chunks, a file of messages, or records of enrolment
//! runs/TIME.age           one run: schools, heads, hashes, lists; written last
//! ```
//!
//! What it must not do: delete anything. An object is never changed once it is there; one that is cut is written anew.
//!
//! - [`client`]: the core's backup door; [`connection`]: to it, from the command line
//! - [`repository`]: the folder
//! - [`blobs`]: files of messages, from and to the core's blob door
//! - [`enrolment`]: the CA, invitations and boxes
//! - [`manifest`]: what a run and a list say
//! - [`take`]: a run
//! - [`read`]: a run's schools, checked; [`restore`]: back into a core
//! - `command`: what is printed

pub mod blobs;
pub mod client;
mod command;
pub mod connection;
pub mod enrolment;
pub mod manifest;
pub mod read;
pub mod repository;
pub mod restore;
mod seal;
pub mod take;
mod time;

pub use command::{BackupArgs, KeyArgs, RestoreArgs, backup, key, restore};
