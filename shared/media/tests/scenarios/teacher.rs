//! What tests of a moderated room share: one teacher, some pupils, orders, and what arrives where.

use crate::{client::Client, sending::Media, world::World};
use schulhof_wire::{
    id::AccountId,
    media::{Known, Order, Participant, Rules, ToClient, ToNode},
    ticket::MediaRole,
};
use std::net::SocketAddr;

pub const TEACHER: usize = 0;
pub const ANNA: usize = 1;
pub const BEN: usize = 2;

pub fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

impl World {
    /// A teacher and two pupils, connected, who publish everything.
    pub fn lesson() -> Self {
        let mut world = Self::new();
        world.join_as("teacher", MediaRole::Moderator);
        world.join("anna");
        world.join("ben");
        world.run_ms(200);
        for client in [TEACHER, ANNA, BEN] {
            world.publish(client, true, true, true);
        }
        world.run_ms(100);
        world
    }

    pub fn order(&mut self, client: usize, order: Order) {
        self.control(client, ToNode::Moderate { order });
        self.run_ms(100);
    }

    /// The same person comes with a new connection and the same ticket.
    pub fn rejoin(&mut self, name: &str, role: MediaRole) -> usize {
        let address = SocketAddr::from(([127, 0, 0, 1], 41_000 + self.clients.len() as u16));
        let again = self.join_with(Client::new(self.now, name, address), role);
        self.run_ms(200);
        again
    }

    pub fn rules(&self, client: usize) -> Rules {
        let mut told = self.told(client).iter().rev();
        told.find_map(|message| if let ToClient::Rules { rules } = message { Some(rules.clone()) } else { None })
            .unwrap_or_default()
    }

    /// Names of those who wait, and of those who are blocked, as last told.
    pub fn lobby(&self, client: usize) -> Option<(Vec<String>, Vec<String>)> {
        let names = |known: &[Known]| known.iter().map(|known| known.account.to_string()).collect();
        self.told(client).iter().rev().find_map(|message| match message {
            ToClient::Lobby { waiting, blocked } => Some((names(waiting), names(blocked))),
            _ => None,
        })
    }

    /// As `by` sees him.
    pub fn person(&self, by: usize, name: &str) -> Participant {
        let mut roster = self.roster(by).into_iter();
        roster.find(|person| person.account.as_str() == name).expect("somebody in the roster")
    }

    /// Everybody sends everything for a second. The result: how many packets of voices and of pictures each client got
    /// from whom, as (listener, name, kind) in order, each once.
    pub fn flows(&mut self) -> Vec<(usize, String, &'static str)> {
        let before: Vec<(Vec<usize>, Vec<usize>)> = self
            .clients
            .iter()
            .map(|client| (client.audio.iter().map(Vec::len).collect(), client.video.iter().map(Vec::len).collect()))
            .collect();
        let all: Vec<(usize, Media)> = (0..self.clients.len())
            .flat_map(|client| [(client, Media::Voice(100)), (client, Media::Camera), (client, Media::Screen)])
            .collect();
        self.stream_ms(1_000, &all);
        let mut flows = Vec::new();
        for (listener, (audio, video)) in before.into_iter().enumerate() {
            let client = &self.clients[listener];
            for (slot, len) in client.audio.iter().zip(audio) {
                flows.extend(slot[len..].iter().map(|packet| {
                    let text = String::from_utf8_lossy(&packet.payload).into_owned();
                    (listener, text.split('|').next().unwrap_or_default().to_owned(), "voice")
                }));
            }
            for (slot, len) in client.video.iter().zip(video) {
                flows.extend(slot[len..].iter().map(|packet| {
                    let (name, layer) = packet.picture().3.split_once('/').map_or_else(
                        || panic!("a picture of nobody"),
                        |(name, layer)| (name.to_owned(), layer.to_owned()),
                    );
                    (listener, name, if layer == "screen" { "screen" } else { "camera" })
                }));
            }
        }
        flows.sort();
        flows.dedup();
        flows
    }
}

/// Of the flows, those that `name` sends, as (listener, kind).
pub fn of(flows: &[(usize, String, &'static str)], name: &str) -> Vec<(usize, &'static str)> {
    flows.iter().filter(|(_, from, _)| from == name).map(|(to, _, kind)| (*to, *kind)).collect()
}
