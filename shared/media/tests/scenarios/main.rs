//! The engine in virtual time: real clients (ICE, DTLS, SRTP by the webrtc project's crates), no sockets, one seed.
//! One file per promise.

mod attacks;
mod client;
mod cost;
mod feedback;
mod forwarding;
mod halves;
mod hearing;
mod intruders;
mod joining;
mod listener;
mod lobby;
mod moderation;
mod moving;
mod nacking;
mod offer;
mod pausing;
mod quality;
mod rates;
mod redundancy;
mod repair;
mod sending;
mod standby;
mod switching;
mod teacher;
mod trunk;
mod world;
