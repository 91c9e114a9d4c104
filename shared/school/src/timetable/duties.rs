//! Break duties: who looks after which part of the school, before which period.

use super::{PERIOD_MAX, short};
use crate::reject::Reject;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Most duties of a week; a large school has some 300.
pub const DUTIES_MAX: usize = 2_000;

/// A duty of each week.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// 1 is Monday.
    pub day: u8,
    /// The period before which the break is.
    pub before: u8,
    pub area: String,
    pub teacher: String,
}

impl Duty {
    pub fn check(&self) -> Result<(), Reject> {
        let fits = (1..=7).contains(&self.day)
            && self.before <= PERIOD_MAX
            && short(&self.teacher).is_ok()
            && short(&self.area).is_ok();
        if fits { Ok(()) } else { Err(Reject::BadTimetable) }
    }
}
