//! `schulhof export`: a school's data, or one person's, in a form that people and other programs can read. From the running core.
//!
//! What it must not do: give away passwords, not even their hashes. What it writes is not encrypted: the files can be read by their
//! owner only, and are in his care.
//!
//! - a school: JSON Lines, one record per line, in the order of the school's store
//! - a person: one JSON object: the account, groups, rooms, devices, and what the person wrote
//! - [`files`]: what the messages in it have attached

pub mod files;

use crate::{
    backup::{blobs::Named, client::Cores, connection::connect},
    cli::OperateArgs,
};
use anyhow::{Context as _, bail};
use clap::Args;
use schulhof_core::state::school::SchoolChunk;
use schulhof_school::{
    Actor,
    export::{Exported, export},
};
use schulhof_wire::{AccountId, LogIndex, RoomId, SchoolId};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Whose data
    #[arg(long, value_name = "SCHOOL")]
    pub school: SchoolId,
    /// Only what belongs to this account, as one JSON object
    #[arg(long, value_name = "ACCOUNT")]
    pub person: Option<AccountId>,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub operate: OperateArgs,
}

pub fn command(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let lost = runtime.block_on(async {
        let core = connect(&args.operate)?;
        let folder = files::folder_of(&args.to);
        anyhow::ensure!(!folder.exists(), "{}: is there already", folder.display());
        let mut file = Beside::create(&args.to)?;
        let (head, named) = match &args.person {
            None => school(&core.cores, &args.school, &mut file).await?,
            Some(account) => person(&core.cores, &args.school, account, &mut file).await?,
        };
        let lost = files::bring(&core, &args.school, &named, &folder).await?;
        file.finish()?;
        say!("{}: {} up to entry {}", args.to.display(), args.school, head.0);
        if !named.is_empty() {
            say!("{}: {} attached files", folder.display(), named.len() - lost.len());
        }
        anyhow::Ok(lost)
    })?;
    for lost in &lost {
        say!("attached file {} is NOT there: {}", lost.blob, lost.why);
    }
    Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each record of the school's state, and where its log was then. A dump that is cut begins anew: `begin` is told.
async fn records(
    cores: &Cores,
    school: &SchoolId,
    mut begin: impl FnMut() -> io::Result<()>,
    mut each: impl FnMut(Exported) -> anyhow::Result<()>,
) -> anyhow::Result<LogIndex> {
    let mut end = None;
    cores
        .dump(school, async |_, chunk| {
            match chunk {
                SchoolChunk::Begin { .. } => begin()?,
                SchoolChunk::State(records) => {
                    records.iter().filter_map(|(key, value)| export(key, value)).try_for_each(&mut each)?;
                }
                SchoolChunk::Entries(_) => {}
                SchoolChunk::End(summary) => end = Some(summary.head),
            }
            Ok(())
        })
        .await?;
    end.context("the dump has no end")
}

/// Adds what a record has attached.
fn collect(record: &Exported, named: &mut Named) {
    if let Exported::Attachments { attachments, .. } = record {
        named.extend(attachments.iter().map(|attachment| (attachment.hash, attachment.size)));
    }
}

async fn school(cores: &Cores, school: &SchoolId, file: &mut Beside) -> anyhow::Result<(LogIndex, Named)> {
    let begun = std::cell::RefCell::new((file, Named::new()));
    let begin = || {
        let (file, named) = &mut *begun.borrow_mut();
        named.clear();
        file.restart()
    };
    let each = |record| {
        let (file, named) = &mut *begun.borrow_mut();
        collect(&record, named);
        serde_json::to_writer(&mut file.writer, &record)?;
        Ok(file.writer.write_all(b"\n")?)
    };
    let head = records(cores, school, begin, each).await?;
    Ok((head, begun.into_inner().1))
}

/// One person's data.
#[derive(Debug, Default, Serialize)]
struct Person {
    /// Null until it was found.
    account: Option<Exported>,
    groups: Vec<Exported>,
    rooms: Vec<PersonRoom>,
    devices: Vec<Exported>,
    messages: Vec<Exported>,
    attachments: Vec<Exported>,
    conferences: Vec<Exported>,
    #[serde(skip)]
    seen: Seen,
}

#[derive(Debug, Serialize)]
struct PersonRoom {
    room: RoomId,
    name: String,
    /// The other end of a direct room.
    with: Option<AccountId>,
    read_upto: LogIndex,
}

/// What records refer to that come before them or after.
#[derive(Debug, Default)]
struct Seen {
    /// Those that the person is in.
    groups: BTreeSet<schulhof_wire::GroupId>,
    members: BTreeMap<RoomId, LogIndex>,
    written: BTreeSet<(RoomId, LogIndex)>,
}

impl Person {
    /// Records come in the order of their keys: memberships of groups before groups, members before rooms, messages before attachments.
    fn add(&mut self, own: &AccountId, record: Exported) {
        match &record {
            Exported::Account { account, .. } if account == own => self.account = Some(record),
            Exported::Device { owner: Actor::Account(owner), .. } if owner == own => self.devices.push(record),
            Exported::GroupMember { account, group } if account == own => {
                self.seen.groups.insert(group.clone());
            }
            Exported::Group { group, .. } if self.seen.groups.contains(group) => self.groups.push(record),
            Exported::RoomMember { room, account, read_upto } if account == own => {
                self.seen.members.insert(room.clone(), *read_upto);
            }
            Exported::Room { room, name, between, .. } => {
                if let Some(read_upto) = self.seen.members.get(room).copied() {
                    let with = between.iter().find(|account| *account != own).cloned();
                    self.rooms.push(PersonRoom { room: room.clone(), name: name.clone(), with, read_upto });
                }
            }
            Exported::Message { room, index, author, .. } if author == own => {
                self.seen.written.insert((room.clone(), *index));
                self.messages.push(record);
            }
            Exported::Attachments { room, index, .. } if self.seen.written.contains(&(room.clone(), *index)) => {
                self.attachments.push(record);
            }
            Exported::Conference { opened_by, .. } if opened_by == own => self.conferences.push(record),
            _ => {}
        }
    }
}

async fn person(
    cores: &Cores,
    school: &SchoolId,
    account: &AccountId,
    file: &mut Beside,
) -> anyhow::Result<(LogIndex, Named)> {
    let person = std::cell::RefCell::new(Person::default());
    let begin = || {
        person.take();
        Ok(())
    };
    let each = |record| {
        person.borrow_mut().add(account, record);
        Ok(())
    };
    let head = records(cores, school, begin, each).await?;
    let person = person.into_inner();
    if person.account.is_none() {
        bail!("{school} has no account {account}");
    }
    serde_json::to_writer_pretty(&mut file.writer, &person)?;
    let mut named = Named::new();
    person.attachments.iter().for_each(|record| collect(record, &mut named));
    Ok((head, named))
}

/// A file that appears whole or not at all, readable by its owner only.
struct Beside {
    path: PathBuf,
    unfinished: PathBuf,
    writer: BufWriter<File>,
}

impl Beside {
    fn create(path: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(!path.exists(), "{}: is there already", path.display());
        let beside = path.with_extension("part");
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let file = file.with_context(|| beside.display().to_string())?;
        Ok(Self { path: path.to_owned(), unfinished: beside, writer: BufWriter::new(file) })
    }

    fn restart(&mut self) -> io::Result<()> {
        use io::Seek as _;
        self.writer.rewind()?;
        self.writer.get_ref().set_len(0)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        fs::rename(&self.unfinished, &self.path).with_context(|| self.path.display().to_string())
    }
}
