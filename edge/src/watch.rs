//! A folder on the box in which a timetable program leaves its files: what is new in it is read and applied by itself.
//!
//! A file is taken when it looks the same twice in a row, so that one that is still being written is not. A broken one changes
//! nothing. What became of each file is kept for the admins' page; the folder itself is never written to. The box acts in the
//! name of the admin who has switched this on; until then, and when that account may not any more, nothing is applied.

use crate::{
    app::App,
    clock::unix_ms,
    door::{new_name, submit},
    import::{draft, lessons},
    stop::Stop,
};
use schulhof_school::view::{self, timetable};
use schulhof_wire::{
    AccountId, Day, Hlc,
    timetable::{FILE_LEN_MAX, FileKind, TimetableDraft, WatchedFile, WatchedState},
};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Problems of a file that are kept.
const PROBLEMS_KEPT: usize = 10;
/// What the program calls its files, in the order in which they are read: substitutions are of a plan.
const FILES: [(&str, FileKind); 4] = [
    ("GPU001.TXT", FileKind::Plan),
    ("GPU002.TXT", FileKind::Weeks),
    ("GPU014.TXT", FileKind::Changes),
    ("GPU009.TXT", FileKind::Duties),
];

/// How a file looks from outside.
type Look = (u64, SystemTime);

/// What is remembered of a file.
#[derive(Default)]
struct Seen {
    last: Option<Look>,
    taken: Option<Look>,
}

/// Looks until the box stops.
pub async fn run(app: Arc<App>, folder: PathBuf, every: Duration, mut stop: Stop) {
    app.watched.lock().folder = true;
    let mut seen: BTreeMap<&'static str, Seen> = BTreeMap::new();
    let watching = async {
        loop {
            look(&app, &folder, &mut seen).await;
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.ordered() => {}
    }
}

async fn look(app: &Arc<App>, folder: &Path, seen: &mut BTreeMap<&'static str, Seen>) {
    let by = app.store.read_async(|snapshot| timetable::watcher(&snapshot.kv())).await;
    let Ok(Some(by)) = by else { return };
    let of = folder.to_owned();
    let Ok(found) = tokio::task::spawn_blocking(move || FILES.map(|(name, kind)| (name, kind, find(&of, name)))).await
    else {
        return;
    };
    let mut ready = Vec::new();
    for (name, kind, file) in found {
        let seen = seen.entry(name).or_default();
        let now = file.as_ref().map(|(_, look)| *look);
        let stable = now.is_some() && now == seen.last;
        seen.last = now;
        if stable && now != seen.taken {
            seen.taken = now;
            ready.extend(file.map(|(path, _)| (name, kind, path)));
        }
    }
    let has_plan = ready.iter().any(|(_, kind, _)| *kind == FileKind::Plan);
    for (name, kind, path) in ready {
        // A new plan comes together with its weeks.
        if kind == FileKind::Weeks && has_plan {
            continue;
        }
        let weeks = (kind == FileKind::Plan).then(|| find(folder, "GPU002.TXT")).flatten().map(|(path, _)| path);
        let report = take(app, &by, kind, path, weeks).await;
        tracing::info!(file = name, state = ?report.state, "a file in the timetable's folder");
        let mut watched = app.watched.lock();
        watched.files.retain(|known| known.name != name);
        watched.files.push(WatchedFile { name: name.to_owned(), ..report });
    }
}

/// The file, whichever case its name is in.
fn find(folder: &Path, name: &str) -> Option<(PathBuf, Look)> {
    [name.to_owned(), name.to_lowercase(), name.replace(".TXT", ".txt")].into_iter().find_map(|name| {
        let path = folder.join(name);
        let known = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some((path, (known.len(), known.modified().ok()?)))
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a file of a timetable has at most 4 MiB"));
    }
    Ok(bytes)
}

async fn take(app: &Arc<App>, by: &AccountId, kind: FileKind, path: PathBuf, weeks: Option<PathBuf>) -> WatchedFile {
    let at = Hlc::from_ms(unix_ms());
    let report = |state, draft: Option<TimetableDraft>, reason: &str| {
        let mut problems = draft.as_ref().map(|draft| draft.problems.clone()).unwrap_or_default();
        problems.truncate(PROBLEMS_KEPT);
        let entries = draft.map_or(0, |draft| draft.entries);
        WatchedFile { name: String::new(), kind, at, state, entries, problems, reason: reason.to_owned() }
    };
    let files = tokio::task::spawn_blocking(move || {
        Ok::<_, io::Error>((read(&path)?, weeks.as_deref().map(read).transpose()?))
    });
    let (file, weeks) = match files.await {
        Ok(Ok(files)) => files,
        Ok(Err(error)) => return report(WatchedState::Refused, None, &error.to_string()),
        Err(_) => return report(WatchedState::Refused, None, "interrupted"),
    };
    let (import, viewer) = (new_name("watch"), by.clone());
    let named = import.clone();
    let drafted = app.store.read_async(move |snapshot| {
        let kv = snapshot.kv();
        view::may_manage(&kv, &viewer).ok()?;
        let from = Day::from_unix_ms(at.ms());
        // A plan that was read in for later stays.
        let until = timetable::next_plan(&kv, from).map(|next| next.plus(-1));
        let input =
            draft::Input { import: &named, kind, file: &file, weeks: weeks.as_deref(), from, until, viewer: &viewer };
        Some(draft::make(&kv, &input))
    });
    let Ok(Some((view, draft))) = drafted.await else {
        return report(WatchedState::Refused, None, "not-allowed");
    };
    if !view.problems.is_empty() {
        return report(WatchedState::Broken, Some(view), "");
    }
    if view.added_count + view.removed_count == 0 {
        return report(WatchedState::Same, Some(view), "");
    }
    let operations = lessons::operations(&import, by, at, draft.scope, draft.items);
    match submit(app, import, operations).await {
        Ok(()) => report(WatchedState::Applied, Some(view), ""),
        Err(refusal) => report(WatchedState::Refused, Some(view), refusal.code),
    }
}
