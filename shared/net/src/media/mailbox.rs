//! What waits to be told to one client. Most messages describe a whole state (roster, slots, speakers): a newer one makes
//! the older worthless. So the box holds one of each kind, cannot overflow, and a slow client gets fewer messages instead
//! of late ones.

use parking_lot::Mutex;
use schulhof_wire::media::ToClient;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Answers to pings that wait: a client pings every 2 s, so that more than these come from a client that floods.
const PONGS_MAX: usize = 4;

#[derive(Debug, Default)]
struct Waiting {
    welcome: Option<ToClient>,
    lobby_wait: Option<ToClient>,
    rules: Option<ToClient>,
    lobby: Option<ToClient>,
    roster: Option<ToClient>,
    slots: Option<ToClient>,
    speakers: Option<ToClient>,
    quality: Option<ToClient>,
    attendance: Option<ToClient>,
    pongs: VecDeque<ToClient>,
    moving: Option<ToClient>,
    closing: Option<ToClient>,
}

/// Between the worker thread and the task of the control channel.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Mailbox {
    pub fn put(&self, message: ToClient) {
        {
            let mut waiting = self.waiting.lock();
            match message {
                ToClient::Welcome { .. } => waiting.welcome = Some(message),
                ToClient::Waiting => waiting.lobby_wait = Some(message),
                ToClient::Rules { .. } => waiting.rules = Some(message),
                ToClient::Lobby { .. } => waiting.lobby = Some(message),
                ToClient::Attendance { .. } => waiting.attendance = Some(message),
                ToClient::Roster { .. } => waiting.roster = Some(message),
                ToClient::Slots { .. } => waiting.slots = Some(message),
                ToClient::Speakers { .. } => waiting.speakers = Some(message),
                ToClient::Quality { .. } => waiting.quality = Some(message),
                ToClient::Pong { .. } => {
                    if waiting.pongs.len() == PONGS_MAX {
                        waiting.pongs.pop_front();
                    }
                    waiting.pongs.push_back(message);
                }
                ToClient::Move { .. } => waiting.moving = Some(message),
                ToClient::Closing { .. } => waiting.closing = Some(message),
            }
        }
        self.arrived.notify_one();
    }

    /// Waits for messages and takes them: welcome first, then what holds and who is there, what the slots carry, and
    /// `Closing` last.
    pub async fn take(&self) -> Vec<ToClient> {
        loop {
            let messages = self.take_now();
            if !messages.is_empty() {
                return messages;
            }
            self.arrived.notified().await;
        }
    }

    fn take_now(&self) -> Vec<ToClient> {
        let taken = std::mem::take(&mut *self.waiting.lock());
        let Waiting { welcome, lobby_wait, rules, lobby, roster, slots, speakers, quality, attendance, .. } = taken;
        let states = [welcome, lobby_wait, rules, lobby, roster, slots, speakers, quality, attendance];
        states.into_iter().flatten().chain(taken.pongs).chain(taken.moving).chain(taken.closing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::{media::ParticipantId, ticket::NodeKind};

    fn roster() -> ToClient {
        ToClient::Roster { participants: vec![] }
    }

    fn kinds(messages: &[ToClient]) -> Vec<String> {
        messages.iter().map(|m| serde_json::to_value(m).unwrap()["type"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_slow_client_gets_the_last_state_once_and_in_order() {
        let mailbox = Mailbox::default();
        mailbox.put(ToClient::Closing { reason: "draining".into() });
        for _ in 0..10_000 {
            mailbox.put(ToClient::Slots { audio: vec![], video: vec![] });
            mailbox.put(roster());
        }
        let you = ParticipantId("p".into());
        mailbox.put(ToClient::Welcome { you, node: "n".parse().unwrap(), node_kind: NodeKind::Box });
        assert_eq!(kinds(&mailbox.take().await), ["welcome", "roster", "slots", "closing"]);
    }

    #[tokio::test]
    async fn answers_to_pings_are_bounded() {
        let mailbox = Mailbox::default();
        for n in 0..100 {
            mailbox.put(ToClient::Pong { n });
        }
        let waiting = mailbox.take().await;
        assert_eq!(waiting.len(), PONGS_MAX);
        assert!(matches!(waiting.last(), Some(ToClient::Pong { n: 99 })));
    }

    #[tokio::test]
    async fn taking_waits_for_what_comes_later() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        let taker = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.take().await }
        });
        tokio::task::yield_now().await;
        mailbox.put(roster());
        assert_eq!(kinds(&taker.await.unwrap()), ["roster"]);
    }
}
