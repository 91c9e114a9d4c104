//! What the state says to good and bad tokens.

use super::{
    CaRecord, EnrolCommand, EnrolOutcome, apply, record,
    state::{CA_EXISTS, UNKNOWN, WRONG_SCHOOL},
};
use schulhof_net::{
    enrol::{TokenId, words},
    identity::KeyHash,
};
use schulhof_school::MemoryKv;
use schulhof_wire::{
    SchoolId,
    enrol::{CERTIFICATE_TTL_MS, TOKEN_TTL_MS, code},
};

const NOW: u64 = 1_800_000_000_000;

struct World(MemoryKv);

fn token(n: u8) -> TokenId {
    TokenId([n; 32])
}

fn key(n: u8) -> KeyHash {
    KeyHash([n; 32])
}

fn ca() -> CaRecord {
    CaRecord { certificate: b"ca".to_vec(), sealed: b"sealed".to_vec() }
}

impl World {
    fn new() -> Self {
        let mut world = Self(MemoryKv::default());
        assert_eq!(world.apply(EnrolCommand::InstallCa(ca())), EnrolOutcome::Done);
        world
    }

    #[allow(clippy::needless_pass_by_value, reason = "written out at each call")]
    fn apply(&mut self, command: EnrolCommand) -> EnrolOutcome {
        apply(&mut self.0, &command)
    }

    fn invite(&mut self, n: u8, school: &str) {
        let school = SchoolId::new(school).unwrap();
        let invite = EnrolCommand::Invite {
            token: token(n),
            school,
            by: "up".into(),
            at_ms: NOW,
            expires_ms: NOW + TOKEN_TTL_MS,
        };
        assert_eq!(self.apply(invite), EnrolOutcome::Done);
    }

    /// The certificate says when it was signed.
    fn join(&mut self, n: u8, by: u8, after_ms: u64) -> EnrolOutcome {
        let at_ms = NOW + after_ms;
        self.apply(EnrolCommand::Join {
            token: token(n),
            key: key(by),
            software: "test".into(),
            ticket_key: Some("a-ticket_key".into()),
            certificate: at_ms.to_be_bytes().to_vec(),
            at_ms,
            expires_ms: at_ms + CERTIFICATE_TTL_MS,
        })
    }

    fn renew(&mut self, by: u8, after_ms: u64) -> EnrolOutcome {
        let at_ms = NOW + after_ms;
        self.apply(EnrolCommand::Renew {
            key: key(by),
            software: "newer".into(),
            certificate: at_ms.to_be_bytes().to_vec(),
            at_ms,
            expires_ms: at_ms + CERTIFICATE_TTL_MS,
        })
    }

    fn revoke(&mut self, what: &str) -> EnrolOutcome {
        self.apply(EnrolCommand::Revoke { what: what.into(), at_ms: NOW + 1 })
    }
}

#[track_caller]
fn joined(outcome: EnrolOutcome) -> (record::BoxRecord, Vec<u8>) {
    match outcome {
        EnrolOutcome::Box { record, certificate } => (*record, certificate),
        other => panic!("not enrolled: {other:?}"),
    }
}

#[track_caller]
fn refused(outcome: &EnrolOutcome, expected: &str) {
    assert!(matches!(outcome, EnrolOutcome::Refused { code, .. } if code == expected), "{expected}: {outcome:?}");
}

#[test]
fn a_token_makes_one_box_of_its_school() {
    let mut world = World::new();
    world.invite(1, "nord");
    let (record, certificate) = joined(world.join(1, 7, 5));
    assert_eq!((record.name.as_str(), record.school.as_str()), ("nord-1", "nord"));
    assert_eq!(record.words, words(token(1), key(7), ca().fingerprint()));
    assert_eq!((record.joined_ms, record.expires_ms), (NOW + 5, NOW + 5 + CERTIFICATE_TTL_MS));
    assert_eq!(certificate, (NOW + 5).to_be_bytes());
    assert_eq!(record.ticket_key.as_deref(), Some("a-ticket_key"));
    assert_eq!(record::invitation(&world.0, token(1)).unwrap().used, Some(record.name.clone()));
    assert_eq!(record::box_of(&world.0, key(7)), Some(record.clone()));
    assert_eq!(record::boxes(&world.0), [record]);
}

