//! Who may become a box, as the meta group decides it: commands, and what becomes of them.
//!
//! Pure: sees the records and the command; time and certificates come in the command, from the node that leads. The same
//! commands give the same records on all replicas.

use super::record::{
    self, BoxRecord, CaRecord, Invitation, box_of, certificate, invitation, one_box, put_box, put_ca, put_invitation,
    remove_box, remove_invitation,
};
use schulhof_net::{
    enrol::{TokenId, words},
    identity::KeyHash,
};
use schulhof_school::KvMut;
use schulhof_wire::{
    NodeName, SchoolId,
    enrol::{SOFTWARE_LEN_MAX, TICKET_KEY_LEN_MAX, code},
};
use serde::{Deserialize, Serialize};

/// Invitations that are kept at once: the largest deployment sets up all its boxes within days.
pub const INVITATIONS_MAX: usize = 10_000;
/// Boxes that are kept, revoked ones included.
pub const BOXES_MAX: usize = 20_000;
/// So long after its end an invitation still knows why it is refused.
const INVITATION_KEPT_MS: u64 = 7 * DAY_MS;
/// So long after its last certificate a box is forgotten: nothing that it holds is valid any more.
const BOX_KEPT_MS: u64 = 90 * DAY_MS;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Who renews again within this time has not heard the answer, and gets it once more.
const RENEWED_AGAIN_MS: u64 = 60_000;
/// Room for a number behind it, in a name of at most 64 bytes.
const SCHOOL_LEN_MAX: usize = 53;
const BY_LEN_MAX: usize = 64;

/// Stored by number: add variants at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolCommand {
    /// Once. Again with the same certificate: its key is sealed anew.
    InstallCa(CaRecord),
    Invite {
        token: TokenId,
        school: SchoolId,
        by: String,
        at_ms: u64,
        expires_ms: u64,
    },
    /// `certificate` was signed for the key by the node that proposes this.
    Join {
        token: TokenId,
        key: KeyHash,
        software: String,
        ticket_key: Option<String>,
        certificate: Vec<u8>,
        at_ms: u64,
        expires_ms: u64,
    },
    Renew {
        key: KeyHash,
        software: String,
        certificate: Vec<u8>,
        at_ms: u64,
        expires_ms: u64,
    },
    /// A box by its name, or an invitation by its short id.
    Revoke {
        what: String,
        at_ms: u64,
    },
    /// Records of another life of this core, out of a backup. Taken as long as no CA is installed; the CA comes last.
    Restore {
        records: Vec<(Vec<u8>, Vec<u8>)>,
    },
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolOutcome {
    Done,
    Box {
        record: Box<BoxRecord>,
        /// The one that counts, which may be of an earlier try.
        certificate: Vec<u8>,
    },
    Revoked {
        /// The box, unless it was an invitation.
        record: Option<Box<BoxRecord>>,
    },
    /// `code` is stable.
    Refused {
        code: String,
        detail: String,
    },
}

/// Whom to revoke is unknown.
pub const UNKNOWN: &str = "unknown";
/// Another CA is installed already.
pub const CA_EXISTS: &str = "ca-exists";
/// What was to be restored is no record of enrolment.
pub const DAMAGED: &str = "damaged";
pub const TOO_MANY: &str = "too-many";
pub const NAME_TOO_LONG: &str = "name-too-long";
/// The invitation is for another school than the one that the key's box serves.
pub const WRONG_SCHOOL: &str = "wrong-school";

fn refused(code: &str, detail: impl Into<String>) -> EnrolOutcome {
    EnrolOutcome::Refused { code: code.into(), detail: detail.into() }
}

/// Takes one command.
pub fn apply(kv: &mut dyn KvMut, command: &EnrolCommand) -> EnrolOutcome {
    match command {
        EnrolCommand::InstallCa(ca) => install(kv, ca),
        EnrolCommand::Invite { token, school, by, at_ms, expires_ms } => {
            if by.len() > BY_LEN_MAX || school.as_str().len() > SCHOOL_LEN_MAX {
                return refused(NAME_TOO_LONG, format!("a school with boxes has at most {SCHOOL_LEN_MAX} letters"));
            }
            let (invited_ms, expires_ms) = (*at_ms, *expires_ms);
            let (school, by) = (school.clone(), by.clone());
            invite(kv, *token, &Invitation { school, by, invited_ms, expires_ms, used: None, revoked_ms: None })
        }
        EnrolCommand::Join { token, key, software, ticket_key, certificate, at_ms, expires_ms } => {
            let issued = Issued { software, certificate, at_ms: *at_ms, expires_ms: *expires_ms };
            join(kv, *token, *key, ticket_key.as_deref(), &issued).unwrap_or_else(|refusal| refusal)
        }
        EnrolCommand::Renew { key, software, certificate, at_ms, expires_ms } => {
            let issued = Issued { software, certificate, at_ms: *at_ms, expires_ms: *expires_ms };
            renew(kv, *key, &issued).unwrap_or_else(|refusal| refusal)
        }
        EnrolCommand::Revoke { what, at_ms } => revoke(kv, what, *at_ms),
        EnrolCommand::Restore { records } => restore(kv, records),
    }
}

