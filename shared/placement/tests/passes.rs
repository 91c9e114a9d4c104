//! Whom a pass lets in, and that every way of being wrong is refused by its own code.

use schulhof_placement::{PassError, TicketKey, TicketKeys, keys::KEYS_MAX};
use schulhof_wire::{
    SchoolId,
    pass::{PASS_LEN_MAX, PassClaims, VALID_MS, VERSION},
    ticket::{Claims, MediaNode, MediaRole, NodeKind},
};

const NOW_MS: u64 = 1_700_000_000_000;

fn school(text: &str) -> SchoolId {
    SchoolId::new(text).unwrap()
}

fn key(n: u8) -> TicketKey {
    TicketKey::generate(&[n; 32])
}

/// nord signs with key 1 or 3, sued with key 2.
fn keys() -> TicketKeys {
    [("nord", 1), ("sued", 2), ("nord", 3)].map(|(name, n)| (school(name), key(n).public())).into_iter().collect()
}

fn claims() -> PassClaims {
    PassClaims {
        v: VERSION,
        school: school("nord"),
        account: "eva".parse().unwrap(),
        session: "0123".into(),
        password_mark: "00".repeat(32),
        issued_ms: NOW_MS,
        expires_ms: NOW_MS + VALID_MS,
    }
}

fn code(text: &str) -> &'static str {
    keys().verify_pass(text, NOW_MS).unwrap_err().code()
}

#[test]
fn a_pass_of_any_of_the_schools_keys_is_believed_until_it_expires() {
    for signer in [key(1), key(3)] {
        let text = signer.sign_pass(&claims());
        assert!(text.len() < PASS_LEN_MAX);
        assert_eq!(keys().verify_pass(&text, NOW_MS), Ok(claims()));
        assert_eq!(keys().verify_pass(&text, NOW_MS + VALID_MS), Err(PassError::Expired(0)));
    }
}

#[test]
fn a_pass_signed_by_somebody_else_is_forged() {
    // Another school's box, as itself and as nord.
    assert_eq!(code(&key(2).sign_pass(&claims())), "pass-forged");
    assert_eq!(code(&key(4).sign_pass(&claims())), "pass-forged");
    let west = PassClaims { school: school("west"), ..claims() };
    assert_eq!(code(&key(1).sign_pass(&west)), "pass-unknown-school");
}

#[test]
fn what_is_changed_or_is_no_pass_is_refused() {
    let text = key(1).sign_pass(&claims());
    let (_, signature) = text.split_once('.').unwrap();
    let other = key(2).sign_pass(&PassClaims { account: "ali".parse().unwrap(), ..claims() });
    let (other, _) = other.split_once('.').unwrap();
    assert_eq!(code(&format!("{other}.{signature}")), "pass-forged");
    assert_eq!(code("nonsense"), "pass-malformed");
    assert_eq!(code(&format!("{text}AA")), "pass-malformed");
    assert_eq!(code(&"x".repeat(PASS_LEN_MAX + 1)), "pass-too-long");
    assert_eq!(code(&key(1).sign_pass(&PassClaims { v: 2, ..claims() })), "pass-version");
    let for_ever = PassClaims { expires_ms: NOW_MS + 30 * VALID_MS, ..claims() };
    assert_eq!(code(&key(1).sign_pass(&for_ever)), "pass-out-of-bounds");
}

#[test]
fn no_ticket_is_a_pass_and_no_pass_a_ticket() {
    let node = MediaNode { name: "nord".parse().unwrap(), kind: NodeKind::Box, url: "http://localhost".into() };
    let ticket = Claims {
        v: VERSION,
        id: "r-1".into(),
        school: school("nord"),
        room: "math".parse().unwrap(),
        account: "eva".parse().unwrap(),
        name: "Eva".into(),
        role: MediaRole::Participant,
        audio_slots: 3,
        video_slots: 9,
        primary: node.clone(),
        standby: None,
        expires_at_ms: NOW_MS + 1,
    };
    assert_eq!(code(&key(1).sign(&ticket)), "pass-forged");
    let pass = key(1).sign_pass(&claims());
    assert_eq!(keys().verify(&pass, NOW_MS, &node.name).unwrap_err().code(), "ticket-forged");
}

#[test]
fn a_school_has_one_key_or_a_list_of_them_in_a_configuration() {
    let (one, two) = (key(1).public(), key(2).public());
    let read = |json: String| serde_json::from_str::<TicketKeys>(&json);
    let keys = read(format!(r#"{{"nord":"{one}","sued":["{one}","{two}"]}}"#)).unwrap();
    assert_eq!(keys.get(&school("nord")), Some(&[one][..]));
    assert_eq!(keys.get(&school("sued")), Some(&[one, two][..]));
    assert_eq!(read(serde_json::to_string(&keys).unwrap()).unwrap(), keys);
    assert!(read(r#"{"nord":[]}"#.into()).is_err(), "a school without a key");
    let many = vec![one.to_string(); KEYS_MAX + 1];
    assert!(read(serde_json::to_string(&std::collections::BTreeMap::from([("nord", many)])).unwrap()).is_err());
}
