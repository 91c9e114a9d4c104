//! The commands: arguments, and what is printed.

use super::{
    connection::{Connected, connect},
    enrolment::{self, Enrolment},
    manifest::{Failed, Run, SchoolRun},
    read::{Damage, OpenRun},
    repository::{Reader, Repository},
    restore::{self, NotRestored, Restored},
    seal::Sealer,
    take,
};
use crate::{
    age::{Identity, Recipient, key::IDENTITY_FILE_LEN_MAX},
    cli::{OperateArgs, Output},
};
use anyhow::{Context as _, bail};
use clap::Args;
use schulhof_wire::SchoolId;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder for the backup; a new one is made, an old one gets what has changed
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Public key (age1...) that it is encrypted for; may be given more than once, each can open it alone
    #[arg(long = "recipient", value_name = "KEY", required = true)]
    pub recipients: Vec<Recipient>,
    /// Only these schools; may be given more than once
    #[arg(long = "school", value_name = "SCHOOL")]
    pub schools: Vec<SchoolId>,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Folder of the backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// File with the secret key (AGE-SECRET-KEY-1...)
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// Which run, as `backup` named it; default: the newest
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only these schools; may be given more than once
    #[arg(long = "school", value_name = "SCHOOL")]
    pub schools: Vec<SchoolId>,
    /// Read and check everything, write nothing; exit code 1 if something is damaged or missing
    #[arg(long)]
    pub verify: bool,
    /// Throw away what the core has of these schools
    #[arg(long, requires = "schools", conflicts_with = "verify")]
    pub replace: bool,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// File for the new secret key; must not exist
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Makes a key pair; prints the public one.
pub fn key(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let identity = Identity::generate();
    let write = || {
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&args.to)?;
        file.write_all(identity.write().as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| args.to.display().to_string())?;
    say!("{}", identity.recipient());
    Ok(ExitCode::SUCCESS)
}

pub fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let core = connect(&args.operate)?;
        let known = core.cores.schools().await?;
        let schools = chosen(&args.schools, known.iter(), "is not served by this core")?;
        anyhow::ensure!(!schools.is_empty(), "this core serves no school");
        let repository = Arc::new(Repository::open(&args.to)?);
        let sealer = Arc::new(Sealer::new(args.recipients, &core.secret));
        take::take(&core, repository, sealer, schools).await
    })?;
    match args.operate.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&report)?),
        Output::Table => {
            say!("run {}", report.run);
            for school in &report.schools {
                say!(
                    "{}: up to entry {}, {} parts with {} bytes, {} files with {} bytes are new",
                    school.school,
                    school.head,
                    school.parts,
                    school.bytes,
                    school.new_objects,
                    school.new_bytes
                );
                let (new, bytes) = (school.new_files, school.new_file_bytes);
                say!("{}: {} attached files, {new} with {bytes} bytes are new", school.school, school.files);
                for lost in &school.lost_files {
                    say!("{}: attached file {} is NOT in this backup: {}", school.school, lost.blob, lost.why);
                }
            }
            if let Some(why) = &report.enrolment_failed {
                say!("the CA and the boxes' enrolment are NOT in this backup: {why}");
            }
            for failed in &report.failed {
                say!("{}: NOT in this backup: {}", failed.school, failed.why);
            }
        }
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Those of `known` that were asked for; all if none was.
fn chosen<'a>(
    wanted: &[SchoolId],
    known: impl Iterator<Item = &'a SchoolId>,
    otherwise: &str,
) -> anyhow::Result<Vec<SchoolId>> {
    let known: Vec<SchoolId> = known.cloned().collect();
    if wanted.is_empty() {
        return Ok(known);
    }
    if let Some(unknown) = wanted.iter().find(|school| !known.contains(school)) {
        bail!("school {unknown} {otherwise}");
    }
    Ok(wanted.to_vec())
}

/// What reading a run has come to.
#[derive(Debug, Default, serde::Serialize)]
struct Outcome {
    run: String,
    schools: Vec<SchoolId>,
    damages: Vec<Damage>,
    restored: Vec<Restored>,
    failed: Vec<Failed>,
    /// Of the CA, invitations and boxes; none: not asked for, or nothing of them in the run.
    enrolment: Option<Enrolment>,
}

