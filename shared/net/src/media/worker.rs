//! The thread that owns the engine: packets and commands in, packets and messages out, nothing else in between. It never
//! waits for anybody but the kernel, and joins, which cost a millisecond each, take turns with the packets.

use super::{
    mailbox::Mailbox,
    meter::Meter,
    streams::{Arrived, Streams},
    trunk,
};
use crate::udp::{MediaSocket, Poller, RecvBatch, SendStats, Waker};
use schulhof_media::{Engine, JoinError, Joined, LeaveReason, SessionId, TransmitSink, turn::TurnServer};
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::{MoveReason, ToClient, ToNode},
    ticket::Claims,
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Commands under way to the worker. Full means the worker is a second behind; joins are then refused, not queued.
const COMMANDS_MAX: usize = 1_024;
/// Cheap commands handled before packets get their turn again.
const COMMANDS_PER_TURN: usize = 64;
/// Batches taken from one socket before what they caused is sent: 32 runs each, a few thousand packets at most.
const BATCHES_PER_TURN: usize = 2;
/// How often the counters are published; the cost is some thirty atomic stores.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Longest wait with nothing to do.
const WAIT_MAX: Duration = Duration::from_secs(1);

pub(super) enum Command {
    Join {
        claims: Box<Claims>,
        offer: String,
        standby: bool,
        reply: oneshot::Sender<Result<(Joined, Arc<Mailbox>), JoinError>>,
    },
    Control {
        session: SessionId,
        message: ToNode,
    },
    Leave {
        session: SessionId,
        reason: LeaveReason,
    },
    /// A connection that will carry packets.
    Stream(Arrived),
    Trunk(trunk::Command),
    /// Asks those in a room to move.
    AskToMove {
        school: SchoolId,
        conference: ConferenceId,
        reason: MoveReason,
    },
    /// Takes nobody in any more, and asks everybody to move.
    Drain,
    /// Says goodbye to everybody and ends the thread.
    Stop,
}

/// Sends commands to the worker and wakes it.
#[derive(Clone)]
pub(super) struct Commands {
    queue: mpsc::Sender<Command>,
    waker: Waker,
}

/// The worker does not take the command: its queue is full, or it has ended.
#[derive(Debug)]
pub(super) struct Busy;

impl Commands {
    pub fn try_send(&self, command: Command) -> Result<(), Busy> {
        self.queue.try_send(command).map_err(|_| Busy)?;
        self.waker.wake();
        Ok(())
    }

    /// Waits for room in the queue.
    pub async fn send(&self, command: Command) -> Result<(), Busy> {
        self.queue.send(command).await.map_err(|_| Busy)?;
        self.waker.wake();
        Ok(())
    }
}

/// Asked in the worker's thread for each join, with the number of connections there are: may the holder of this ticket
/// come in? Must be quick. This is where a relay guards the places that it has promised to others.
pub type Gate = Box<dyn Fn(&Claims, usize) -> bool + Send>;

pub(super) struct Worker {
    engine: Engine,
    gate: Gate,
    ways: Ways,
    poller: Poller,
    commands: mpsc::Receiver<Command>,
    mailboxes: HashMap<SessionId, Arc<Mailbox>>,
    trunks: trunk::Outlets,
    meter: Arc<Meter>,
    published: Instant,
    stopping: bool,
}

impl Worker {
    pub fn new(
        engine: Engine,
        gate: Gate,
        sockets: Vec<MediaSocket>,
        turn: Option<TurnServer>,
        meter: Arc<Meter>,
    ) -> io::Result<(Self, Commands)> {
        let poller = Poller::new()?;
        let streams = Streams::new(Instant::now(), turn)?;
        let (queue, commands) = mpsc::channel(COMMANDS_MAX);
        let waker = poller.waker();
        let worker = Self {
            engine,
            gate,
            ways: Ways { sockets, streams },
            poller,
            commands,
            mailboxes: HashMap::new(),
            trunks: trunk::Outlets::default(),
            meter,
            published: Instant::now(),
            stopping: false,
        };
        Ok((worker, Commands { queue, waker }))
    }

