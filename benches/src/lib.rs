//! Load generators and the floor that they are measured against; torture.
//!
//! Place: the end of the workspace; nothing uses it. It drives real processes from outside, over the same doors as
//! browsers, and shares no code with the packet path of the engine: the client speaks STUN, DTLS and SRTP by the crates of
//! the webrtc project.
//!
//! - [`cluster`]: core nodes and boxes as processes, with lines that can be cut
//! - [`offline`]: a box that was cut off for a day; [`reconnect`]: all boxes of a land at once
//! - [`torture`]: kills, pauses and cuts them while people write, and then looks for what is lost or there twice
//! - [`gateway`]: how soon a gateway serves a large school, and what a box with it costs
//! - [`client`]: one light WebRTC client, sans-IO
//! - [`http`], [`control`]: its way to a media node's door
//! - [`process`]: a media process, and what it costs
//! - [`floor`]: what send + seal alone cost on this machine
//! - [`media`]: one publisher, many subscribers; [`record`]: a real camera's packets, for it
//! - [`crowd`]: people in conferences as real ones; [`class`]: rooms of thirty of them
//! - [`storm`]: a thousand of them come within seconds, and ten times as many as a box carries
//! - [`uplink`]: classes of which one half is at home, over a school's narrow line
//! - [`janus`]: another SFU under the same load
//! - [`log`]: the core's log beside etcd
//! - [`ack`]: a box's acknowledgement beside the disk
//! - [`measure`], [`disk`], [`report`]: closed loops, the disk alone, a line of figures

pub mod ack;
pub mod class;
pub mod client;
pub mod cluster;
pub mod control;
pub mod crowd;
pub mod disk;
pub mod floor;
pub mod gateway;
pub mod http;
pub mod janus;
pub mod log;
pub mod measure;
pub mod media;
pub mod offline;
pub mod process;
pub mod reconnect;
pub mod record;
pub mod report;
pub mod storm;
pub mod ticket;
pub mod torture;
pub mod uplink;