#[test]
fn an_invitation_may_be_asked_for_twice_but_not_for_two_schools() {
    let mut world = World::new();
    world.invite(1, "nord");
    let before = world.0.clone();
    world.invite(1, "nord");
    assert_eq!(world.0, before);
    let school = SchoolId::new("sued").unwrap();
    let other = EnrolCommand::Invite { token: token(1), school, by: "up".into(), at_ms: NOW, expires_ms: NOW };
    refused(&world.apply(other), code::USED);
}

#[test]
fn a_token_that_nobody_gave_is_unknown() {
    refused(&World::new().join(1, 7, 5), code::UNKNOWN_TOKEN);
}

#[test]
fn a_second_use_by_another_key_is_refused_and_a_lost_answer_is_said_again() {
    let mut world = World::new();
    world.invite(1, "nord");
    let first = world.join(1, 7, 5);
    refused(&world.join(1, 8, 6), code::USED);
    let before = world.0.clone();
    assert_eq!(world.join(1, 7, TOKEN_TTL_MS * 2), first, "the same certificate, also after the token's end");
    assert_eq!(world.0, before);
    refused(&world.join(1, 8, TOKEN_TTL_MS * 2), code::USED);
}

#[test]
fn an_expired_token_is_refused_from_its_last_millisecond_on() {
    let mut world = World::new();
    world.invite(1, "nord");
    refused(&world.join(1, 7, TOKEN_TTL_MS), code::EXPIRED);
    joined(world.join(1, 7, TOKEN_TTL_MS - 1));
}

#[test]
fn a_revoked_token_or_box_is_refused() {
    let mut world = World::new();
    world.invite(1, "nord");
    world.invite(2, "nord");
    world.invite(3, "nord");
    assert_eq!(world.revoke(&token(1).short()), EnrolOutcome::Revoked { record: None });
    refused(&world.join(1, 7, 5), code::REVOKED);
    joined(world.join(2, 7, 5));
    refused(&world.revoke(&token(2).short()), code::USED);
    let EnrolOutcome::Revoked { record: Some(record) } = world.revoke("nord-1") else { panic!("not revoked") };
    assert_eq!(record.revoked_ms, Some(NOW + 1));
    refused(&world.join(2, 7, 6), code::REVOKED);
    refused(&world.join(3, 7, 6), code::REVOKED);
    refused(&world.renew(7, 6), code::REVOKED);
    refused(&world.revoke("nord-9"), UNKNOWN);
    let (second, _) = joined(world.join(3, 8, 7));
    assert_eq!(second.name.as_str(), "nord-2", "a name is never given twice");
}

#[test]
fn a_box_of_one_school_cannot_use_an_invitation_for_another() {
    let mut world = World::new();
    world.invite(1, "nord");
    world.invite(2, "sued");
    world.invite(3, "nord");
    joined(world.join(1, 7, 5));
    refused(&world.join(2, 7, 6), WRONG_SCHOOL);
    let (again, certificate) = joined(world.join(3, 7, 9));
    assert_eq!((again.name.as_str(), again.token), ("nord-1", token(3)), "set up anew with the key it had");
    assert_eq!(certificate, (NOW + 9).to_be_bytes());
}

#[test]
fn a_renewal_keeps_the_box_and_moves_its_end() {
    let mut world = World::new();
    world.invite(1, "nord");
    let (first, _) = joined(world.join(1, 7, 5));
    refused(&world.renew(8, 10), code::UNKNOWN_BOX);
    let later = CERTIFICATE_TTL_MS * 2 / 3;
    let (renewed, certificate) = joined(world.renew(7, later));
    assert_eq!(renewed.expires_ms, NOW + later + CERTIFICATE_TTL_MS);
    assert_eq!((renewed.name, renewed.joined_ms, renewed.words), (first.name, first.joined_ms, first.words));
    assert_eq!(certificate, (NOW + later).to_be_bytes());
    let before = world.0.clone();
    assert_eq!(joined(world.renew(7, later + 1_000)).1, certificate, "asked again for want of an answer");
    assert_eq!(world.0, before);
    assert_ne!(joined(world.renew(7, later + 61_000)).1, certificate);
}

