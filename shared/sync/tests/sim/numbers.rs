//! A browser's numbers: the rules of `edge/web/src/session/outbox-rules.ts`, so that what browsers do is part of the proof.

use schulhof_school::Body;
use schulhof_wire::{DeviceId, Hlc, LogIndex, api::DeviceMarks};

pub struct Row {
    pub device: DeviceId,
    pub seq: Option<u64>,
    pub saved: bool,
    /// Requests with this number whose answer never came.
    pub unanswered: u32,
    /// Unique in the world: the row's identity.
    pub at: Hlc,
    pub body: Body,
}

pub struct Numbers {
    pub device: DeviceId,
    next: u64,
    tried: u64,
    /// The head when the oldest of what is kept was written.
    pub since: LogIndex,
    pub rows: Vec<Row>,
    /// Contents that were refused, and why: their writer was told.
    pub refused: Vec<(u64, String)>,
}

/// A node's word on an operation.
pub enum Answer {
    Saved,
    Refused(String),
    Gap,
}

impl Numbers {
    pub fn new(device: DeviceId) -> Self {
        Self { device, next: 1, tried: 0, since: LogIndex(0), rows: Vec::new(), refused: Vec::new() }
    }

    pub fn write(&mut self, at: Hlc, body: Body, head: LogIndex) {
        if self.rows.is_empty() {
            self.since = head;
        }
        self.rows.push(Row { device: self.device.clone(), seq: None, saved: false, unanswered: 0, at, body });
    }

    /// Of the oldest name that has some: what was written under an earlier name goes first, and under that name, since a
    /// node may have it.
    fn unsaved(&mut self) -> Vec<&mut Row> {
        let open = |row: &&Row| row.seq.is_some() && !row.saved;
        let Some(device) = self.rows.iter().find(open).map(|row| row.device.clone()) else { return Vec::new() };
        let mut rows: Vec<&mut Row> =
            self.rows.iter_mut().filter(|row| row.seq.is_some() && !row.saved && row.device == device).collect();
        rows.sort_by_key(|row| row.seq);
        rows
    }

    /// (name, number, time, content) to be sent now. Until [`Numbers::settle`] each counts as possibly used.
    pub fn next_batch(&mut self, len_max: usize) -> Vec<(DeviceId, u64, Hlc, Body)> {
        for row in &mut self.rows {
            if row.seq.is_none() {
                row.device = self.device.clone();
                row.seq = Some(self.next);
                self.next += 1;
            }
        }
        let mut batch = Vec::new();
        let (mut tried, own) = (self.tried, self.device.clone());
        for row in self.unsaved().into_iter().take(len_max) {
            let seq = row.seq.expect("numbered");
            row.unanswered += 1;
            if row.device == own {
                tried = tried.max(seq);
            }
            batch.push((row.device.clone(), seq, row.at, row.body.clone()));
        }
        self.tried = tried;
        batch
    }

    pub fn settle(&mut self, sent: &[u64]) {
        for row in self.unsaved() {
            if sent.contains(&row.seq.expect("numbered")) {
                row.unanswered = row.unanswered.saturating_sub(1);
            }
        }
    }

    fn refuse(&mut self, at: Hlc, reason: &str) {
        self.rows.retain(|row| row.at != at);
        self.refused.push((at.0, reason.to_owned()));
    }

    /// Tells whether sending again at once would not help.
    pub fn take_answer(&mut self, answers: &[(u64, Answer)], marks: &DeviceMarks, new_name: &DeviceId) -> bool {
        let mut refused = Vec::new();
        let mut gap = false;
        for (seq, answer) in answers {
            let found = self.unsaved().into_iter().find(|row| row.seq == Some(*seq)).map(|row| {
                if let Answer::Saved = answer {
                    row.saved = true;
                }
                (row.at, row.unanswered)
            });
            match (found, answer) {
                (None, _) | (_, Answer::Saved) => {}
                (Some((at, unanswered)), Answer::Refused(reason)) => {
                    refused.push((*seq, unanswered));
                    self.refuse(at, reason);
                }
                (Some(_), Answer::Gap) => gap = true,
            }
        }
        if refused.iter().any(|(_, unanswered)| *unanswered > 0) || (!refused.is_empty() && marks.device != self.device)
        {
            self.renew(new_name.clone());
        } else if !refused.is_empty() {
            self.close_up(&refused);
        }
        self.take_saved(marks);
        if gap {
            self.fall_back(marks);
        }
        let moved = answers.iter().any(|(_, answer)| !matches!(answer, Answer::Gap));
        let first_sent = answers.first().map_or(0, |(seq, _)| *seq);
        let reaches_back = self.unsaved().first().map_or(0, |row| row.seq.expect("numbered")) < first_sent;
        !moved && !reaches_back
    }

    fn close_up(&mut self, refused: &[(u64, u32)]) {
        let first_open = self.unsaved().first().and_then(|row| row.seq);
        let mut seq = refused.iter().map(|(seq, _)| *seq).chain(first_open).min().expect("something was refused");
        for row in self.unsaved() {
            row.seq = Some(seq);
            seq += 1;
        }
        self.next = seq;
        self.tried = self.tried.min(seq - 1);
    }

    pub fn take_saved(&mut self, marks: &DeviceMarks) {
        for row in &mut self.rows {
            if row.device == marks.device && row.seq.is_some_and(|seq| seq <= marks.saved.0) {
                row.saved = true;
            }
        }
    }

    pub fn take_marks(&mut self, marks: &DeviceMarks) {
        self.rows.retain(|row| row.device != marks.device || row.seq.is_none_or(|seq| seq > marks.secured.0));
        self.take_saved(marks);
    }

    pub fn fall_back(&mut self, marks: &DeviceMarks) {
        for row in &mut self.rows {
            if row.device == marks.device && row.saved && row.seq.is_some_and(|seq| seq > marks.saved.0) {
                row.saved = false;
                row.unanswered += 1;
            }
        }
    }

    pub fn is_foreign(&self, marks: &DeviceMarks) -> bool {
        marks.device == self.device && marks.saved.0 > self.tried
    }

    pub fn renew(&mut self, device: DeviceId) {
        (self.device, self.next, self.tried) = (device, 1, 0);
        for row in self.rows.iter_mut().filter(|row| !row.saved) {
            row.seq = None;
            row.device = self.device.clone();
            row.unanswered = 0;
        }
    }

    /// The core refused it at its place.
    pub fn rejected(&mut self, device: &DeviceId, seq: u64, reason: &str) {
        let found = self.rows.iter().find(|row| row.seq == Some(seq) && row.device == *device).map(|row| row.at);
        if let Some(at) = found {
            self.refuse(at, reason);
        }
    }
}
