//! The commands: arguments, and what is printed.

use super::{
    client::{Core, Cores, parse_core},
    read::{Damage, OpenRun},
    repository::{Reader, Repository},
    seal::Sealer,
    take,
};
use crate::{
    age::{Identity, Recipient, key::IDENTITY_FILE_LEN_MAX},
    cli::{DIR_DEFAULT, Output},
    record::{Kind, Record},
    up::layout::OPERATOR,
};
use anyhow::{Context as _, bail};
use clap::Args;
use schulhof_net::{
    identity::{self, KEY_FILE, Role},
    quic::{Endpoint, Options},
};
use schulhof_wire::{NodeName, SchoolId};
use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Which core, and as whom.
#[derive(Debug, Args)]
pub struct CoreArgs {
    /// Folder of a system started by `up`: its core, its operator
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    pub dir: PathBuf,
    /// A core node; may be given for each, instead of --dir
    #[arg(long = "core", value_name = "NAME=ADDR:PORT", value_parser = parse_core, requires = "operator")]
    pub cores: Vec<Core>,
    /// Folder with an operator's ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR", requires = "cores")]
    pub operator: Option<PathBuf>,
}

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
    pub core: CoreArgs,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
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
    #[arg(long, required = true)]
    pub verify: bool,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
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
        let (cores, secret) = connect(&args.core)?;
        let known = cores.schools().await?;
        let schools = chosen(&args.schools, known.iter(), "is not served by this core")?;
        anyhow::ensure!(!schools.is_empty(), "this core serves no school");
        let repository = Arc::new(Repository::open(&args.to)?);
        let sealer = Arc::new(Sealer::new(args.recipients, &secret));
        take::take(&cores, repository, sealer, schools).await
    })?;
    match args.output {
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
            }
            for failed in &report.failed {
                say!("{}: NOT in this backup: {}", failed.school, failed.why);
            }
        }
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// The core, and the operator's private key.
fn connect(args: &CoreArgs) -> anyhow::Result<(Cores, Vec<u8>)> {
    let (operator, nodes) = match &args.operator {
        Some(operator) => (operator.clone(), args.cores.clone()),
        None => (args.dir.join(OPERATOR).join("identity"), recorded(&args.dir)?),
    };
    let identity = identity::Identity::load_as(&operator, Role::Operator)?;
    let secret = fs::read(operator.join(KEY_FILE))?;
    let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    Ok((Cores::new(endpoint, nodes), secret))
}

fn recorded(dir: &Path) -> anyhow::Result<Vec<Core>> {
    let record = Record::load(dir)?;
    let cores = record.nodes.iter().filter(|node| node.kind == Kind::Core);
    let cores: Vec<Core> = cores
        .map(|node| {
            let addr = node.url.strip_prefix("quic://").context("a core node without QUIC address")?.parse()?;
            Ok(Core { name: NodeName::new(&node.name)?, addr })
        })
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!cores.is_empty(), "{}: no core node", dir.display());
    Ok(cores)
}

/// What a check has found.
#[derive(Debug, serde::Serialize)]
struct Checked {
    run: String,
    schools: Vec<SchoolId>,
    damages: Vec<Damage>,
}

pub fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let identities = identities(&args.identity)?;
    let reader = Reader::open(&args.from)?;
    let runs = reader.runs()?;
    let taken = match &args.run {
        Some(run) => run.clone(),
        None => runs.last().cloned().with_context(|| format!("{}: no run in it", args.from.display()))?,
    };
    let checked = match OpenRun::open(&reader, &identities, &taken) {
        Ok(open) => check(&open, &args.schools)?,
        Err(damage) => Checked { run: taken, schools: Vec::new(), damages: vec![damage] },
    };
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&checked)?),
        Output::Table => {
            for damage in &checked.damages {
                say!("{damage}");
            }
            let verdict = if checked.damages.is_empty() { "whole" } else { "DAMAGED" };
            say!("run {}: {} schools read, {verdict}", checked.run, checked.schools.len());
        }
    }
    Ok(if checked.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(open: &OpenRun<'_>, wanted: &[SchoolId]) -> anyhow::Result<Checked> {
    let run = &open.run;
    let known = run.schools.iter().map(|school| &school.school).chain(run.failed.iter().map(|failed| &failed.school));
    let schools = chosen(wanted, known, &format!("is not in run {}", run.taken))?;
    let mut damages = Vec::new();
    for school in &schools {
        match run.schools.iter().find(|known| known.school == *school) {
            Some(school) => damages.extend(open.check(school)),
            None => damages.extend(run.failed.iter().filter(|failed| failed.school == *school).map(|failed| Damage {
                file: None,
                school: Some(failed.school.clone()),
                part: "the whole school".into(),
                problem: format!("not in this backup: {}", failed.why),
            })),
        }
    }
    Ok(Checked { run: run.taken.clone(), schools, damages })
}

fn identities(path: &Path) -> anyhow::Result<Vec<Identity>> {
    let read = || {
        anyhow::ensure!(fs::metadata(path)?.len() <= IDENTITY_FILE_LEN_MAX, "too large for keys");
        Ok(Identity::read(&fs::read_to_string(path)?)?)
    };
    read().with_context(|| path.display().to_string())
}
