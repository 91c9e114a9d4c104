//! The class profile of `schulhof-bench media`: rooms of thirty as a school has them, and how many people one processor of
//! the media node carries so, with loss and delay within bounds.
//!
//! In each room: the teacher speaks without a pause and shows camera and screen; 25 pupils show their cameras, one pupil at
//! a time speaks, the others are silent (Opus DTX). Cameras are Chromium's, all three layers, from a recording; the
//! screen's packets are made up: a pointer that moves, and a new page now and then. Each looks at the screen (720 lines),
//! the teacher (360) and as many pupils (180) as there are slots left.
//!
//! The generator needs more of a processor than the node: what it can drive on the same machine loads the node in part
//! only. So people per processor are people divided by the processors that the node kept busy.

use crate::{
    client::{Client, Kit, Slots},
    control::{Control, Controls},
    crowd::{Hall, Part, Person},
    http,
    media::{quiet, recording::Recording, server::receiving_socket, wait},
    process::{MediaProcess, Program},
};
use anyhow::{Context as _, ensure};
use schulhof_wire::{
    media::{ParticipantId, SourceKind, Tile, ToNode},
    ticket::{AUDIO_SLOTS, MediaRole, VIDEO_SLOTS},
};
use serde::Serialize;
use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

pub const PEOPLE: usize = 30;
const THIRTY: Class = Class { people: PEOPLE, cameras: 25 };
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Until estimates have grown and everybody sees everything.
const WARM_UP: Duration = Duration::from_secs(8);
/// Aims: the aim of losses, of the time in the node for 99 of 100 packets, and of people for each processor.
pub const LOSS_MAX: f64 = 0.01;
pub const DELAY_MAX_MS: f64 = 20.0;
pub const PEOPLE_PER_CPU_MIN: f64 = 600.0;

#[derive(Debug, Serialize)]
pub struct Row {
    pub rooms: usize,
    pub people: usize,
    /// Processors that the node kept busy.
    pub load: f64,
    pub people_per_cpu: f64,
    pub forwarded_per_s: f64,
    pub received_per_s: f64,
    /// Pictures and voices that each person got at the same time, on average.
    pub streams_per_person: f64,
    /// Share of 1, by the numbers of the connections.
    pub loss: f64,
    /// From the publisher's sending to the listener's socket.
    pub delay_p50_ms: f64,
    pub delay_p99_ms: f64,
}

impl Row {
    pub fn keeps_bounds(&self) -> bool {
        self.loss <= LOSS_MAX && self.delay_p99_ms <= DELAY_MAX_MS
    }

    pub fn print(&self, first: bool) {
        if first {
            println!(
                "rooms of {PEOPLE}: people   node   people/CPU |    in/s    out/s  streams each |   loss  delay p50 / p99"
            );
        }
        println!(
            "{:>11} {:>10} {:>4.0} % {:>12.0} | {:>5.0} k {:>6.0} k {:>13.1} | {:>4.2} %  {:.2} / {:.2} ms{}",
            self.rooms,
            self.people,
            100.0 * self.load,
            self.people_per_cpu,
            self.received_per_s / 1e3,
            self.forwarded_per_s / 1e3,
            self.streams_per_person,
            100.0 * self.loss,
            self.delay_p50_ms,
            self.delay_p99_ms,
            if self.keeps_bounds() { "" } else { "  (out of bounds)" },
        );
    }
}

