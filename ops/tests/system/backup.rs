//! Backups of a running system, read back: what is damaged is named.

use crate::{
    harness::{System, complaint, schulhof, worksheet},
    person::Person,
};
use schulhof_wire::BlobHash;
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
        self.take_from(&["--dir", system.to_str().unwrap()])
    }

    fn take_from(&self, core: &[&str]) -> serde_json::Value {
        let to = self.dir.to_str().unwrap();
        let output = schulhof(&[&["backup", "--to", to, "--recipient", &self.recipient, "-o", "json"], core].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn verify(&self, options: &[&str]) -> Output {
        let (from, key) = (self.dir.to_str().unwrap(), self.key.to_str().unwrap());
        schulhof(&[&["restore", "--verify", "--from", from, "--identity", key][..], options].concat())
    }

    /// The object of an attached file, as damage names it.
    fn object_of(&self, blob: BlobHash) -> PathBuf {
        let before: Vec<_> = self.objects();
        for object in &before {
            let whole = fs::read(object).unwrap();
            fs::remove_file(object).unwrap();
            let found = self.damages().iter().any(|damage| {
                damage["part"].as_str().unwrap().contains(&blob.to_string())
                    && damage["file"].as_str() == object.strip_prefix(&self.dir).unwrap().to_str()
            });
            fs::write(object, &whole).unwrap();
            if found {
                return object.clone();
            }
        }
        panic!("no object of {blob} in {before:?}");
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
    assert_eq!(objects.len(), 7, "state, log and list of each school, and enrolment");
    let relative = |path: &Path| path.strip_prefix(&backup.dir).unwrap().to_str().unwrap().to_owned();

    let (mut parts, mut of_schools) = (Vec::new(), Vec::new());
    for object in &objects {
        let whole = fs::read(object).unwrap();
        let mut flipped = whole.clone();
        let at = whole.len() / 2;
        flipped[at] ^= 0x10;
        fs::write(object, &flipped).unwrap();
        let damages = backup.damages();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0]["file"].as_str(), Some(relative(object).as_str()));
        match damages[0]["school"].as_str() {
            Some(school) => {
                assert!(["nord", "sued"].contains(&school), "{damages:?}");
                of_schools.push(object.clone());
            }
            None => assert!(damages[0]["part"].as_str().unwrap().contains("of the CA, invitations and boxes")),
        }
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
    assert_eq!(of_schools.len(), 6);
    assert_eq!((of("state, "), of("log, entries 1 to"), of("list of its parts")), (2, 2, 2), "{parts:?}");

    // One object in the place of another: each is whole by itself.
    let (one, other) = (fs::read(&of_schools[0]).unwrap(), fs::read(&of_schools[1]).unwrap());
    fs::write(&of_schools[0], &other).unwrap();
    let damages = backup.damages();
    assert!(damages[0]["problem"].as_str().unwrap().contains("something else than its name says"), "{damages:?}");
    fs::write(&of_schools[0], &one).unwrap();

    // A cut object is not taken for the whole one: the next run writes it anew.
    fs::write(&of_schools[0], &one[..one.len() - 1]).unwrap();
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

#[tokio::test]
async fn attached_files_are_in_it_once_and_a_damaged_or_missing_one_is_named_with_its_school_and_hash() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let backup = Backup::new(dir.path());
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    let sheet = worksheet();
    let blob = teacher.send_file("8b", "Blatt.pdf", &sheet).await;
    teacher.write("8b", "seht euch das an").await;
    teacher.send_file("8b", "Dasselbe.pdf", &sheet).await;
    teacher.until_secured().await;
    let first = backup.take(&system.dir);
    let nord = &first["schools"][0];
    assert_eq!((&nord["files"], &nord["new_files"]), (&1.into(), &1.into()), "named twice, kept once: {first}");
    assert_eq!(nord["new_file_bytes"], sheet.len());
    assert_eq!(backup.damages(), Vec::<serde_json::Value>::new());

    // What is there is not asked for again: the core could not give it any more.
    for core in CORES {
        for space in ["part", "blob"] {
            let objects = system.dir.join(core).join("data/objects").join(space);
            if objects.exists() {
                fs::remove_dir_all(objects).unwrap();
            }
        }
    }
    let second = backup.take(&system.dir);
    assert_eq!(second["schools"][0]["new_files"], 0, "{second}");

    let object = backup.object_of(blob);
    let whole = fs::read(&object).unwrap();
    assert!(!whole.windows(64).any(|some| some == &sheet[1_000..1_064]), "encrypted");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let other = fs::read(backup.objects().into_iter().find(|other| *other != object).unwrap()).unwrap();
    for (bytes, problem) in
        [(&flipped[..], "damaged or cut"), (&whole[..whole.len() - 1], "damaged or cut"), (&other, "something else")]
    {
        fs::write(&object, bytes).unwrap();
        let damages = backup.damages();
        assert_eq!((damages.len(), damages[0]["school"].as_str()), (1, Some("nord")), "{damages:?}");
        assert!(damages[0]["part"].as_str().unwrap().contains(&blob.to_string()), "{damages:?}");
        assert!(damages[0]["problem"].as_str().unwrap().contains(problem), "{damages:?}");
    }
    fs::remove_file(&object).unwrap();
    assert_eq!(backup.damages()[0]["problem"], "missing");
    let text = String::from_utf8(backup.verify(&[]).stdout).unwrap();
    assert!(text.contains(&format!("missing (school nord, attached file {blob})")), "{text}");

    // Neither the folder nor the core has it: the run says so, and holds everything else.
    let (to, from) = (backup.dir.to_str().unwrap(), system.dir.to_str().unwrap());
    let output = schulhof(&["backup", "--to", to, "--recipient", &backup.recipient, "--dir", from, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let third: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(third["schools"][0]["lost_files"][0]["blob"], blob.to_string(), "{third}");
    assert_eq!(third["failed"].as_array().unwrap().len(), 0);
}

/// Core nodes of a system of which nothing else runs; killed when dropped.
struct CoresAlone(Vec<std::process::Child>);

impl CoresAlone {
    fn start(system: &Path) -> Self {
        let nodes = CORES.iter().map(|name| {
            let log = fs::File::create(system.join(name).join("alone.log")).unwrap();
            std::process::Command::new(crate::harness::PROGRAM)
                .args(["core", "--config"])
                .arg(system.join(name).join("config.toml"))
                .stdin(std::process::Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap()
        });
        Self(nodes.collect())
    }
}

impl Drop for CoresAlone {
    fn drop(&mut self) {
        for node in &mut self.0 {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

const CORES: [&str; 3] = ["core-1", "core-2", "core-3"];

/// School -> state hash.
fn hashes(report: &serde_json::Value) -> Vec<(String, String)> {
    let schools = report["schools"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    schools.map(|school| (text(&school["school"]), text(&school["state_hash"]))).collect()
}

#[tokio::test]
async fn a_system_that_has_lost_everything_is_restored_with_the_same_state_and_people_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let backup = Backup::new(dir.path());
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    teacher.write("8b", "before the first backup").await;
    teacher.until_secured().await;
    backup.take(&system.dir);
    for n in 0..20 {
        teacher.write("8b", &format!("before the second {n}")).await;
    }
    let blob = teacher.send_file("8b", "Blatt.pdf", &worksheet()).await;
    teacher.until_secured().await;
    let last = backup.take(&system.dir);
    let history = teacher.history("8b").await;
    let path = system.dir.clone();
    // As an operator has it who runs no `up`.
    let config = dir.path().join("operator.toml");
    let identity = path.join("operator").join("identity");
    let cores = CORES.map(|name| {
        let addr = system.node(name).url.strip_prefix("quic://").unwrap().to_owned();
        format!("[[core]]\nname = {name:?}\naddr = {addr:?}\n")
    });
    fs::write(&config, format!("identity = {identity:?}\n{}", cores.concat())).unwrap();
    let core = ["--config", config.to_str().unwrap()];
    assert!(system.stop().success());

    for node in CORES.iter().chain(&["nord", "sued"]) {
        fs::remove_dir_all(path.join(node).join("data")).unwrap();
    }
    let restore = |options: &[&str]| {
        let (from, key) = (backup.dir.to_str().unwrap(), backup.key.to_str().unwrap());
        schulhof(&[&["restore", "--from", from, "--identity", key, "-o", "json"], &core[..], options].concat())
    };
    {
        let _cores = CoresAlone::start(&path);
        let output = restore(&[]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        assert!(output.status.success(), "{answer}");
        let restored = serde_json::json!({ "schools": answer["restored"] });
        assert_eq!(hashes(&restored), hashes(&last));
        assert_eq!(answer["restored"][0]["files"], 1, "{answer}");
        assert_eq!(answer["enrolment"]["state"], "restored", "{answer}");
        let boxes = schulhof(&[&["box", "list", "-o", "json"], &core[..]].concat());
        let boxes = String::from_utf8(boxes.stdout).unwrap();
        assert!(boxes.contains("nord-1") && boxes.contains("sued-1"), "known again: {boxes}");

        // The core says the same, and has nothing that the backup does not have already.
        let again = backup.take_from(&core);
        assert_eq!(hashes(&again), hashes(&last));
        assert_eq!(sum(&again, "new_objects"), 0, "{again}");

        // What is there is not overwritten.
        let output = restore(&["--school", "nord"]);
        assert_eq!(output.status.code(), Some(1));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer["failed"][0]["why"].as_str().unwrap().contains("not-empty"), "{answer}");
        let answer: serde_json::Value = serde_json::from_slice(&restore(&[]).stdout).unwrap();
        assert_eq!(answer["enrolment"]["state"], "restored", "what is there already is no harm: {answer}");
    }

    let system = System::start(dir.path()).await;
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    let restored: Vec<_> = teacher.history("8b").await.into_iter().map(|m| (m.index, m.text)).collect();
    assert_eq!(restored, history.into_iter().map(|m| (m.index, m.text)).collect::<Vec<_>>());
    assert_eq!(teacher.file("8b", blob).await, worksheet(), "neither box nor core had it any more");
    teacher.write("8b", "afterwards").await;
    teacher.until_secured().await;
}
