//! `schulhof box`: inviting a box into the core, and turning one away (PROTOCOL.md section 7).
//!
//! The secret of an invitation is made here and told to nobody but whoever reads the token: the core gets its hash.

use super::{Client, run};
use crate::{
    cli::{BoxCommand, BoxInviteArgs, BoxJoinArgs, BoxRevokeArgs, BoxRunArgs, CaArgs, OperateArgs, Output},
    node,
};
use anyhow::{Context as _, bail};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use schulhof_edge::enrol::{first, setup};
use schulhof_net::{
    enrol::{Secret, Token},
    identity::{Ca, Fingerprint},
};
use schulhof_wire::admin::{Answer, Ask, BoxState, Invitation, Private};
use serde::Serialize;
use std::{
    fmt::Write as _,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

const HOUR_MS: u64 = 3_600_000;
/// Addresses in a token: more make it longer, not better.
const ADDRESSES: usize = 3;

pub fn command(command: BoxCommand) -> anyhow::Result<ExitCode> {
    match command {
        BoxCommand::Invite(args) => invite(args),
        BoxCommand::Join(args) => join(&args),
        BoxCommand::List(args) => list(&args),
        BoxCommand::Revoke(BoxRevokeArgs { what, operate }) => {
            run(&operate, async |client| revoke(client, what).await, Revoked::to_text)
        }
        BoxCommand::Ca(CaArgs { ca, operate }) => {
            run(&operate, async |client| install(client, &ca).await, |installed| format!("CA {}", installed.ca))
        }
        BoxCommand::Run(args) => run_box(args),
    }
}

/// What an invitation prints.
#[derive(Debug, Serialize)]
pub struct Invited {
    pub token: String,
    /// By which `list` and `revoke` name it.
    pub invitation: String,
    pub school: String,
    pub expires_ms: u64,
    /// SHA-256 of the CA's certificate.
    pub ca: String,
}

impl Invited {
    fn to_text(&self) -> String {
        let mut out = format!("{}\n\n", self.token);
        // Capitals need fewer modules, and the reader does not mind.
        let code = QrCode::with_error_correction_level(self.token.to_uppercase(), EcLevel::L);
        if let Ok(code) = code {
            // Dark on light, as phones like it, on a dark terminal.
            let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            let _ = writeln!(out, "{image}\n");
        }
        let hours = self.expires_ms.saturating_sub(now_ms()).div_ceil(HOUR_MS);
        let _ = writeln!(out, "for one box of {}, for {hours} h; invitation {}", self.school, self.invitation);
        let _ = write!(out, "then compare the four words that the box shows with `schulhof box list`");
        out
    }
}

fn invite(BoxInviteArgs { school, hours, address, operate }: BoxInviteArgs) -> anyhow::Result<ExitCode> {
    let ask = async |client: &mut Client| invited(client, school, hours.map(|hours| hours * HOUR_MS), address).await;
    run(&operate, ask, Invited::to_text)
}

/// Makes an invitation. `addresses`: where boxes reach the core, if that is not where its nodes reach each other.
pub async fn invited(
    client: &mut Client,
    school: schulhof_wire::SchoolId,
    ttl_ms: Option<u64>,
    mut addresses: Vec<String>,
) -> anyhow::Result<Invited> {
    let secret = Secret::generate();
    let id = secret.id();
    let name = school.to_string();
    match client.ask(Ask::BoxInvite { school, token: id.0, ttl_ms }).await? {
        Answer::BoxInvited { ca, expires_ms, core } => {
            if addresses.is_empty() {
                addresses = core.into_iter().take(ADDRESSES).map(|node| node.address).collect();
            }
            let ca = Fingerprint(ca);
            let token = Token::new(addresses, ca, secret).context("the addresses of the core nodes")?;
            let (token, invitation) = (token.to_string(), id.short());
            Ok(Invited { token, invitation, school: name, expires_ms, ca: ca.to_string() })
        }
        other => bail!("the core answered {other:?}"),
    }
}

fn join(args: &BoxJoinArgs) -> anyhow::Result<ExitCode> {
    let token: Token = args.token.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let joined = runtime.block_on(setup::join(&token, &args.dir))?;
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&joined)?),
        Output::Table => {
            say!("{} is a box of {} now; its identity is in {}", joined.name, joined.school, args.dir.display());
            say!("words: {}", joined.words);
            say!("if `schulhof box list` shows other words for {}, somebody is between: revoke it", joined.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_box(args: BoxRunArgs) -> anyhow::Result<ExitCode> {
    let BoxRunArgs { dir, http, media_port, admin, media_admin, json_logs } = args;
    let dir = std::path::absolute(&dir).with_context(|| dir.display().to_string())?;
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let listen = first::Listen { http, media_port: Some(media_port).filter(|port| *port != 0), admin, media_admin };
    node::run_to_end(json_logs, first::run(dir, listen))
}

/// A box, as `-o json` shows it.
#[derive(Debug, Serialize)]
struct BoxLine {
    name: String,
    school: String,
    /// `active`, `expired`, `revoked`.
    state: &'static str,
    words: String,
    key: String,
    joined_ms: u64,
    renewed_ms: u64,
    expires_ms: u64,
    revoked_ms: Option<u64>,
    software: String,
    ticket_key: Option<String>,
}

/// An invitation, as `-o json` shows it.
#[derive(Debug, Serialize)]
struct InvitationLine {
    id: String,
    school: String,
    by: String,
    /// `open`, `used`, `expired`, `revoked`.
    state: &'static str,
    expires_ms: u64,
    used: Option<String>,
}

#[derive(Debug, Serialize)]
struct List {
    boxes: Vec<BoxLine>,
    invitations: Vec<InvitationLine>,
}

impl BoxLine {
    fn of(state: BoxState, now_ms: u64) -> Self {
        let word = match state.revoked_ms {
            Some(_) => "revoked",
            None if state.expires_ms <= now_ms => "expired",
            None => "active",
        };
        Self {
            name: state.name.to_string(),
            school: state.school.to_string(),
            state: word,
            words: state.words,
            key: state.key,
            joined_ms: state.joined_ms,
            renewed_ms: state.renewed_ms,
            expires_ms: state.expires_ms,
            revoked_ms: state.revoked_ms,
            software: state.software,
            ticket_key: state.ticket_key,
        }
    }
}

impl InvitationLine {
    fn of(invitation: Invitation, now_ms: u64) -> Self {
        let state = match &invitation {
            Invitation { used: Some(_), .. } => "used",
            Invitation { revoked_ms: Some(_), .. } => "revoked",
            Invitation { expires_ms, .. } if *expires_ms <= now_ms => "expired",
            Invitation { .. } => "open",
        };
        Self {
            id: invitation.id,
            school: invitation.school.to_string(),
            by: invitation.by,
            state,
            expires_ms: invitation.expires_ms,
            used: invitation.used.map(|name| name.to_string()),
        }
    }
}

fn list(args: &OperateArgs) -> anyhow::Result<ExitCode> {
    run(
        args,
        async |client| match client.ask(Ask::Boxes).await? {
            Answer::Boxes { boxes, invitations } => {
                let now_ms = now_ms();
                Ok(List {
                    boxes: boxes.into_iter().map(|state| BoxLine::of(state, now_ms)).collect(),
                    invitations: invitations.into_iter().map(|one| InvitationLine::of(one, now_ms)).collect(),
                })
            }
            other => bail!("the core answered {other:?}"),
        },
        List::to_text,
    )
}

impl List {
    fn to_text(&self) -> String {
        let now_ms = now_ms();
        let mut out = format!("{:<16} {:<16} {:<8} {:>5} WORDS\n", "BOX", "SCHOOL", "STATE", "DAYS");
        for line in &self.boxes {
            let days = line.expires_ms.saturating_sub(now_ms) / (24 * HOUR_MS);
            // Writing to a string does not fail.
            let _ = writeln!(out, "{:<16} {:<16} {:<8} {days:>5} {}", line.name, line.school, line.state, line.words);
        }
        let waiting: Vec<_> = self.invitations.iter().filter(|line| line.state == "open").collect();
        if !waiting.is_empty() {
            let _ = writeln!(out, "\n{:<16} {:<16} {:<8} {:>5}", "INVITATION", "SCHOOL", "BY", "HOURS");
            for line in waiting {
                let hours = line.expires_ms.saturating_sub(now_ms).div_ceil(HOUR_MS);
                let _ = writeln!(out, "{:<16} {:<16} {:<8} {hours:>5}", line.id, line.school, line.by);
            }
        }
        out
    }
}

/// What was revoked.
#[derive(Debug, Serialize)]
struct Revoked {
    what: String,
    /// Of the box; none: it was an invitation.
    school: Option<String>,
}

impl Revoked {
    fn to_text(&self) -> String {
        match &self.school {
            Some(school) => format!("{} of {school} is revoked: its connections are cut", self.what),
            None => format!("invitation {} is revoked", self.what),
        }
    }
}

async fn revoke(client: &mut Client, what: String) -> anyhow::Result<Revoked> {
    match client.ask(Ask::BoxRevoke { what: what.clone() }).await? {
        Answer::BoxRevoked(state) => Ok(Revoked { what, school: state.map(|state| state.school.to_string()) }),
        other => bail!("the core answered {other:?}"),
    }
}

/// Which CA signs for boxes now.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// SHA-256 of its certificate.
    ca: String,
}

/// Hands the CA over to the core, which seals its key. Bears being asked twice.
pub async fn install(client: &mut Client, dir: &std::path::Path) -> anyhow::Result<Installed> {
    let ca = Ca::load(dir)?;
    let ask = Ask::CaInstall { certificate: ca.certificate().to_vec(), key: Private(ca.key_der()) };
    match client.ask(ask).await? {
        Answer::Done => Ok(Installed { ca: ca.fingerprint().to_string() }),
        other => bail!("the core answered {other:?}"),
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
