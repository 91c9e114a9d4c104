//! The boxes of `up` join the core as any box does: the CA is handed over, a token made, the token used.

use super::layout::{CA, Layout, OPERATOR, SCHOOLS};
use crate::operate::{self, Client, boxes};
use anyhow::Context as _;
use schulhof_edge::enrol::setup;
use schulhof_net::enrol::Token;
use schulhof_wire::{NodeName, SchoolId};

/// Whether every box has its certificate.
pub fn have_joined(layout: &Layout) -> bool {
    SCHOOLS.iter().all(|school| setup::has_joined(&layout.identity(school.id)))
}

/// Gives a certificate to each box that has none. The core must be there.
pub async fn join(layout: Layout) -> anyhow::Result<()> {
    let cores = layout.cores().map(|(name, addr)| Ok(operate::Core { name: NodeName::new(name)?, addr }));
    let cores = cores.collect::<anyhow::Result<_>>()?;
    let mut client = Client::new(operate::Config { identity: layout.identity(OPERATOR), cores, relays: Vec::new() })?;
    boxes::install(&mut client, &layout.node(CA)).await.context("the CA cannot be installed")?;
    for school in &SCHOOLS {
        let identity = layout.identity(school.id);
        if !setup::has_joined(&identity) {
            let invited = boxes::invited(&mut client, SchoolId::new(school.id)?, None, Vec::new()).await?;
            let token: Token = invited.token.parse()?;
            setup::join(&token, &identity).await.with_context(|| format!("{} cannot join", school.id))?;
        }
    }
    client.close().await;
    Ok(())
}
