//! `GET /api/events?after=&device=`: the live stream of one browser (see `wire::live`).

use crate::{
    app::App,
    clock::unix_ms,
    door::{cookie::SignedIn, problem::Refusal, read::bad_query},
    live::{self, Delivery, Joined, LiveEvent, Member, Viewer},
    session::{SessionKey, TOUCH_EVERY_MS},
    store::{Resume, Snapshot},
};
use axum::{
    extract::{
        Query, State,
        rejection::QueryRejection,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::Response,
};
use schulhof_wire::{
    DeviceId, LogIndex,
    live::{Command, Event, RESUME_LEN_MAX},
    pass::SUBPROTOCOL,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Browsers send a heartbeat every 10 s; a socket that says nothing for three of them and a bit is dead.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// A browser that does not take an event for so long is too slow; it resumes later.
const SEND_MAX: Duration = Duration::from_secs(10);
/// A command has some 20 bytes.
const COMMAND_LEN_MAX: usize = 1024;
/// Entries rendered in one go while resuming, so that one browser does not hold a thread for long.
const RESUME_CHUNK_LEN: u64 = 500;
/// Deliveries rendered in one go: rooms that several of them touch are told once.
const DELIVERIES_AT_ONCE_MAX: usize = 64;

/// Close codes (RFC 6455, section 7.4).
const CLOSE_NORMAL: u16 = 1000;
const CLOSE_TOO_LARGE: u16 = 1009;
const CLOSE_TRY_AGAIN: u16 = 1013;
const CLOSE_MALFORMED: u16 = 1007;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    after: Option<u64>,
    device: Option<DeviceId>,
}

pub async fn events(
    State(app): State<Arc<App>>,
    user: SignedIn,
    query: Result<Query<EventsQuery>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    let upgrade = upgrade.map_err(|_| {
        Refusal::new(StatusCode::UPGRADE_REQUIRED, "websocket-only", "This address speaks WebSocket (RFC 6455) only.")
    })?;
    let member = Member { account: user.session.account.clone(), device: query.device.clone(), session: user.key };
    let joined = app.hub.join(member).ok_or_else(Refusal::busy)?;
    let viewer = Viewer { account: user.session.account, device: query.device };
    let after = query.after.map(LogIndex);
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(COMMAND_LEN_MAX).max_frame_size(COMMAND_LEN_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let stream = Stream { app, socket, joined, viewer, session: user.key, position: LogIndex(0) };
        stream.run(after).await;
    }))
}

struct Stream {
    app: Arc<App>,
    socket: WebSocket,
    joined: Joined,
    viewer: Viewer,
    session: SessionKey,
    /// Everything up to here was sent.
    position: LogIndex,
}

/// Why a stream ends.
enum End {
    /// The browser went or broke: nobody to tell.
    Gone,
    Close(u16, &'static str),
}

impl Stream {
    async fn run(mut self, after: Option<LogIndex>) {
        let end = match self.begin(after).await {
            Ok(()) => self.live().await,
            Err(end) => end,
        };
        if let End::Close(code, reason) = end {
            if matches!(code, CLOSE_TOO_LARGE | CLOSE_MALFORMED) {
                metrics::counter!("schulhof_edge_refused_total", "code" => "malformed-command").increment(1);
            }
            let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            let _ = timeout(SEND_MAX, self.socket.send(frame)).await;
        }
    }

    async fn send(&mut self, events: &[LiveEvent]) -> Result<(), End> {
        for event in events {
            let message = Message::Text(live::text(event).into());
            match timeout(SEND_MAX, self.socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(End::Gone),
                Err(_) => return Err(End::Close(CLOSE_TRY_AGAIN, "too slow")),
            }
        }
        Ok(())
    }

