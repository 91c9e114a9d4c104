//! What a ticket lets through, and that every way of being wrong is refused by its own code.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use proptest::prelude::*;
use schulhof_placement::{PublicKey, TicketError, TicketKey, TicketKeys};
use schulhof_wire::{
    AccountId, ConferenceId, NodeName, SchoolId,
    ticket::{Claims, MediaNode, MediaRole, NodeKind, TICKET_LEN_MAX, VERSION},
};

const NOW_MS: u64 = 1_700_000_000_000;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn school(text: &str) -> SchoolId {
    SchoolId::new(text).unwrap()
}

fn node(text: &str, kind: NodeKind) -> MediaNode {
    MediaNode { name: name(text), kind, url: "http://localhost:8480".into() }
}

fn claims() -> Claims {
    Claims {
        v: VERSION,
        id: "r-1".into(),
        school: school("nord"),
        room: ConferenceId::new("math").unwrap(),
        account: AccountId::new("anna").unwrap(),
        name: "Anna".into(),
        role: MediaRole::Participant,
        audio_slots: 3,
        video_slots: 9,
        primary: node("nord", NodeKind::Box),
        standby: Some(node("relay-1", NodeKind::Relay)),
        expires_at_ms: NOW_MS + 1,
    }
}

fn key(n: u8) -> TicketKey {
    TicketKey::generate(&[n; 32])
}

fn keys() -> TicketKeys {
    [(school("nord"), key(1).public()), (school("sued"), key(2).public())].into_iter().collect()
}

/// Signed as it should be, whatever stands in it.
fn sign_json(key: &TicketKey, json: &serde_json::Value) -> String {
    // `TicketKey` signs `Claims` only; other JSON is signed by the same algorithm from the same key.
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&key.to_pkcs8()).unwrap();
    let signed = BASE64URL.encode(serde_json::to_vec(json).unwrap());
    let signature = BASE64URL.encode(pair.sign(signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

fn code(text: &str) -> &'static str {
    keys().verify(text, NOW_MS, &name("nord")).unwrap_err().code()
}

#[test]
fn a_ticket_is_honoured_at_its_primary_and_its_standby() {
    let text = key(1).sign(&claims());
    assert_eq!(keys().verify(&text, NOW_MS, &name("nord")), Ok(claims()));
    assert_eq!(keys().verify(&text, NOW_MS, &name("relay-1")), Ok(claims()));
}

#[test]
fn a_ticket_is_refused_at_any_other_node() {
    let text = key(1).sign(&claims());
    let refused = keys().verify(&text, NOW_MS, &name("sued"));
    assert_eq!(refused, Err(TicketError::WrongNode(name("sued"))));
    assert_eq!(refused.unwrap_err().code(), "ticket-other-node");
}

#[test]
fn a_ticket_ends_at_its_time_to_the_millisecond() {
    let text = key(1).sign(&claims());
    assert!(keys().verify(&text, NOW_MS, &name("nord")).is_ok());
    assert_eq!(keys().verify(&text, NOW_MS + 1, &name("nord")), Err(TicketError::Expired(0)));
    assert_eq!(keys().verify(&text, NOW_MS + 60_001, &name("nord")), Err(TicketError::Expired(60_000)));
}

#[test]
fn one_school_cannot_sign_for_another() {
    assert_eq!(code(&key(2).sign(&claims())), "ticket-forged");
}

#[test]
fn an_unknown_school_is_told_so() {
    let foreign = Claims { school: school("west"), ..claims() };
    assert_eq!(code(&key(3).sign(&foreign)), "ticket-unknown-school");
}

#[test]
fn claims_cannot_be_exchanged_under_a_signature() {
    let honest = key(1).sign(&claims());
    let (_, signature) = honest.split_once('.').unwrap();
    let raised = Claims { role: MediaRole::Moderator, ..claims() };
    let forged = format!("{}.{signature}", BASE64URL.encode(serde_json::to_vec(&raised).unwrap()));
    assert_eq!(code(&forged), "ticket-forged");
}

#[test]
fn a_ticket_of_a_later_version_is_told_apart_from_nonsense() {
    let mut later = serde_json::to_value(claims()).unwrap();
    later["v"] = 2.into();
    later["new_field"] = true.into();
    assert_eq!(code(&sign_json(&key(1), &later)), "ticket-version");
}

#[test]
fn unknown_fields_are_refused_even_when_signed() {
    let mut more = serde_json::to_value(claims()).unwrap();
    more["new_field"] = true.into();
    assert_eq!(code(&sign_json(&key(1), &more)), "ticket-malformed");
}

#[test]
fn an_oversized_ticket_is_refused_before_it_is_decoded() {
    assert_eq!(code(&"x".repeat(TICKET_LEN_MAX + 1)), "ticket-too-long");
    assert_eq!(code(&"x".repeat(TICKET_LEN_MAX)), "ticket-malformed");
}

#[test]
fn a_box_cannot_promise_more_than_a_node_gives() {
    for greedy in [
        Claims { audio_slots: 4, ..claims() },
        Claims { video_slots: 10, ..claims() },
        Claims { name: "n".repeat(257), ..claims() },
        Claims { id: String::new(), ..claims() },
        Claims { id: "i".repeat(65), ..claims() },
    ] {
        assert_eq!(code(&key(1).sign(&greedy)), "ticket-out-of-bounds");
    }
}

#[test]
fn keys_survive_their_text_and_their_file() {
    let read = TicketKey::from_pkcs8(&key(7).to_pkcs8()).unwrap();
    assert_eq!(read.public(), key(7).public());
    assert_eq!(key(7).public().to_string().parse::<PublicKey>(), Ok(key(7).public()));
    assert!("AAAA".parse::<PublicKey>().is_err());
    assert!(TicketKey::from_pkcs8(b"nonsense").is_err());
    let json = serde_json::to_string(&keys()).unwrap();
    assert_eq!(serde_json::from_str::<TicketKeys>(&json).unwrap(), keys());
}

proptest! {
    #[test]
    fn no_changed_byte_goes_unnoticed(at in 0usize..600, byte in 0x21u8..0x7f) {
        let mut text = key(1).sign(&claims()).into_bytes();
        let at = at % text.len();
        prop_assume!(text[at] != byte);
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        prop_assert!(keys().verify(&text, NOW_MS, &name("nord")).is_err());
    }

    #[test]
    fn no_text_makes_the_check_panic(text in "\\PC{0,300}") {
        prop_assert!(keys().verify(&text, NOW_MS, &name("nord")).is_err());
    }
}
