//! The core's CA, invitations and boxes: into a backup, and back into a core that has no CA.
//!
//! The CA's key is sealed in them, under the seal file that lies with the core nodes and in no backup.

use super::{
    client::Cores,
    manifest::Part,
    read::{Damage, OpenRun, part_name},
    repository::{Reader, Repository},
    seal::Sealer,
};
use anyhow::Context as _;
use schulhof_wire::backup::Record;
use serde::Serialize;
use std::fmt;
use tokio::task::block_in_place;

/// What has become of enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Enrolment {
    Restored {
        records: usize,
    },
    /// The core has a CA, which stays as it is.
    KeptWhatWasThere,
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored { records } => write!(f, "CA and enrolment: {records} records restored"),
            Self::KeptWhatWasThere => write!(f, "CA and enrolment: the core has its own, nothing changed"),
        }
    }
}

/// Keeps all records in objects; one for each frame of the core.
pub async fn take(cores: &Cores, repository: &Repository, sealer: &Sealer) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for records in cores.enrolment().await? {
        let content = serde_json::to_vec(&records)?;
        let stored = block_in_place(|| sealer.store(repository, &content)).context("the backup cannot be written")?;
        let what = format!("{} records of the CA, invitations and boxes", records.len());
        parts.push(Part { name: stored.name, len: content.len() as u64, what });
    }
    Ok(parts)
}

impl OpenRun<'_> {
    /// The records of a run, as the core gave them. Empty: the run has none. Blocks.
    pub fn enrolment(&self) -> Result<Vec<Vec<Record>>, Damage> {
        let parts = self.run.enrolment.as_deref().unwrap_or_default();
        let read = |(number, part): (usize, &Part)| {
            let content = self.object(&part.name);
            let records = content.and_then(|content| serde_json::from_slice(&content).map_err(|e| e.to_string()));
            records.map_err(|problem| Damage {
                file: Some(Reader::object(&part.name)),
                school: None,
                part: part_name(part, number, parts.len()),
                problem,
            })
        };
        parts.iter().enumerate().map(read).collect()
    }
}

/// Into a core without a CA. Whatever dies on the way: the same again goes on, since the CA comes last.
pub async fn restore(cores: &Cores, records: Vec<Vec<Record>>) -> anyhow::Result<Enrolment> {
    let count = records.iter().map(Vec::len).sum();
    for some in records {
        if !cores.restore_enrolment(some).await? {
            return Ok(Enrolment::KeptWhatWasThere);
        }
    }
    Ok(Enrolment::Restored { records: count })
}
