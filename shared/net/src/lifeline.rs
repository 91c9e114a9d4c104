//! Child processes that do not outlive their parent, without unsafe code between fork and exec: the parent puts its
//! process id into the child's environment ([`tie`]), the child asks the kernel to be killed with it ([`hold`], `prctl(2)`
//! PR_SET_PDEATHSIG) and then looks whether the parent is still the same.
//!
//! The kernel watches the *thread* that started the child: start children from a thread that lives as long as the process
//! (the main thread, or a worker of a tokio runtime), never from `spawn_blocking`.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, test_kill_process};

/// Holds the parent's process id.
pub const PARENT_ENV: &str = "SCHULHOF_PARENT_PID";

/// Makes a command's process call for [`hold`], and puts it into a process group of its own: a Ctrl-C in the terminal
/// reaches the parent alone, which then stops its children in its own order.
pub fn tie(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt as _;
    command.env(PARENT_ENV, std::process::id().to_string()).process_group(0)
}

/// Why a child gives up at its start.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    #[error("{PARENT_ENV} is not a process id")]
    BadParent,
    #[error("the parent process {0} has gone")]
    Orphan(i32),
    #[error("cannot ask to be stopped with the parent: {0}")]
    Refused(std::io::Error),
}

/// To be called first in `main`. Does nothing in a process that was not started by [`tie`].
pub fn hold() -> Result<(), LifelineError> {
    let Ok(text) = std::env::var(PARENT_ENV) else { return Ok(()) };
    let parent = text.parse().ok().and_then(Pid::from_raw).ok_or(LifelineError::BadParent)?;
    if getppid() != Some(parent) && test_kill_process(parent).is_ok() {
        // Inherited: the parent, which was tied itself, started this process without tying it.
        return Ok(());
    }
    // Not SIGTERM: a child that hangs while it stops would stay. The stores survive a kill.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| LifelineError::Refused(e.into()))?;
    // The parent may have died before the call above.
    if getppid() == Some(parent) { Ok(()) } else { Err(LifelineError::Orphan(parent.as_raw_nonzero().get())) }
}
