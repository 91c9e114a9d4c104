//! Backups of a running system, read back: what is damaged is named.

use crate::{
    harness::{System, complaint, schulhof},
    person::Person,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
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

        // The core says the same, and has nothing that the backup does not have already.
        let again = backup.take_from(&core);
        assert_eq!(hashes(&again), hashes(&last));
        assert_eq!(sum(&again, "new_objects"), 0, "{again}");

        // What is there is not overwritten.
        let output = restore(&["--school", "nord"]);
        assert_eq!(output.status.code(), Some(1));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer["failed"][0]["why"].as_str().unwrap().contains("not-empty"), "{answer}");
    }

    let system = System::start(dir.path()).await;
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    let restored: Vec<_> = teacher.history("8b").await.into_iter().map(|m| (m.index, m.text)).collect();
    assert_eq!(restored, history.into_iter().map(|m| (m.index, m.text)).collect::<Vec<_>>());
    teacher.write("8b", "afterwards").await;
    teacher.until_secured().await;
}

#[tokio::test]
async fn a_school_and_a_person_are_exported_without_what_signs_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let (mut teacher, mut colleague) =
        (Person::sign_in(&url, "m.weber").await, Person::sign_in(&url, "j.lindner").await);
    teacher.write("8b", "von mir").await;
    colleague.write("8b", "von jemand anderem").await;
    for person in [&teacher, &colleague] {
        person.until_secured().await;
    }
    let export = |to: &str, person: Option<&str>| {
        let (to, system) = (dir.path().join(to), system.dir.to_str().unwrap());
        let mut args = vec!["export", "--school", "nord", "--dir", system, "--to", to.to_str().unwrap()];
        args.extend(person.iter().flat_map(|person| ["--person", person]));
        (schulhof(&args), to)
    };
    let (output, to) = export("nord.jsonl", None);
    assert!(output.status.success(), "{}", complaint(&output));
    let text = fs::read_to_string(&to).unwrap();
    let records: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert!(of("account") > 10 && of("room") > 2 && of("room_member") > 10 && of("school") == 1, "{text}");
    assert!(records.iter().any(|record| record["text"] == "von jemand anderem"));
    assert!(!text.contains("argon2"), "no password");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let (output, _) = export("nord.jsonl", None);
    assert!(complaint(&output).contains("is there already"));

    let account = records.iter().find(|record| record["login"] == "m.weber").unwrap()["account"].as_str().unwrap();
    let (output, to) = export("person.json", Some(account));
    assert!(output.status.success(), "{}", complaint(&output));
    let text = fs::read_to_string(&to).unwrap();
    let person: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(person["account"]["login"], "m.weber");
    assert!(person["rooms"].as_array().unwrap().iter().any(|room| room["room"] == "8b"), "{text}");
    let messages = person["messages"].as_array().unwrap();
    assert!(messages.iter().any(|message| message["text"] == "von mir"));
    assert!(messages.iter().all(|message| message["author"] == account), "nobody else's words");
    assert!(!text.contains("argon2") && !text.contains("j.lindner"), "{text}");
    let (output, to) = export("nobody.json", Some("nobody"));
    assert!(complaint(&output).contains("no account nobody") && !to.exists());
}
