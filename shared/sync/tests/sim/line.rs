//! A stream between a replica and a core node: ordered, reliable while it lives, and dead when no answer comes for as long
//! as QUIC's idle timeout.

use super::ctx::Ctx;
use schulhof_wire::node::{ToBox, ToCore};
use std::collections::VecDeque;

/// QUIC's idle timeout.
const IDLE_MAX_MS: u64 = 3_000;
const DELAY_MAX_MS: u64 = 80;

pub struct Line {
    pub id: u64,
    pub core: usize,
    up: VecDeque<(u64, ToCore)>,
    down: VecDeque<(u64, ToBox)>,
    /// The core has had the first frame.
    pub opened: bool,
    /// The core says nothing after what is under way.
    pub ended: bool,
    /// One of the ways is closed since.
    stuck_ms: Option<u64>,
    /// An abandoned one is forgotten then.
    pub until_ms: u64,
}

impl Line {
    pub fn new(id: u64, core: usize) -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Self { id, core, up, down, opened: false, ended: false, stuck_ms: None, until_ms: u64::MAX }
    }

    pub fn send_up(&mut self, ctx: &mut Ctx, frame: ToCore) {
        let at = due(ctx, self.up.back().map(|(at, _)| *at));
        self.up.push_back((at, frame));
    }

    pub fn send_down(&mut self, ctx: &mut Ctx, frame: ToBox) {
        let at = due(ctx, self.down.back().map(|(at, _)| *at));
        self.down.push_back((at, frame));
    }

    pub fn receive_up(&mut self, now_ms: u64) -> Option<ToCore> {
        self.up.pop_front_if(|(at, _)| *at <= now_ms).map(|(_, frame)| frame)
    }

    pub fn receive_down(&mut self, now_ms: u64) -> Option<ToBox> {
        self.down.pop_front_if(|(at, _)| *at <= now_ms).map(|(_, frame)| frame)
    }

    pub fn has_more(&self) -> bool {
        !self.down.is_empty()
    }

    /// `stuck`: one of the ways is closed. Tells whether the ends have given up by now.
    pub fn is_dead(&mut self, now_ms: u64, stuck: bool) -> bool {
        let since = *self.stuck_ms.get_or_insert(now_ms);
        if !stuck {
            self.stuck_ms = None;
        }
        stuck && now_ms >= since + IDLE_MAX_MS
    }
}

fn due(ctx: &mut Ctx, before_ms: Option<u64>) -> u64 {
    ctx.later(1, DELAY_MAX_MS).max(before_ms.unwrap_or(0))
}