#[test]
fn there_is_one_ca() {
    let mut world = World::new();
    let sealed_anew = CaRecord { sealed: b"anew".to_vec(), ..ca() };
    assert_eq!(world.apply(EnrolCommand::InstallCa(sealed_anew.clone())), EnrolOutcome::Done);
    assert_eq!(record::ca(&world.0), Some(sealed_anew));
    let other = CaRecord { certificate: b"other".to_vec(), ..ca() };
    refused(&world.apply(EnrolCommand::InstallCa(other)), CA_EXISTS);
    let mut empty = World(MemoryKv::default());
    let school = SchoolId::new("nord").unwrap();
    let invite = EnrolCommand::Invite { token: token(1), school, by: "up".into(), at_ms: 0, expires_ms: 1 };
    refused(&empty.apply(invite), code::NO_CA);
}

#[test]
fn what_nobody_can_use_any_more_is_forgotten_but_no_revocation_before_its_certificate_ends() {
    let mut world = World::new();
    world.invite(1, "nord");
    world.invite(2, "nord");
    joined(world.join(1, 7, 5));
    world.revoke("nord-1");
    let at = |days: u64| NOW + days * 24 * 3_600_000;
    let mut invite_at = |n: u8, at_ms: u64| {
        let school = SchoolId::new("nord").unwrap();
        world.apply(EnrolCommand::Invite { token: token(n), school, by: "up".into(), at_ms, expires_ms: at_ms + 1 });
        (record::invitations(&world.0).len(), record::boxes(&world.0).len())
    };
    assert_eq!(invite_at(3, at(31)), (1, 1), "old invitations go, the revoked box stays");
    assert_eq!(invite_at(4, at(121)), (1, 0));
    refused(&world.renew(7, 5), code::UNKNOWN_BOX);
    world.invite(5, "nord");
    assert_eq!(joined(world.join(5, 8, 6)).0.name.as_str(), "nord-2");
}

#[test]
fn what_a_box_tells_of_itself_is_kept_short() {
    let mut world = World::new();
    world.invite(1, "nord");
    let outcome = world.apply(EnrolCommand::Join {
        token: token(1),
        key: key(7),
        software: "\u{1b}[2J\u{1F3EB}".repeat(10_000),
        ticket_key: Some("x".repeat(10_000)),
        certificate: Vec::new(),
        at_ms: NOW,
        expires_ms: NOW,
    });
    let (record, _) = joined(outcome);
    assert!(record.software.len() <= 64 && !record.software.contains('\u{1b}'), "{:?}", record.software);
    assert_eq!(record.ticket_key, None);
}

#[test]
fn a_school_whose_boxes_could_not_be_named_is_refused() {
    let mut world = World::new();
    let school = SchoolId::new("s".repeat(60)).unwrap();
    let invite = EnrolCommand::Invite { token: token(1), school, by: "up".into(), at_ms: 0, expires_ms: 1 };
    refused(&world.apply(invite), super::state::NAME_TOO_LONG);
}

#[test]
fn records_come_back_into_a_core_without_a_ca_and_whoever_they_name_is_known_again() {
    let mut old = World::new();
    old.invite(1, "nord");
    old.invite(2, "nord");
    assert!(matches!(old.join(1, 9, 0), EnrolOutcome::Box { .. }));
    let records = record::all(&old.0);
    assert!(record::ca(&old.0).is_some() && records.last().unwrap().0 == b"e/ca", "the CA is the last");

    let mut new = World(MemoryKv::default());
    let restore = |new: &mut World, records: &[(Vec<u8>, Vec<u8>)]| {
        new.apply(EnrolCommand::Restore { records: records.to_vec() })
    };
    let code = |outcome| match outcome {
        EnrolOutcome::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    };
    for (key, value) in [("s/nord", "x"), ("e/b/nord-1", "x"), ("e/z/1", "x"), ("e/c/", "")] {
        let record = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(code(restore(&mut new, &[record])), "damaged", "{key}");
    }
    assert!(record::all(&new.0).is_empty(), "nothing of what was refused is kept");
    // Killed in between, and begun anew.
    let (first, rest) = records.split_at(3);
    for some in [first, first, rest, rest] {
        assert_eq!(restore(&mut new, some), EnrolOutcome::Done);
    }
    assert_eq!(record::all(&new.0), records);
    assert!(record::box_of(&new.0, key(9)).is_some());
    let changed = (records[0].0.clone(), records[1].1.clone());
    assert_eq!(code(restore(&mut new, &[changed])), CA_EXISTS, "with a CA it is in use");
    new.invite(3, "nord");
    let EnrolOutcome::Box { record, .. } = new.join(3, 8, 0) else { panic!("it does not join") };
    assert_eq!(record.name.as_str(), "nord-2", "names go on where they were");
}