    /// Until told to stop, or until nobody is left who could tell.
    pub fn run(mut self) -> io::Result<()> {
        let mut batch = RecvBatch::new();
        loop {
            let mut more = self.take_commands();
            more |= self.take_packets(&mut batch)?;
            let now = Instant::now();
            self.ways.streams.receive(now, &mut self.engine);
            if self.engine.poll_timeout().is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now);
            }
            self.engine.drain_transmits(&mut self.ways);
            self.ways.streams.tend(now, &mut self.engine);
            self.trunks.deliver(now, &mut self.engine);
            self.deliver();
            self.publish(now);
            if self.stopping {
                return Ok(());
            }
            if !more && !self.ways.streams.is_behind() {
                let streams = self.ways.streams.ready();
                self.poller.wait_also(&self.ways.sockets, Some(streams), self.patience(now))?;
            }
        }
    }

    /// True if there may be more.
    fn take_commands(&mut self) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.try_recv() {
                Ok(Command::Join { claims, offer, standby, reply }) => {
                    self.join(*claims, &offer, standby, reply);
                    return true;
                }
                Ok(Command::Control { session, message }) => self.engine.control(Instant::now(), session, message),
                Ok(Command::Leave { session, reason }) => self.leave(session, reason),
                Ok(Command::Stream(arrived)) => self.ways.streams.accept(Instant::now(), arrived, &mut self.engine),
                Ok(Command::Trunk(command)) => self.trunks.handle(Instant::now(), &mut self.engine, command),
                Ok(Command::AskToMove { school, conference, reason }) => {
                    self.engine.ask_to_move(Instant::now(), &school, &conference, reason);
                }
                Ok(Command::Drain) => self.engine.drain(Instant::now()),
                Ok(Command::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.engine.close_all(Instant::now(), LeaveReason::Draining);
                    self.stopping = true;
                    return false;
                }
                Err(mpsc::error::TryRecvError::Empty) => return false,
            }
        }
        true
    }

    fn join(
        &mut self,
        claims: Claims,
        offer: &str,
        standby: bool,
        reply: oneshot::Sender<Result<(Joined, Arc<Mailbox>), JoinError>>,
    ) {
        // Who stands by takes a place like everybody: it is there when it is needed.
        let joined = if (self.gate)(&claims, self.mailboxes.len()) {
            if standby {
                self.engine.stand_by(Instant::now(), claims, offer)
            } else {
                self.engine.join(Instant::now(), claims, offer)
            }
        } else {
            Err(JoinError::NodeFull)
        };
        let session = joined.as_ref().ok().map(|joined| joined.session);
        let answer = joined.map(|joined| {
            let mailbox = Arc::new(Mailbox::default());
            self.mailboxes.insert(joined.session, mailbox.clone());
            (joined, mailbox)
        });
        // Who asked is gone: so is the connection.
        if reply.send(answer).is_err()
            && let Some(session) = session
        {
            self.leave(session, LeaveReason::Left);
        }
    }

    fn leave(&mut self, session: SessionId, reason: LeaveReason) {
        self.engine.leave(Instant::now(), session, reason);
        if reason == LeaveReason::Left {
            self.mailboxes.remove(&session);
        }
    }

    /// True if there may be more.
    fn take_packets(&mut self, batch: &mut RecvBatch) -> io::Result<bool> {
        let mut more = false;
        for socket in &self.ways.sockets {
            for _ in 0..BATCHES_PER_TURN {
                more = batch.receive(socket)?;
                let now = Instant::now();
                batch.for_each(|source, packet| self.engine.handle_datagram(now, source, packet));
                if !more && !self.ways.streams.is_behind() {
                    break;
                }
            }
        }
        Ok(more)
    }

    fn deliver(&mut self) {
        while let Some((session, message)) = self.engine.poll_control() {
            let last = matches!(message, ToClient::Closing { .. });
            if let Some(mailbox) = self.mailboxes.get(&session) {
                mailbox.put(message);
            }
            if last {
                self.mailboxes.remove(&session);
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        if self.stopping || now.duration_since(self.published) >= PUBLISH_EVERY {
            self.published = now;
            self.meter.publish(self.engine.stats(), self.ways.sent(), self.ways.streams.stats());
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let timer = self.engine.poll_timeout().map_or(WAIT_MAX, |at| at.saturating_duration_since(now));
        // What was counted since the last time is to be seen soon, also when nothing more happens.
        let publish = (self.published + PUBLISH_EVERY).saturating_duration_since(now);
        timer.min(if self.mailboxes.is_empty() { WAIT_MAX } else { publish })
    }
}

/// How packets leave: by the connection that the destination names, else by the first socket that reaches it; one socket
/// per address family is enough.
struct Ways {
    sockets: Vec<MediaSocket>,
    streams: Streams,
}

impl TransmitSink for Ways {
    #[inline]
    fn run(&mut self, dest: SocketAddr, packets: &[u8], segment_len: usize) {
        if self.streams.send_run(dest, packets, segment_len) {
            return;
        }
        let reaches = self.sockets.iter().position(|socket| socket.reaches(dest));
        self.sockets[reaches.unwrap_or(0)].send_run(dest, packets, segment_len);
    }
}

impl Ways {
    fn sent(&self) -> SendStats {
        self.sockets.iter().map(MediaSocket::stats).fold(SendStats::default(), |sum, one| sum.plus(&one))
    }
}
