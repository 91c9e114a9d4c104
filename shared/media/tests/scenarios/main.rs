//! The engine in virtual time: real clients (ICE, DTLS, SRTP by the webrtc project's crates), no sockets, one seed.
//! One file per promise.

mod attacks;
mod client;
mod cost;
mod forwarding;
mod hearing;
mod joining;
mod offer;
mod repair;
mod sending;
mod standby;
mod switching;
mod world;
