//! A school's people, what they do, and an ordered log of it. Shared by the scenario files beside.
#![allow(dead_code, reason = "each scenario file uses a part of it")]

mod core;
mod school;

pub use self::{core::Core, school::*};
