//! Identities of all nodes by one CA, and the boxes' ticket keys. What is there already stays as it is, right or wrong:
//! the node itself judges it.

use super::layout::{CA, CORES, GATEWAY, Layout, OPERATOR, OPERATOR_NAME, RELAY, SCHOOLS};
use anyhow::Context as _;
use schulhof_net::identity::{CERTIFICATE_FILE, Ca, KEY_FILE, Role};
use schulhof_placement::{TicketKey, TicketKeys};
use schulhof_wire::SchoolId;
use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

/// The private ticket key of a box or gateway, beside its certificate.
pub const TICKET_KEY_FILE: &str = "ticket.pk8";

/// Public ticket keys.
pub struct Keys {
    /// Who signs passes: each school's box.
    pub boxes: TicketKeys,
    /// Who signs tickets: the box, and the gateway for all schools.
    pub tickets: TicketKeys,
}

/// Makes what is missing; gives the public ticket keys.
pub fn prepare(layout: &Layout) -> anyhow::Result<Keys> {
    let ca_dir = layout.node(CA);
    let ca = if ca_dir.join(KEY_FILE).exists() {
        Ca::load(&ca_dir)?
    } else {
        let ca = Ca::generate()?;
        ca.save(&ca_dir)?;
        ca
    };
    for name in CORES {
        issue(&ca, Role::Core, name, &layout.identity(name))?;
    }
    issue(&ca, Role::Relay, RELAY, &layout.identity(RELAY))?;
    issue(&ca, Role::Operator, OPERATOR_NAME, &layout.identity(OPERATOR))?;
    issue(&ca, Role::Gateway, GATEWAY, &layout.identity(GATEWAY))?;
    let of_gateway = ticket_key(&layout.identity(GATEWAY))?.public();
    let mut boxes = TicketKeys::default();
    let mut tickets = TicketKeys::default();
    for school in &SCHOOLS {
        let dir = layout.identity(school.id);
        issue(&ca, Role::Box, school.id, &dir)?;
        let (id, key) = (SchoolId::new(school.id)?, ticket_key(&dir)?.public());
        boxes.insert(id.clone(), key);
        tickets.insert(id.clone(), key);
        tickets.insert(id, of_gateway);
    }
    Ok(Keys { boxes, tickets })
}

fn issue(ca: &Ca, role: Role, name: &str, dir: &Path) -> anyhow::Result<()> {
    if !dir.join(CERTIFICATE_FILE).exists() {
        ca.issue(role, name)?.save(dir)?;
    }
    Ok(())
}

fn ticket_key(dir: &Path) -> anyhow::Result<TicketKey> {
    let path = dir.join(TICKET_KEY_FILE);
    let context = || path.display().to_string();
    if path.exists() {
        return TicketKey::from_pkcs8(&fs::read(&path).with_context(context)?).with_context(context);
    }
    let key = TicketKey::generate(&rand::random());
    let beside = path.with_extension("new");
    let write = || {
        let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&key.to_pkcs8())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().with_context(context)?;
    Ok(key)
}