    /// Hello, what was missed, what waits.
    async fn begin(&mut self, after: Option<LogIndex>) -> Result<(), End> {
        let failed = |_| End::Close(CLOSE_TRY_AGAIN, "storage");
        let marks = match self.viewer.device.clone() {
            Some(device) => {
                Some(self.app.store.marks(device).await.map_err(|_| End::Close(CLOSE_TRY_AGAIN, "storage"))?)
            }
            None => None,
        };
        // The method itself is not general enough over the snapshot's lifetime.
        #[allow(clippy::redundant_closure_for_method_calls)]
        let head = self.app.store.read_async(|snapshot: &Snapshot<'_>| snapshot.head()).await.map_err(failed)?;
        let core_online = self.app.store.is_online();
        self.send(&[Event::Hello { head, marks, core_online }]).await?;
        self.position = after.unwrap_or(head);
        let far = self.position > head || head.0 - self.position.0 > RESUME_LEN_MAX;
        if far || !self.resume(head).await? {
            // Pages that are loaded anew say nothing of what has no effect.
            self.tell_rejected(self.position).await?;
            self.position = head;
            return self.send(&[Event::Reload { head }]).await;
        }
        let (viewer, position) = (self.viewer.clone(), self.position);
        let waiting = self.app.store.read_async(move |snapshot| {
            let outbox = snapshot.outbox()?;
            Ok::<_, crate::store::ReadError>(live::pending(snapshot, &viewer, position, &outbox))
        });
        let waiting = waiting.await.map_err(failed)?.map_err(failed)?;
        self.send(&waiting).await
    }

    /// Tells the viewer which operations of its own were refused after an index, as far as that is kept.
    async fn tell_rejected(&mut self, after: LogIndex) -> Result<(), End> {
        let mut from = Some(LogIndex(after.0.saturating_add(1)));
        while let Some(next) = from {
            let viewer = self.viewer.clone();
            let read = self.app.store.read_async(move |snapshot| {
                let (entries, more) = snapshot.rejected_from(next, RESUME_CHUNK_LEN)?;
                let told: Vec<LiveEvent> = entries.iter().filter_map(|entry| live::rejected(&viewer, entry)).collect();
                Ok::<_, crate::store::ReadError>((told, more))
            });
            let failed = |_| End::Close(CLOSE_TRY_AGAIN, "storage");
            let (told, more) = read.await.map_err(failed)?.map_err(failed)?;
            self.send(&told).await?;
            from = more;
        }
        Ok(())
    }

    /// Sends what came after the position, up to `head`; `false` when it is not kept any more.
    async fn resume(&mut self, head: LogIndex) -> Result<bool, End> {
        while self.position < head {
            let (viewer, after) = (self.viewer.clone(), self.position);
            let read = self.app.store.read_async(move |snapshot| {
                Ok::<_, crate::store::ReadError>(match snapshot.entries_after(after, RESUME_CHUNK_LEN)? {
                    Resume::NotKept => None,
                    Resume::Entries(entries) => {
                        let last = entries.last().map_or(after, |stored| stored.entry.index);
                        Some((live::resume(snapshot, &viewer, after, &entries), last))
                    }
                })
            });
            let failed = |_| End::Close(CLOSE_TRY_AGAIN, "storage");
            let Some((events, last)) = read.await.map_err(failed)?.map_err(failed)? else { return Ok(false) };
            if last == after {
                return Ok(false);
            }
            self.send(&events).await?;
            self.position = last;
        }
        Ok(true)
    }

    async fn live(&mut self) -> End {
        let mut heard = Instant::now();
        loop {
            let Some(session) = self.app.store.sessions().get(&self.session, unix_ms()) else {
                let _ = self.send(&[Event::SessionEnded]).await;
                return End::Close(CLOSE_NORMAL, "session ended");
            };
            let mut deliveries = Vec::new();
            let step = tokio::select! {
                taken = self.joined.queue.recv_many(&mut deliveries, DELIVERIES_AT_ONCE_MAX) => match taken {
                    0 => Err(End::Close(CLOSE_TRY_AGAIN, "too slow")),
                    _ => self.deliver(deliveries).await,
                },
                message = self.socket.recv() => {
                    heard = Instant::now();
                    if unix_ms().saturating_sub(session.seen_ms) > TOUCH_EVERY_MS {
                        self.app.store.touch_session(self.session, unix_ms());
                    }
                    match message {
                        Some(Ok(message)) => self.command(&message).await,
                        Some(Err(_)) => Err(End::Close(CLOSE_TOO_LARGE, "not a command")),
                        None => Err(End::Gone),
                    }
                }
                () = tokio::time::sleep_until(heard + SILENCE_MAX) => Err(End::Close(CLOSE_NORMAL, "silent")),
                () = self.app.stopping() => Err(End::Close(CLOSE_TRY_AGAIN, "stopping")),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn deliver(&mut self, deliveries: Vec<Arc<Delivery>>) -> Result<(), End> {
        if deliveries.iter().any(|delivery| delivery.notice.reload) {
            let head = deliveries.iter().map(|delivery| delivery.notice.head).fold(self.position, LogIndex::max);
            self.position = head;
            return self.send(&[Event::Reload { head }]).await;
        }
        let (viewer, position) = (self.viewer.clone(), self.position);
        let render = self.app.store.read_async(move |snapshot| {
            let mut at = position;
            let mut all = Vec::new();
            for delivery in &deliveries {
                let (events, next) = live::deliver(snapshot, &viewer, delivery, at);
                all.extend(events);
                at = next;
            }
            (all, at)
        });
        let (events, position) = render.await.map_err(|_| End::Close(CLOSE_TRY_AGAIN, "storage"))?;
        self.send(&events).await?;
        self.position = position;
        Ok(())
    }

    async fn command(&mut self, message: &Message) -> Result<(), End> {
        match message {
            Message::Text(text) => match serde_json::from_str(text.as_str()) {
                Ok(Command::Ping) => {
                    if let Some(head) = self.joined.caught_up() {
                        self.position = self.position.max(head);
                    }
                    let head = self.position;
                    self.send(&[Event::Pong { head }]).await
                }
                Err(_) => Err(End::Close(CLOSE_MALFORMED, "not a command")),
            },
            Message::Binary(_) => Err(End::Close(CLOSE_MALFORMED, "not a command")),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }
}
