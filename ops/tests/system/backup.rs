//! Backups of a running system, read back: what is damaged is named.

use crate::{
    harness::{System, complaint, schulhof},
    person::Person,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// A backup's folder and keys.
struct Backup {
    dir: PathBuf,
    key: PathBuf,
    recipient: String,
}

impl Backup {
    fn new(dir: &Path) -> Self {
        let key = dir.join("backup-key.txt");
        let output = schulhof(&["backup-key", "--to", key.to_str().unwrap()]);
        assert!(output.status.success(), "{}", complaint(&output));
        let recipient = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { dir: dir.join("backup"), key, recipient }
    }

    fn take(&self, system: &Path) -> serde_json::Value {
        let (to, system) = (self.dir.to_str().unwrap(), system.to_str().unwrap());
        let output = schulhof(&["backup", "--to", to, "--recipient", &self.recipient, "--dir", system, "-o", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn verify(&self, options: &[&str]) -> Output {
        let (from, key) = (self.dir.to_str().unwrap(), self.key.to_str().unwrap());
        schulhof(&[&["restore", "--verify", "--from", from, "--identity", key][..], options].concat())
    }

    fn damages(&self) -> Vec<serde_json::Value> {
        let output = self.verify(&["-o", "json"]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let damages = answer["damages"].as_array().unwrap().clone();
        assert_eq!(output.status.code(), Some(i32::from(!damages.is_empty())));
        damages
    }

    fn objects(&self) -> Vec<PathBuf> {
        let mut objects: Vec<_> =
            crate::harness::snapshot(&self.dir.join("objects")).into_iter().map(|(p, _)| p).collect();
        objects.sort();
        objects
    }
}

fn sum(report: &serde_json::Value, field: &str) -> u64 {
    report["schools"].as_array().unwrap().iter().map(|school| school[field].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_backup_of_a_running_system_is_whole_and_the_next_one_writes_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let backup = Backup::new(dir.path());
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    teacher.write("8b", "before the first backup").await;
    teacher.until_secured().await;

    let first = backup.take(&system.dir);
    assert_eq!(first["schools"].as_array().unwrap().len(), 2);
    assert!(sum(&first, "new_objects") >= sum(&first, "parts"), "{first}");
    assert_eq!(backup.damages(), Vec::<serde_json::Value>::new());

    let unchanged = backup.take(&system.dir);
    assert_eq!(sum(&unchanged, "new_objects"), 0, "nothing was written meanwhile: {unchanged}");
    assert_ne!(unchanged["run"], first["run"]);

    teacher.write("8b", "after it").await;
    teacher.until_secured().await;
    let third = backup.take(&system.dir);
    let school = |report: &serde_json::Value, n: usize| report["schools"][n].clone();
    assert!(school(&third, 0)["new_objects"].as_u64().unwrap() > 0, "{third}");
    assert_eq!(school(&third, 1)["new_objects"], 0, "the other school is as it was: {third}");
    assert_ne!(school(&third, 0)["state_hash"], school(&first, 0)["state_hash"]);
    assert_eq!(school(&third, 1)["state_hash"], school(&first, 1)["state_hash"]);
    // All runs stay readable.
    for run in [&first, &unchanged, &third] {
        let output = backup.verify(&["--run", run["run"].as_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    // Nothing of it can be read without the key.
    for (path, content) in crate::harness::snapshot(&backup.dir) {
        for word in ["before the first backup", "m.weber", "nord"] {
            let found = content.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(
                !found && !path.to_str().unwrap().replace(dir.path().to_str().unwrap(), "").contains(word),
                "{path:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_damaged_or_missing_is_named_with_its_file_school_and_part() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let backup = Backup::new(dir.path());
    backup.take(&system.dir);
    let objects = backup.objects();
    assert_eq!(objects.len(), 6, "state, log and list of each school");
    let relative = |path: &Path| path.strip_prefix(&backup.dir).unwrap().to_str().unwrap().to_owned();

    let mut parts = Vec::new();
    for object in &objects {
        let whole = fs::read(object).unwrap();
        let mut flipped = whole.clone();
        let at = whole.len() / 2;
        flipped[at] ^= 0x10;
        fs::write(object, &flipped).unwrap();
        let damages = backup.damages();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0]["file"].as_str(), Some(relative(object).as_str()));
        assert!(["nord", "sued"].contains(&damages[0]["school"].as_str().unwrap()));
        parts.push(damages[0]["part"].as_str().unwrap().to_owned());
        // The same in words, with the exit code.
        let output = backup.verify(&[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&relative(object)) && text.contains("DAMAGED"), "{text}");
        assert_eq!(output.status.code(), Some(1));

        fs::remove_file(object).unwrap();
        let damages = backup.damages();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(
            (damages[0]["file"].as_str(), damages[0]["problem"].as_str()),
            (Some(relative(object).as_str()), Some("missing"))
        );

        fs::write(object, &whole).unwrap();
        assert!(backup.damages().is_empty());
    }
    parts.sort();
    let of = |word: &str| parts.iter().filter(|part| part.contains(word)).count();
    assert_eq!((of("state, "), of("log, entries 1 to"), of("list of its parts")), (2, 2, 2), "{parts:?}");

    // One object in the place of another: each is whole by itself.
    let (one, other) = (fs::read(&objects[0]).unwrap(), fs::read(&objects[1]).unwrap());
    fs::write(&objects[0], &other).unwrap();
    let damages = backup.damages();
    assert!(damages[0]["problem"].as_str().unwrap().contains("something else than its name says"), "{damages:?}");
    fs::write(&objects[0], &one).unwrap();

    // A cut object is not taken for the whole one: the next run writes it anew.
    fs::write(&objects[0], &one[..one.len() - 1]).unwrap();
    assert_eq!(backup.damages().len(), 1);
    let again = backup.take(&system.dir);
    assert_eq!(sum(&again, "new_objects"), 1);
    assert!(backup.damages().is_empty());

    // The run itself.
    let run = backup.dir.join("runs").join(format!("{}.age", again["run"].as_str().unwrap()));
    let mut bytes = fs::read(&run).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&run, &bytes).unwrap();
    let damages = backup.damages();
    assert_eq!(damages[0]["file"].as_str(), Some(relative(&run).as_str()), "{damages:?}");

    // Another key.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Backup::new(elsewhere.path());
    let output = schulhof(&[
        "restore",
        "--verify",
        "--from",
        backup.dir.to_str().unwrap(),
        "--identity",
        other.key.to_str().unwrap(),
        "-o",
        "json",
    ]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["damages"][0]["problem"], "it is for another identity");
}
