//! One run: every school as of one moment of its own with the files that its messages name, enrolment, then the run itself.

use super::{
    blobs::{self, Lost, Named},
    connection::Connected,
    enrolment,
    manifest::{self, Failed, Index, Part, Run, SchoolRun},
    repository::Repository,
    seal::{Sealer, Stored},
    time,
};
use anyhow::Context as _;
use futures_util::StreamExt as _;
use schulhof_core::state::school::{SchoolChunk, Summary};
use schulhof_wire::{BlobHash, SchoolId};
use serde::Serialize;
use std::{sync::Arc, time::SystemTime};

/// Schools that are read at once: enough to keep a disk busy, fewer than a core node would refuse.
const SCHOOLS_AT_ONCE: usize = 4;
/// Runs in one second get a number behind their name.
const RUNS_PER_SECOND_MAX: usize = 100;

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub run: String,
    pub schools: Vec<SchoolReport>,
    pub failed: Vec<Failed>,
    /// Why the CA, invitations and boxes are not in it; none: they are.
    pub enrolment_failed: Option<String>,
}

impl Report {
    /// Whether everything is in it that was to be.
    pub fn is_whole(&self) -> bool {
        let whole = self.schools.iter().all(|school| school.lost_files.is_empty());
        whole && self.failed.is_empty() && self.enrolment_failed.is_none()
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SchoolReport {
    pub school: SchoolId,
    pub head: u64,
    pub state_hash: BlobHash,
    pub parts: usize,
    pub bytes: u64,
    /// Objects that were not there before, and their bytes.
    pub new_objects: usize,
    pub new_bytes: u64,
    /// Blobs that its messages name; those that were not there before, and their bytes.
    pub files: usize,
    pub new_files: usize,
    pub new_file_bytes: u64,
    /// Those that the core cannot give.
    pub lost_files: Vec<Lost>,
}

/// Takes a backup of the schools. One that cannot be read does not keep the others out; it stands in the run as failed.
pub async fn take(
    core: &Connected,
    repository: Arc<Repository>,
    sealer: Arc<Sealer>,
    schools: Vec<SchoolId>,
) -> anyhow::Result<Report> {
    let began = SystemTime::now();
    let taken = schools.into_iter().map(|school| {
        let (repository, sealer) = (repository.clone(), sealer.clone());
        async move { (one(core, repository, sealer, &school).await, school) }
    });
    let mut taken: Vec<_> = futures_util::stream::iter(taken).buffer_unordered(SCHOOLS_AT_ONCE).collect().await;
    taken.sort_by(|(_, a), (_, b)| a.cmp(b));

    let (mut runs, mut reports, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (result, school) in taken {
        match result {
            Ok((run, report)) => {
                runs.push(run);
                reports.push(report);
            }
            Err(error) => failed.push(Failed { school, why: format!("{error:#}") }),
        }
    }
    let enrolment = enrolment::take(&core.cores, &repository, &sealer).await;
    let (enrolment, enrolment_failed) = match enrolment {
        Ok(parts) => (Some(parts), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let finish = move || finish(&repository, &sealer, began, runs, failed, enrolment);
    let run = tokio::task::spawn_blocking(finish).await??;
    Ok(Report { run: run.taken, schools: reports, failed: run.failed, enrolment_failed })
}

fn finish(
    repository: &Repository,
    sealer: &Sealer,
    began: SystemTime,
    schools: Vec<SchoolRun>,
    failed: Vec<Failed>,
    enrolment: Option<Vec<Part>>,
) -> anyhow::Result<Run> {
    let there = repository.reader().runs()?;
    let stamp = time::stamp(began);
    let mut names = std::iter::once(stamp.clone()).chain((2..=RUNS_PER_SECOND_MAX).map(|n| format!("{stamp}-{n:02}")));
    let taken = names.find(|name| !there.contains(name)).context("too many runs in one second")?;
    let run = Run {
        version: manifest::VERSION,
        software: concat!("schulhof ", env!("CARGO_PKG_VERSION")).into(),
        taken,
        name_key: BlobHash(sealer.name_key()),
        schools,
        failed,
        enrolment,
    };
    repository.put_run(&run.taken, &sealer.seal(&serde_json::to_vec_pretty(&run)?)).context("the run")?;
    Ok(run)
}

/// What has come of a school so far.
struct Progress {
    parts: Vec<Part>,
    whole: Option<Summary>,
    named: Named,
    new_objects: usize,
    new_bytes: u64,
}

impl Progress {
    fn count(&mut self, stored: &Stored) {
        self.new_objects += usize::from(stored.written > 0);
        self.new_bytes += stored.written;
    }
}

async fn one(
    core: &Connected,
    repository: Arc<Repository>,
    sealer: Arc<Sealer>,
    school: &SchoolId,
) -> anyhow::Result<(SchoolRun, SchoolReport)> {
    let mut progress = Progress { parts: Vec::new(), whole: None, named: Named::new(), new_objects: 0, new_bytes: 0 };
    let store = async |bytes: Vec<u8>| {
        let (repository, sealer) = (repository.clone(), sealer.clone());
        let len = bytes.len() as u64;
        let stored = tokio::task::spawn_blocking(move || sealer.store(&repository, &bytes)).await?;
        anyhow::Ok((stored.context("the backup cannot be written")?, len))
    };
    let take = async |bytes, chunk| {
        match chunk {
            // Also when the dump begins anew: what is stored already is found there.
            SchoolChunk::Begin { .. } => {
                progress.parts.clear();
                progress.named.clear();
            }
            SchoolChunk::End(summary) => progress.whole = Some(summary),
            SchoolChunk::State(_) | SchoolChunk::Entries(_) => {
                let what = manifest::describe(&chunk);
                blobs::collect(&chunk, &mut progress.named);
                let (stored, len) = store(bytes).await?;
                progress.count(&stored);
                progress.parts.push(Part { name: stored.name, len, what });
            }
        }
        Ok(())
    };
    core.cores.dump(school, take).await?;
    let summary = progress.whole.context("the dump has no end")?;
    let index = Index { version: manifest::INDEX_VERSION, parts: std::mem::take(&mut progress.parts) };
    let (stored, _) = store(serde_json::to_vec(&index)?).await?;
    progress.count(&stored);
    let files = core.blobs.take(&repository, &sealer, school, &progress.named).await?;
    let run = SchoolRun::new(school.clone(), &summary, stored.name);
    let report = SchoolReport {
        school: school.clone(),
        head: summary.head.0,
        state_hash: run.state_hash,
        parts: index.parts.len(),
        bytes: index.parts.iter().map(|part| part.len).sum(),
        new_objects: progress.new_objects,
        new_bytes: progress.new_bytes,
        files: progress.named.len(),
        new_files: files.fetched,
        new_file_bytes: files.bytes,
        lost_files: files.lost,
    };
    Ok((run, report))
}
