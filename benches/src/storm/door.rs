//! One person's way in: ticket, join, handshake; or the queue, as long as there is patience.

use super::{PEOPLE, town::TownBox};
use crate::{
    client::{Client, Kit, Slots},
    control::{Control, Controls},
    crowd::{Hall, Part, Person},
    media::server::receiving_socket,
};
use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use schulhof_ops::http;
use schulhof_wire::{
    api::TicketAnswer,
    media::{JoinAnswer, JoinRequest, ParticipantId, SourceKind, Tile, ToNode},
};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::runtime::Handle;

const PICTURE_HEIGHT: u16 = 180;
const SCREEN_HEIGHT: u16 = 720;

/// How it ended.
pub enum Outcome {
    LetIn,
    /// Patience ended in the queue.
    Waiting,
    Failed(String),
}

pub struct Door {
    url: String,
    cookies: Vec<String>,
    kit: Arc<Kit>,
    controls: Controls,
    hall: Arc<Hall>,
    channels: Mutex<Vec<Control>>,
    /// Who shows something, by conference.
    showing: Mutex<Vec<(String, ParticipantId)>>,
    asked: AtomicU64,
}

impl Door {
    pub async fn new(at: &TownBox, kit: Arc<Kit>, hall: Arc<Hall>) -> anyhow::Result<Self> {
        Ok(Self {
            url: at.url.clone(),
            cookies: at.cookies().await?,
            kit,
            controls: Controls::within(Handle::current(), at.media),
            hall,
            channels: Mutex::default(),
            showing: Mutex::default(),
            asked: AtomicU64::new(0),
        })
    }

    /// Requests for tickets so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Why control channels were closed that should be open.
    pub fn closed(&self) -> Vec<String> {
        self.channels.lock().iter().filter_map(|channel| channel.told().closed).collect()
    }

    pub async fn enter(&self, n: usize, conference: &str, patience: tokio::time::Instant) -> Outcome {
        let asked = Instant::now();
        loop {
            match self.try_to(n, conference, asked).await {
                Ok(None) => return Outcome::LetIn,
                Ok(Some(wait)) => {
                    let again = tokio::time::Instant::now() + wait;
                    if again >= patience {
                        tokio::time::sleep_until(patience).await;
                        return Outcome::Waiting;
                    }
                    tokio::time::sleep_until(again).await;
                }
                Err(error) => return Outcome::Failed(format!("{error:#}")),
            }
        }
    }

    /// Nothing: in. Else the time to come back.
    async fn try_to(&self, n: usize, conference: &str, asked: Instant) -> anyhow::Result<Option<std::time::Duration>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let path = format!("{}/api/conferences/{conference}/ticket", self.url);
        let cookie = &self.cookies[n % self.cookies.len()];
        let headers = [("cookie", cookie.as_str()), ("origin", &self.url), ("content-type", "application/json")];
        let answer = http::request("POST", &path, &headers, Some(b"{}")).await.context("ticket")?;
        ensure!(answer.status == 200, "no ticket: {} {}", answer.status, answer.text());
        let (ticket, claims) = match answer.json()? {
            TicketAnswer::Granted { ticket, claims } => (ticket, claims),
            TicketAnswer::Queued { position, retry_after_ms } => {
                ensure!(position >= 1 && retry_after_ms > 0, "a place in the queue that is none");
                return Ok(Some(std::time::Duration::from_millis(retry_after_ms.into())));
            }
        };
        let place = n % PEOPLE;
        let me = ParticipantId(claims.id.clone());
        if place == 0 {
            self.showing.lock().push((conference.to_owned(), me));
        }
        let socket = receiving_socket(Ipv4Addr::LOCALHOST)?;
        let slots = Slots { audio: claims.audio_slots, video: claims.video_slots };
        let mut client = Client::new(self.kit.clone(), socket.local_addr()?, n as u32, slots);
        let request = serde_json::to_vec(&JoinRequest { ticket, offer: client.offer(), standby: false })?;
        let path = format!("{}/media/join", claims.primary.url);
        let answer = http::request("POST", &path, &[("content-type", "application/json")], Some(&request)).await?;
        if answer.status != 200 {
            bail!("the join was refused with {}: {}", answer.status, answer.text());
        }
        let joined: JoinAnswer = answer.json()?;
        client.answered(Instant::now(), &joined.answer)?;
        let part = Part { place, camera: place == 0, screen: place == 0, at_home: false };
        let publish = ToNode::Publish { microphone: true, camera: part.camera, screen: part.screen };
        let view = ToNode::View { tiles: self.tiles(conference) };
        let control = self.controls.open(&joined.session, vec![publish, view]);
        self.channels.lock().push(control);
        self.hall.seat(Person::new(client, socket, part, asked))?;
        Ok(None)
    }

    fn tiles(&self, conference: &str) -> Vec<Tile> {
        let showing = self.showing.lock();
        let Some((_, participant)) = showing.iter().find(|(of, _)| of == conference) else { return Vec::new() };
        let tile = |kind, height| Tile { participant: participant.clone(), kind, height };
        vec![tile(SourceKind::Screen, SCREEN_HEIGHT), tile(SourceKind::Camera, PICTURE_HEIGHT)]
    }
}