/// A certificate that waits to be given, if the state says so.
struct Issued<'a> {
    software: &'a str,
    certificate: &'a [u8],
    at_ms: u64,
    expires_ms: u64,
}

fn install(kv: &mut dyn KvMut, new: &CaRecord) -> EnrolOutcome {
    match record::ca(kv) {
        Some(known) if known.certificate != new.certificate => {
            refused(CA_EXISTS, format!("the CA here is {}, not {}", known.fingerprint(), new.fingerprint()))
        }
        _ => {
            put_ca(kv, new);
            EnrolOutcome::Done
        }
    }
}

fn restore(kv: &mut dyn KvMut, records: &[(Vec<u8>, Vec<u8>)]) -> EnrolOutcome {
    if let Some(known) = record::ca(kv) {
        // The answer to the first try was lost.
        let again = records.iter().all(|(key, value)| kv.get(key).as_ref() == Some(value));
        let refusal = || refused(CA_EXISTS, format!("the CA here is {}", known.fingerprint()));
        return if again { EnrolOutcome::Done } else { refusal() };
    }
    if let Some((key, _)) = records.iter().find(|(key, value)| !record::is_whole(key, value)) {
        return refused(DAMAGED, format!("no record of enrolment: {:?}", String::from_utf8_lossy(key)));
    }
    for (key, value) in records {
        kv.put(key, value);
    }
    EnrolOutcome::Done
}

fn invite(kv: &mut dyn KvMut, token: TokenId, new: &Invitation) -> EnrolOutcome {
    tidy(kv, new.invited_ms);
    if record::ca(kv).is_none() {
        return refused(code::NO_CA, "no CA is installed that could sign a box's certificate");
    }
    if record::invitations(kv).len() >= INVITATIONS_MAX || record::boxes(kv).len() >= BOXES_MAX {
        return refused(TOO_MANY, format!("at most {INVITATIONS_MAX} invitations and {BOXES_MAX} boxes are kept"));
    }
    // 128 random bits do not come twice: it is the same operator, who has not heard the answer.
    match invitation(kv, token) {
        Some(known) if known.school == new.school && known.used.is_none() => return EnrolOutcome::Done,
        Some(_) => return refused(code::USED, "there is an invitation with this secret"),
        None => {}
    }
    put_invitation(kv, token, new);
    EnrolOutcome::Done
}

/// Forgets what nobody can use any more.
fn tidy(kv: &mut dyn KvMut, now_ms: u64) {
    for (id, old) in record::invitations(kv) {
        if old.expires_ms.saturating_add(INVITATION_KEPT_MS) < now_ms {
            remove_invitation(kv, id);
        }
    }
    for old in record::boxes(kv) {
        if old.expires_ms.saturating_add(BOX_KEPT_MS) < now_ms {
            remove_box(kv, &old);
        }
    }
}

/// Whether a key may have a certificate with an invitation, and with which: asked by the node that leads before it signs,
/// and again when the command is applied. `known` is the box that has the key already, if one has.
pub fn check_join(
    invited: Option<Invitation>,
    known: Option<&BoxRecord>,
    at_ms: u64,
) -> Result<Invitation, EnrolOutcome> {
    let invited = invited.ok_or_else(|| refused(code::UNKNOWN_TOKEN, "no invitation has this secret"))?;
    if invited.revoked_ms.is_some() {
        return Err(refused(code::REVOKED, "the invitation was revoked"));
    }
    if known.is_some_and(|record| record.revoked_ms.is_some()) {
        return Err(refused(code::REVOKED, "the box with this key was revoked"));
    }
    match (&invited.used, known) {
        (Some(name), Some(record)) if *name == record.name => Ok(invited),
        (Some(name), _) => Err(refused(code::USED, format!("the invitation was used by {name}"))),
        (None, _) if at_ms >= invited.expires_ms => {
            Err(refused(code::EXPIRED, "the invitation has expired; ask for a new one"))
        }
        (None, Some(record)) if record.school != invited.school => Err(refused(
            WRONG_SCHOOL,
            format!("this key is of a box of {}, the invitation for {}", record.school, invited.school),
        )),
        (None, _) => Ok(invited),
    }
}