pub fn measure(kit: &Arc<Kit>, program: &Program, rooms: usize, time: Duration) -> anyhow::Result<Row> {
    let process = MediaProcess::start(program)?;
    let controls = Controls::new(process.addr)?;
    let recording = Arc::new(Recording::chromium()?);
    let hall = Hall::new(recording)?;
    let mut channels: Vec<Control> = Vec::with_capacity(rooms * PEOPLE);
    for room in 0..rooms {
        for place in 0..PEOPLE {
            let seat = Seat { class: THIRTY, room, place, at_home: false };
            let (person, control) = seat.join(kit, &process, &controls)?;
            channels.push(control);
            hall.seat(person)?;
        }
    }
    let people = rooms * PEOPLE;
    wait(CONNECT_MAX, "everybody connects", || Ok(hall.counts()?.connected == people))?;
    quiet(|| process.cpu_ns())?;
    hall.begin();
    std::thread::sleep(WARM_UP);

    let begun = Instant::now();
    let (cpu, received) = (process.cpu_ns()?, process.counter("schulhof_media_received_packets_total")?);
    hall.forget();
    std::thread::sleep(time);
    let counts = hall.counts()?;
    let wall_s = begun.elapsed().as_secs_f64();
    let load = (process.cpu_ns()? - cpu) as f64 / 1e9 / wall_s;
    let received = process.counter("schulhof_media_received_packets_total")? - received;
    if let Some(closed) = channels.iter().find_map(|channel| channel.told().closed) {
        anyhow::bail!("a control channel was closed: {closed}");
    }
    ensure!(counts.forged == 0 && counts.delays_us.len() > 100, "packets don't open: {} of them", counts.forged);
    let mut delays_us = counts.delays_us;
    delays_us.sort_unstable();
    let at = |share: f64| f64::from(delays_us[((delays_us.len() - 1) as f64 * share) as usize]) / 1e3;
    Ok(Row {
        rooms,
        people,
        load,
        people_per_cpu: people as f64 / load,
        forwarded_per_s: counts.received as f64 / wall_s,
        received_per_s: received as f64 / wall_s,
        streams_per_person: counts.streams as f64 / people as f64,
        loss: counts.lost as f64 / (counts.lost + counts.received).max(1) as f64,
        delay_p50_ms: at(0.5),
        delay_p99_ms: at(0.99),
    })
}

/// Pixels of the tiles.
const SCREEN_HEIGHT: u16 = 720;
const TEACHER_HEIGHT: u16 = 360;
const PUPIL_HEIGHT: u16 = 180;

#[derive(Debug, Clone, Copy)]
pub struct Class {
    pub people: usize,
    /// Pupils with a camera on; the others have none.
    pub cameras: usize,
}

/// Place 0 is the teacher's.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    pub class: Class,
    pub room: usize,
    pub place: usize,
    pub at_home: bool,
}

impl Seat {
    pub fn join(
        self,
        kit: &Arc<Kit>,
        process: &MediaProcess,
        controls: &Controls,
    ) -> anyhow::Result<(Person, Control)> {
        let Self { class: Class { people, cameras }, place, at_home, .. } = self;
        let asked = Instant::now();
        let socket = receiving_socket(Ipv4Addr::LOCALHOST)?;
        let slots = Slots { audio: AUDIO_SLOTS, video: VIDEO_SLOTS };
        let number = (self.room * people + place) as u32;
        let mut client = Client::new(kit.clone(), socket.local_addr()?, number, slots);
        let role = if place == 0 { MediaRole::Moderator } else { MediaRole::Participant };
        let (room, account) = (self.room_name(), account(place));
        let ticket = process.issuer.ticket(&room, &account, role, slots.audio, slots.video)?;
        let joined = http::join(process.addr, ticket, client.offer()).with_context(|| account)?;
        client.answered(Instant::now(), &joined.answer)?;
        let part = Part { place, camera: place <= cameras, screen: place == 0, at_home };
        let publish = ToNode::Publish { microphone: true, camera: part.camera, screen: part.screen };
        let control = controls.open(&joined.session, vec![publish, ToNode::View { tiles: self.tiles() }]);
        Ok((Person::new(client, socket, part, asked), control))
    }

    fn room_name(self) -> String {
        format!("class-{}", self.room)
    }

    /// Screen, teacher, then the pupils who sit next to one.
    fn tiles(self) -> Vec<Tile> {
        let tile = |place, kind, height| {
            // As the tickets have it.
            let participant = ParticipantId(format!("{}-{}", self.room_name(), account(place)));
            Tile { participant, kind, height }
        };
        let mut tiles = Vec::new();
        if self.place != 0 {
            tiles.push(tile(0, SourceKind::Screen, SCREEN_HEIGHT));
            tiles.push(tile(0, SourceKind::Camera, TEACHER_HEIGHT));
        }
        let Class { people, cameras } = self.class;
        let others = (1..people).map(|n| (self.place + n) % people).filter(|place| (1..=cameras).contains(place));
        tiles.extend(others.map(|place| tile(place, SourceKind::Camera, PUPIL_HEIGHT)));
        tiles.truncate(VIDEO_SLOTS.into());
        tiles
    }
}

fn account(place: usize) -> String {
    format!("person-{place}")
}
