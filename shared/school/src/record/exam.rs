//! Stored values of the exam plan.

use super::Record;
use crate::exam::{Exam, Rules};
use schulhof_wire::{AccountId, Hlc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planned {
    pub exam: Exam,
    pub by: AccountId,
    pub at: Hlc,
}

impl Record for Planned {}
impl Record for Rules {}
