//! Waiting for packets, and being woken for other reasons: ppoll(2) over the sockets and an eventfd(2).

use super::MediaSocket;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
struct Event {
    fd: OwnedFd,
    /// A wake-up is under way: a thousand commands at once make one system call.
    pending: AtomicBool,
}

/// Wakes a [`Poller`] from any thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Event>);

impl Waker {
    pub fn wake(&self) {
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the poller is awake anyway.
            let _ = rustix::io::write(&self.0.fd, &1u64.to_ne_bytes());
        }
    }
}

/// Belongs to one worker thread.
#[derive(Debug)]
pub struct Poller(Arc<Event>);

impl Poller {
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Event { fd, pending: AtomicBool::new(false) })))
    }

    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0))
    }

    /// Returns when a packet waits on one of the sockets, on a wake-up, or after the time; sooner by chance.
    pub fn wait(&self, sockets: &[MediaSocket], timeout: Duration) -> io::Result<()> {
        self.wait_also(sockets, None, timeout)
    }

    /// As [`Self::wait`], and when `other` is readable.
    pub fn wait_also(
        &self,
        sockets: &[MediaSocket],
        other: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<()> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(sockets.len() + 2);
        fds.push(PollFd::new(&self.0.fd, PollFlags::IN));
        let sockets = sockets.iter().map(AsFd::as_fd).chain(other);
        fds.extend(sockets.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout = Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds[0].revents().contains(PollFlags::IN) {
            let mut counter = [0u8; 8];
            // Before the flag: a wake-up from now on is a new one, and what it announces is not yet looked at.
            let _ = rustix::io::read(&self.0.fd, &mut counter);
            self.0.pending.store(false, Ordering::Release);
        }
        Ok(())
    }
}