pub fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let identities = identities(&args.identity)?;
    let reader = Reader::open(&args.from)?;
    let runs = reader.runs()?;
    let taken = match &args.run {
        Some(run) => run.clone(),
        None => runs.last().cloned().with_context(|| format!("{}: no run in it", args.from.display()))?,
    };
    let outcome = match OpenRun::open(&reader, &identities, &taken) {
        Err(damage) => Outcome { run: taken, damages: vec![damage], ..Outcome::default() },
        Ok(open) if args.verify => check(&open, &args.schools)?,
        Ok(open) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(into_core(&open, args))?
        }
    };
    let well = outcome.damages.is_empty() && outcome.failed.is_empty();
    match args.operate.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&outcome)?),
        Output::Table => {
            for damage in &outcome.damages {
                say!("{damage}");
            }
            for failed in &outcome.failed {
                say!("{}: NOT restored: {}", failed.school, failed.why);
            }
            for school in &outcome.restored {
                let (head, files) = (school.head, school.files);
                say!("{}: restored up to entry {head} with {files} files, state {}", school.school, school.state_hash);
            }
            if let Some(enrolment) = &outcome.enrolment {
                say!("{enrolment}");
            }
            let verdict = if outcome.damages.is_empty() { "whole" } else { "DAMAGED" };
            say!("run {}: {} schools read, {verdict}", outcome.run, outcome.schools.len());
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn not_in_run(failed: &Failed) -> Damage {
    Damage {
        file: None,
        school: Some(failed.school.clone()),
        part: "the whole school".into(),
        problem: format!("not in this backup: {}", failed.why),
    }
}

/// The schools of the run that were asked for; and what is said of those that it does not hold.
fn wanted<'a>(run: &'a Run, wanted: &[SchoolId]) -> anyhow::Result<(Vec<&'a SchoolRun>, Outcome)> {
    let known = run.schools.iter().map(|school| &school.school).chain(run.failed.iter().map(|failed| &failed.school));
    let schools = chosen(wanted, known, &format!("is not in run {}", run.taken))?;
    let found = run.schools.iter().filter(|school| schools.contains(&school.school)).collect();
    let failed = run.failed.iter().filter(|failed| schools.contains(&failed.school));
    let damages = failed.map(not_in_run).collect();
    Ok((found, Outcome { run: run.taken.clone(), schools, damages, ..Outcome::default() }))
}

fn check(open: &OpenRun<'_>, schools: &[SchoolId]) -> anyhow::Result<Outcome> {
    let (schools, mut outcome) = wanted(&open.run, schools)?;
    for school in schools {
        let checked = open.check(school);
        outcome.damages.extend(checked.damages);
        outcome.damages.extend(open.check_blobs(&school.school, &checked.named));
    }
    outcome.damages.extend(open.enrolment().err());
    Ok(outcome)
}

/// One school after the other; one that fails does not keep the others out.
async fn into_core(open: &OpenRun<'_>, args: &RestoreArgs) -> anyhow::Result<Outcome> {
    let (schools, mut outcome) = wanted(&open.run, &args.schools)?;
    let core = connect(&args.operate)?;
    if args.schools.is_empty() {
        enrol(&core, open, &mut outcome).await?;
    }
    for school in schools {
        match restore::restore(&core, open, school, args.replace).await {
            Ok(mut restored) => {
                outcome.damages.append(&mut restored.lost);
                outcome.restored.push(restored);
            }
            Err(NotRestored::Damaged(damages)) => outcome.damages.extend(damages),
            Err(NotRestored::Failed(error)) => {
                outcome.failed.push(Failed { school: school.school.clone(), why: format!("{error:#}") });
            }
        }
    }
    Ok(outcome)
}

/// Before the schools, so that boxes find what knows them as soon as there is something to serve.
async fn enrol(core: &Connected, open: &OpenRun<'_>, outcome: &mut Outcome) -> anyhow::Result<()> {
    match open.enrolment() {
        Ok(records) if records.is_empty() => {}
        Ok(records) => outcome.enrolment = Some(enrolment::restore(&core.cores, records).await?),
        Err(damage) => outcome.damages.push(damage),
    }
    Ok(())
}

fn identities(path: &Path) -> anyhow::Result<Vec<Identity>> {
    let read = || {
        anyhow::ensure!(fs::metadata(path)?.len() <= IDENTITY_FILE_LEN_MAX, "too large for keys");
        Ok(Identity::read(&fs::read_to_string(path)?)?)
    };
    read().with_context(|| path.display().to_string())
}
