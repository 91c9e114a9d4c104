//! The files of exported messages, in a folder beside the export: each under its hash, which the record of its attachment names
//! together with how the sender called it.

use crate::backup::{
    blobs::{Lost, Named},
    connection::Connected,
};
use anyhow::Context as _;
use schulhof_wire::SchoolId;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// `nord.files` beside `nord.jsonl`.
pub fn folder_of(export: &Path) -> PathBuf {
    export.with_extension("files")
}

/// Brings them all, one after the other; those that the core cannot give come back. The folder appears when it is complete, and
/// not at all without a file. For its owner only.
pub async fn bring(core: &Connected, school: &SchoolId, named: &Named, folder: &Path) -> anyhow::Result<Vec<Lost>> {
    let mut lost = Vec::new();
    if named.is_empty() {
        return Ok(lost);
    }
    let beside = folder.with_extension("files.part");
    begin(&beside).with_context(|| beside.display().to_string())?;
    for blob in named.keys() {
        let recipe = match core.blobs.recipe(school, *blob).await? {
            Ok(recipe) => recipe,
            Err(of) => {
                lost.push(of);
                continue;
            }
        };
        let path = beside.join(blob.to_string());
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let mut writer = BufWriter::new(file.with_context(|| path.display().to_string())?);
        match core.blobs.fetch(school, &recipe, |bytes| writer.write_all(bytes)).await? {
            Ok(()) => {
                writer.flush()?;
                writer.get_ref().sync_all()?;
            }
            Err(of) => {
                lost.push(of);
                fs::remove_file(&path)?;
            }
        }
    }
    fs::rename(&beside, folder).with_context(|| folder.display().to_string())?;
    Ok(lost)
}

/// An empty folder; what a try before has left goes.
fn begin(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(folder)
}
