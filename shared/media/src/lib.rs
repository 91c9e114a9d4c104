//! The SFU: what a media node (box or relay) does with the packets of its browsers, without sockets and without a clock.
//!
//! Place: `wire`, `placement` <- **media** <- `net` (sockets, HTTP, WebSocket) <- `edge`, `core`.
//!
//! One [`Engine`] serves the rooms of one UDP port. The shell around it hands in datagrams, control messages and the
//! time, and takes out datagrams and control messages:
//!
//! ```text
//!   join(ticket's claims, offer) -> answer          control(session, ToNode)
//!            |                                              |
//!   handle_datagram ->  stun -> dtls -> srtp -> rtp -> slot -> seal  -> drain_transmits (GSO runs per destination)
//!   handle_timeout  ->  rtcp, speakers, layers, roster               -> poll_control
//! ```
//!
//! The loop contract: after any batch of `join`, `control`, `leave`, `handle_datagram` and `handle_timeout`, call
//! [`Engine::drain_transmits`] once, [`Engine::poll_control`] until it is empty, and wait until [`Engine::poll_timeout`]
//! or the next input. Hand in a whole batch of received datagrams before draining: the packets of one frame then leave
//! as one run per listener.
//!
//! A connection may also stand by ([`Engine::stand_by`]): handshake done, nothing sent, in no room, until its client says
//! that it comes over from the node where it is now. `moving` asks clients to do that.
//!
//! What holds in a room (who waits, is muted, leads, raised a hand) is its [`state`]: registers that two nodes of one room
//! exchange with [`Engine::room_changes`] and [`Engine::merge_room`]. `orders` lets moderators change it, `standing` brings
//! the connections in line with it.
//!
//! It must not: open sockets, read a clock, check tickets (the shell does, with `placement`), or trust a peer. Whatever
//! comes from the network is bounded before it is stored, and nothing of it can make this crate panic.
//!
//! Specifications: ICE-lite RFC 8445 §2.5, STUN RFC 8489, DTLS 1.2 RFC 6347 with DTLS-SRTP RFC 5764, SRTP RFC 3711 with
//! AEAD_AES_128_GCM RFC 7714, RTP RFC 3550, NACK and PLI RFC 4585, RTX RFC 4588, VP8 RFC 7741, audio levels RFC 6464,
//! TURN RFC 8656, JSEP RFC 8829, simulcast RFC 8853, congestion control draft-ietf-rmcat-gcc-02 over
//! draft-holmer-rmcat-transport-wide-cc-extensions-01.

mod allot;
mod assign;
mod budget;
mod downlink;
mod dtls;
mod egress;
pub mod engine;
mod feedback;
mod follow;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gcc;
mod history;
mod id;
mod join;
mod layers;
mod moving;
mod orders;
mod pacer;
mod packet;
mod probe;
mod quality;
mod receive;
mod replay;
mod rewrite;
mod rng;
mod room;
mod rtcp;
mod rtp;
mod sdp;
mod sent;
mod session;
mod slot;
mod source;
mod speakers;
mod srtp;
mod standby;
mod standing;
pub mod state;
mod stats;
mod stun;
mod table;
#[cfg(any(test, fuzzing))]
mod testing;
mod tick;
mod transmit;
pub mod trunk;
pub mod turn;
mod twcc;
mod twcc_report;
mod upstream;
mod vp8;
mod window;

pub use engine::{Config, Engine, EngineError, JoinError, Joined};
pub use id::{LeaveReason, SessionId, SessionIdError};
pub use stats::{DropReason, Stats};
pub use transmit::{RUN_BYTES_MAX, RUN_SEGMENTS_MAX, TransmitSink};
pub use trunk::{TooManyTrunks, TrunkId};
