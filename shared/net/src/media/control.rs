//! The control channel: one WebSocket per connection (RFC 6455), named by the session's secret. Closing it, or silence on
//! it, leaves the room.

use super::{
    door::{Door, refuse},
    mailbox::Mailbox,
    worker::{Command, Commands},
};
use axum::{
    extract::{
        Path, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse as _, Response},
};
use parking_lot::Mutex;
use schulhof_media::{LeaveReason, SessionId};
use schulhof_wire::{
    media::{CONTROL_IDLE_MS, CONTROL_LEN_MAX, ToClient, ToNode},
    problem::Problem,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// A join whose control channel is not opened for this long is taken back.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// A client that does not take a message for this long is gone or hopelessly slow.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// Pause between writes: in a join storm, rosters that follow on each other closely become one.
const PACE: Duration = Duration::from_millis(20);
/// Messages a client may send in a burst, and then per second. A page sends a few per second at most.
const BURST: u32 = 100;
const MESSAGES_PER_S: u32 = 20;
/// Buffers of a channel: its usual messages; the library's own choice would be 128 kB for each person.
const BUFFER_LEN: usize = 4 * 1024;
/// Longest message to a client and what else may wait with it: the roster of the largest room.
const WAITING_LEN_MAX: usize = 512 * 1024;
const IDLE: Duration = Duration::from_millis(CONTROL_IDLE_MS as u64);

/// Joined, and their channel not yet open. Bounded by the engine's number of sessions.
pub(super) struct Channels {
    expected: Mutex<HashMap<SessionId, Arc<Mailbox>>>,
    commands: Commands,
    /// Channels that are open now.
    open: watch::Sender<usize>,
}

impl Channels {
    pub fn new(commands: Commands) -> Self {
        Self { expected: Mutex::default(), commands, open: watch::Sender::new(0) }
    }

    /// Keeps a channel ready for a while. To be called within the runtime.
    pub fn expect(self: &Arc<Self>, session: SessionId, mailbox: Arc<Mailbox>) {
        self.expected.lock().insert(session, mailbox);
        let channels = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OPEN_MAX).await;
            if channels.expected.lock().remove(&session).is_some() {
                let _ = channels.commands.send(Command::Leave { session, reason: LeaveReason::Left }).await;
            }
        });
    }

    /// Waits until the last channel has closed.
    pub async fn closed(&self) {
        // An error would mean that the sender, which is ours, is gone.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// The first who asks gets it; nobody after.
    fn take(&self, session: SessionId) -> Option<Open> {
        let mailbox = self.expected.lock().remove(&session)?;
        self.open.send_modify(|open| *open += 1);
        Some(Open { session, mailbox, commands: self.commands.clone(), count: self.open.clone() })
    }
}

pub(super) async fn open(
    State(door): State<Arc<Door>>,
    Path(session): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Some(open) = session.parse().ok().and_then(|session| door.channels.take(session)) else {
        return refuse(&Problem::new(404, "no-such-session", "no connection waits for this control channel"));
    };
    upgrade
        .max_message_size(CONTROL_LEN_MAX)
        .max_frame_size(CONTROL_LEN_MAX)
        .read_buffer_size(BUFFER_LEN)
        .write_buffer_size(BUFFER_LEN)
        .max_write_buffer_size(WAITING_LEN_MAX)
        .on_upgrade(move |socket| async move { open.serve(socket).await })
}

/// An open channel. Dropping it, for whatever reason, leaves the room.
struct Open {
    session: SessionId,
    mailbox: Arc<Mailbox>,
    commands: Commands,
    count: watch::Sender<usize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.send_modify(|open| *open -= 1);
        let (session, commands) = (self.session, self.commands.clone());
        let leave = move || Command::Leave { session, reason: LeaveReason::Left };
        if commands.try_send(leave()).is_err()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { commands.send(leave()).await });
        }
    }
}

/// Why the channel ends, as far as the client is to know.
enum End {
    /// The client went, or the line did.
    Gone,
    /// The engine said its last word.
    Closed,
    Told(&'static str),
}

impl Open {
    async fn serve(self, mut socket: WebSocket) {
        let end = self.talk(&mut socket).await;
        if let End::Told(reason) = end {
            let _ = write(&mut socket, &ToClient::Closing { reason: reason.into() }).await;
        }
        if !matches!(end, End::Gone) {
            let frame = CloseFrame { code: close_code::NORMAL, reason: "".into() };
            let _ = tokio::time::timeout(WRITE_MAX, socket.send(Message::Close(Some(frame)))).await;
        }
    }

    async fn talk(&self, socket: &mut WebSocket) -> End {
        let mut heard = Instant::now();
        let mut next_write = Instant::now();
        let mut allowance = Allowance::new(Instant::now());
        loop {
            let mail = async {
                tokio::time::sleep_until(next_write).await;
                self.mailbox.take().await
            };
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        heard = Instant::now();
                        if !allowance.spend(heard) {
                            return End::Told("too-many-messages");
                        }
                        // What a later client says beyond our words is no reason to throw it out of a lesson.
                        if let Ok(message) = serde_json::from_str::<ToNode>(&text)
                            && self.commands.send(Command::Control { session: self.session, message }).await.is_err()
                        {
                            return End::Gone;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => return End::Told("not-text"),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone,
                },
                messages = mail => {
                    for message in messages {
                        if write(socket, &message).await.is_err() {
                            return End::Gone;
                        }
                        if matches!(message, ToClient::Closing { .. }) {
                            return End::Closed;
                        }
                    }
                    next_write = Instant::now() + PACE;
                }
                () = tokio::time::sleep_until(heard + IDLE) => return End::Told(LeaveReason::Idle.as_str()),
            }
        }
    }
}

async fn write(socket: &mut WebSocket, message: &ToClient) -> Result<(), ()> {
    let text = serde_json::to_string(message).expect("control messages are plain data");
    tokio::time::timeout(WRITE_MAX, socket.send(Message::Text(text.into()))).await.map_err(|_| ())?.map_err(|_| ())
}

/// A token bucket in units of one message.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: f64::from(BURST), at: now }
    }

    fn spend(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * f64::from(MESSAGES_PER_S)).min(f64::from(BURST));
        let granted = self.left >= 1.0;
        if granted {
            self.left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_be_quick_but_not_flood() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let burst = (0..1_000).filter(|_| allowance.spend(start)).count();
        assert_eq!(burst, BURST as usize);
        let later = start + Duration::from_secs(1);
        let next = (0..1_000).filter(|_| allowance.spend(later)).count();
        assert_eq!(next, MESSAGES_PER_S as usize);
        let much_later = start + Duration::from_hours(1);
        assert_eq!((0..1_000).filter(|_| allowance.spend(much_later)).count(), BURST as usize);
    }
}