fn join(
    kv: &mut dyn KvMut,
    token: TokenId,
    key: KeyHash,
    ticket_key: Option<&str>,
    issued: &Issued<'_>,
) -> Result<EnrolOutcome, EnrolOutcome> {
    let known = box_of(kv, key);
    let mut invited = check_join(invitation(kv, token), known.as_ref(), issued.at_ms)?;
    let ca = record::ca(kv).ok_or_else(|| refused(code::NO_CA, "no CA is installed"))?;
    // The answer to the first try was lost.
    if let (Some(_), Some(record)) = (&invited.used, &known)
        && let Some(certificate) = certificate(kv, &record.name)
    {
        return Ok(EnrolOutcome::Box { record: Box::new(record.clone()), certificate });
    }
    let name = match &known {
        Some(record) => record.name.clone(),
        None => {
            let number = record::next_number(kv, &invited.school);
            NodeName::new(format!("{}-{number}", invited.school)).map_err(|e| refused(NAME_TOO_LONG, e.to_string()))?
        }
    };
    let record = BoxRecord {
        name: name.clone(),
        school: invited.school.clone(),
        key,
        token,
        words: words(token, key, ca.fingerprint()),
        joined_ms: known.map_or(issued.at_ms, |record| record.joined_ms),
        renewed_ms: issued.at_ms,
        expires_ms: issued.expires_ms,
        revoked_ms: None,
        software: shortened(issued.software),
        ticket_key: ticket_key.filter(|text| is_ticket_key(text)).map(str::to_owned),
    };
    put_box(kv, &record, Some(issued.certificate));
    invited.used = Some(name);
    put_invitation(kv, token, &invited);
    Ok(EnrolOutcome::Box { record: Box::new(record), certificate: issued.certificate.to_vec() })
}

/// Whether a box may have a new certificate; as [`check_join`].
pub fn check_renew(known: Option<BoxRecord>) -> Result<BoxRecord, EnrolOutcome> {
    match known {
        None => Err(refused(code::UNKNOWN_BOX, "no box has this key")),
        Some(record) if record.revoked_ms.is_some() => Err(refused(code::REVOKED, "the box was revoked")),
        Some(record) => Ok(record),
    }
}

fn renew(kv: &mut dyn KvMut, key: KeyHash, issued: &Issued<'_>) -> Result<EnrolOutcome, EnrolOutcome> {
    let mut record = check_renew(box_of(kv, key))?;
    if issued.at_ms < record.renewed_ms.saturating_add(RENEWED_AGAIN_MS)
        && let Some(certificate) = certificate(kv, &record.name)
    {
        return Ok(EnrolOutcome::Box { record: Box::new(record), certificate });
    }
    record.renewed_ms = issued.at_ms;
    record.expires_ms = issued.expires_ms;
    record.software = shortened(issued.software);
    put_box(kv, &record, Some(issued.certificate));
    Ok(EnrolOutcome::Box { record: Box::new(record), certificate: issued.certificate.to_vec() })
}

fn revoke(kv: &mut dyn KvMut, what: &str, at_ms: u64) -> EnrolOutcome {
    if let Some(mut record) = NodeName::new(what).ok().and_then(|name| one_box(kv, &name)) {
        record.revoked_ms = record.revoked_ms.or(Some(at_ms));
        put_box(kv, &record, None);
        return EnrolOutcome::Revoked { record: Some(Box::new(record)) };
    }
    let mut named = record::invitations(kv).into_iter().filter(|(id, _)| id.short() == what);
    match (named.next(), named.next()) {
        (Some((_, Invitation { used: Some(name), .. })), None) => {
            refused(code::USED, format!("the invitation was used: revoke {name} instead"))
        }
        (Some((id, mut invited)), None) => {
            invited.revoked_ms = invited.revoked_ms.or(Some(at_ms));
            put_invitation(kv, id, &invited);
            EnrolOutcome::Revoked { record: None }
        }
        _ => refused(UNKNOWN, format!("neither a box nor an invitation is called {what}")),
    }
}

/// Base64url, of a length that fits; whether it is a key, the media node tells.
fn is_ticket_key(text: &str) -> bool {
    text.len() <= TICKET_KEY_LEN_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn shortened(software: &str) -> String {
    software.chars().filter(|c| !c.is_control()).take(SOFTWARE_LEN_MAX / 4).collect()
}
