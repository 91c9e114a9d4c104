//! The command `schulhof`: everything that operates the platform.
//!
//! Place: at the top; may use every other crate. It holds no rules of the school and no protocol of its own.
//!
//! - [`cli`]: commands and options
//! - [`node`]: one node of the system in this process (`core`, `relay`, `edge`, `media`)
//! - [`up`]: the whole system on one machine, as processes
//! - [`operate`]: an operator's commands for a running core
//! - [`seed`]: two demo schools
//! - [`status`]: how a running system is
//! - [`backup`]: all schools into a folder, encrypted, and back
//! - [`age`]: encryption to a public key
//! - [`export`]: a school's data, or one person's, readable
//! - [`record`]: what `up` writes down about the processes it has started
//! - [`http`]: a small client for loopback

/// A line on standard output. Nobody listening there (a closed pipe) is no reason to end: `println!` would panic.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}

pub mod age;
pub mod backup;
pub mod cli;
pub mod export;
pub mod http;
pub mod node;
pub mod operate;
pub mod record;
pub mod seed;
pub mod status;
pub mod up;
