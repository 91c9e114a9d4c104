//! What is handed out in readable form: a school, a person.

use crate::{
    harness::{System, complaint, schulhof, worksheet},
    person::Person,
};
use std::{fs, os::unix::fs::PermissionsExt as _};

#[tokio::test]
async fn a_school_and_a_person_are_exported_without_what_signs_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let (mut teacher, mut colleague) =
        (Person::sign_in(&url, "m.weber").await, Person::sign_in(&url, "j.lindner").await);
    teacher.write("8b", "von mir").await;
    colleague.write("8b", "von jemand anderem").await;
    let (own, foreign) = (worksheet(), b"nicht von mir".to_vec());
    let own_name = teacher.send_file("8b", "Blatt.pdf", &own).await.to_string();
    let foreign_name = colleague.send_file("8b", "Anderes.pdf", &foreign).await.to_string();
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
    let mut files = crate::harness::snapshot(&dir.path().join("nord.files"));
    files.retain(|(path, bytes)| {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        *bytes == own && path.ends_with(&own_name) || *bytes == foreign && path.ends_with(&foreign_name)
    });
    assert_eq!(files.len(), 2, "each under its hash");
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
    let files = crate::harness::snapshot(&dir.path().join("person.files"));
    assert_eq!(files, [(dir.path().join("person.files").join(&own_name), own)], "the person's own alone");
    let (output, to) = export("nobody.json", Some("nobody"));
    assert!(complaint(&output).contains("no account nobody") && !to.exists());
}
