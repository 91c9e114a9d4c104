//! A run's schools, read back. Everything is checked on the way: what is missing or damaged is named with its file, its school and
//! its part, and reading goes on behind it, so that one look finds all of it.

use super::{
    blobs::{self, Named},
    manifest::{self, Index, Part, Run, SchoolRun},
    repository::Reader,
    seal,
};
use crate::age::{self, Identity};
use schulhof_core::state::school::{SchoolChunk, Summary};
use schulhof_school::view::StateHasher;
use schulhof_wire::SchoolId;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, io, ops::RangeInclusive, path::PathBuf};

/// Something in a backup that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// From the backup's folder on; none: no file alone is to blame.
    pub file: Option<PathBuf>,
    pub school: Option<SchoolId>,
    /// What is lost with it.
    pub part: String,
    pub problem: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{}", self.problem)?;
        match &self.school {
            Some(school) => write!(f, " (school {school}, {})", self.part),
            None => write!(f, " ({})", self.part),
        }
    }
}

impl std::error::Error for Damage {}

/// A run that could be opened.
pub struct OpenRun<'a> {
    pub(super) reader: &'a Reader,
    pub(super) identities: &'a [Identity],
    pub run: Run,
}

impl<'a> OpenRun<'a> {
    /// Opens a run by its name.
    pub fn open(reader: &'a Reader, identities: &'a [Identity], taken: &str) -> Result<Self, Damage> {
        let file = Reader::run(taken);
        let damage = |problem: String| Damage {
            file: Some(file.clone()),
            school: None,
            part: "the run and with it all of its schools".into(),
            problem,
        };
        let sealed = reader.read(&file).map_err(|e| damage(io_problem(&e)))?;
        let content = age::open(identities, &sealed).map_err(|e| damage(e.to_string()))?;
        let run: Run = parse(&content, manifest::VERSION_MIN..=manifest::VERSION).map_err(damage)?;
        Ok(Self { reader, identities, run })
    }

    /// Content of an object, if it is what its name says.
    pub(super) fn object(&self, name: &manifest::Name) -> Result<Vec<u8>, String> {
        let sealed = self.reader.read(&Reader::object(name)).map_err(|e| io_problem(&e))?;
        let content = age::open(self.identities, &sealed).map_err(|e| e.to_string())?;
        if seal::name(&self.run.name_key.0, &content) != *name {
            return Err("it holds something else than its name says".into());
        }
        Ok(content)
    }

    /// What a school is made of.
    pub fn index(&self, school: &SchoolRun) -> Result<Index, Damage> {
        let content = self.object(&school.index);
        let versions = manifest::INDEX_VERSION..=manifest::INDEX_VERSION;
        content.and_then(|content| parse(&content, versions)).map_err(|problem| Damage {
            file: Some(Reader::object(&school.index)),
            school: Some(school.school.clone()),
            part: "the list of its parts and with it the whole school".into(),
            problem,
        })
    }

    /// Content of a part, encoded and decoded.
    pub fn part(&self, school: &SchoolRun, index: &Index, number: usize) -> Result<(Vec<u8>, SchoolChunk), Damage> {
        let part = &index.parts[number];
        let read = || {
            let content = self.object(&part.name)?;
            let chunk = SchoolChunk::decode(&content)?;
            Ok((content, chunk))
        };
        read().map_err(|problem| Damage {
            file: Some(Reader::object(&part.name)),
            school: Some(school.school.clone()),
            part: part_name(part, number, index.parts.len()),
            problem,
        })
    }

    /// Reads a school to its end, without its blobs.
    pub fn check(&self, school: &SchoolRun) -> Checked {
        let index = match self.index(school) {
            Ok(index) => index,
            Err(damage) => return Checked { index: Index::default(), named: Named::new(), damages: vec![damage] },
        };
        let (mut named, mut damages) = (Named::new(), Vec::new());
        let mut sum = Sum::new(school.summary());
        for number in 0..index.parts.len() {
            match self.part(school, &index, number) {
                Ok((_, chunk)) => {
                    sum.add(&chunk);
                    blobs::collect(&chunk, &mut named);
                }
                Err(damage) => damages.push(damage),
            }
        }
        // With parts missing the hashes cannot be right, which says nothing new.
        if damages.is_empty() {
            damages.extend(sum.finish().err().map(|problem| Damage {
                file: None,
                school: Some(school.school.clone()),
                part: "its parts together".into(),
                problem,
            }));
        }
        Checked { index, named, damages }
    }
}

/// What was found in a school's objects.
pub struct Checked {
    pub index: Index,
    /// Blobs that its messages name, as far as these could be read.
    pub named: Named,
    /// Everything that is wrong with it.
    pub damages: Vec<Damage>,
}

pub(super) fn part_name(part: &Part, number: usize, of: usize) -> String {
    format!("part {} of {of}: {}", number + 1, part.what)
}

pub(super) fn io_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "missing".into(),
        _ => error.to_string(),
    }
}

/// The version is looked at before the rest: a newer one may have other fields.
fn parse<T: DeserializeOwned>(content: &[u8], known: RangeInclusive<u32>) -> Result<T, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let unreadable = |e: serde_json::Error| format!("unreadable: {e}");
    let Versioned { version } = serde_json::from_slice(content).map_err(unreadable)?;
    if !known.contains(&version) {
        return Err(format!("version {version}, this program reads {} to {}", known.start(), known.end()));
    }
    serde_json::from_slice(content).map_err(unreadable)
}

/// The summary of chunks as they come.
struct Sum {
    expected: Summary,
    state: StateHasher,
    entries: StateHasher,
    records: u64,
}

impl Sum {
    fn new(expected: Summary) -> Self {
        Self { expected, state: StateHasher::default(), entries: StateHasher::default(), records: 0 }
    }

    fn add(&mut self, chunk: &SchoolChunk) {
        match chunk {
            SchoolChunk::State(records) => {
                for (key, value) in records {
                    self.state.record(key, value);
                }
                self.records += records.len() as u64;
            }
            SchoolChunk::Entries(entries) => {
                for (index, value) in entries {
                    self.entries.record(&index.to_be_bytes(), value);
                }
                self.records += entries.len() as u64;
            }
            SchoolChunk::Begin { .. } | SchoolChunk::End(_) => {}
        }
    }

    fn finish(self) -> Result<(), String> {
        let Summary { records, state_hash, entries_hash, .. } = self.expected;
        if self.records != records {
            return Err(format!("{} records, not {records}", self.records));
        }
        if self.state.finish() != state_hash {
            return Err("the hash of its state is not that of the run".into());
        }
        if self.entries.finish() != entries_hash {
            return Err("the hash of its log is not that of the run".into());
        }
        Ok(())
    }
}
