//! Identities of the cloud's nodes by one CA, the file under which the core keeps the CA's key, and the boxes' ticket keys.
//! The boxes' certificates come from the core (`boxes`). What is there already stays as it is, right or wrong: the node itself
//! judges it.

use super::layout::{CA, CORES, GATEWAY, Layout, OPERATOR, OPERATOR_NAME, RELAY, SCHOOLS};
use anyhow::Context as _;
use schulhof_edge::enrol::setup;
use schulhof_net::identity::{CERTIFICATE_FILE, Ca, KEY_FILE, Role, SEAL_FILE, SealKey};
use schulhof_placement::TicketKeys;
use schulhof_wire::SchoolId;
use std::{fs, path::Path};

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
    let seal = ca_dir.join(SEAL_FILE);
    if !seal.exists() {
        SealKey::create(&ca_dir)?;
    }
    for name in CORES {
        let dir = layout.identity(name);
        issue(&ca, Role::Core, name, &dir)?;
        let own = dir.join(SEAL_FILE);
        if !own.exists() {
            fs::copy(&seal, &own).with_context(|| own.display().to_string())?;
        }
    }
    issue(&ca, Role::Relay, RELAY, &layout.identity(RELAY))?;
    issue(&ca, Role::Operator, OPERATOR_NAME, &layout.identity(OPERATOR))?;
    issue(&ca, Role::Gateway, GATEWAY, &layout.identity(GATEWAY))?;
    let of_gateway = setup::ticket_key(&layout.identity(GATEWAY).join(TICKET_KEY_FILE))?.public();
    let mut boxes = TicketKeys::default();
    let mut tickets = TicketKeys::default();
    for school in &SCHOOLS {
        let dir = layout.identity(school.id);
        let (id, key) = (SchoolId::new(school.id)?, setup::ticket_key(&dir.join(TICKET_KEY_FILE))?.public());
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
