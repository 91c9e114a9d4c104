//! The demo schools: into the core, then onto their boxes. Ends with the deadline of the whole start.

use super::layout::{Layout, OPERATOR, SCHOOLS, School};
use crate::{
    http,
    seed::{self, DemoSchool},
};
use anyhow::Context as _;
use schulhof_net::{
    identity::Identity,
    quic::{Endpoint, Options},
};
use schulhof_wire::{LogIndex, NodeName, SchoolId};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Between two looks at how far the boxes have come.
const POLL_EVERY: Duration = Duration::from_millis(25);

/// Brings the demo schools into the core, and waits until each box holds its own, first messages included.
pub async fn seed(layout: Layout) -> anyhow::Result<()> {
    let identity = Identity::load(&layout.identity(OPERATOR))?;
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    let cores: Vec<_> = layout
        .cores()
        .map(|(name, addr)| Ok(seed::Core { name: NodeName::new(name)?, addr }))
        .collect::<anyhow::Result<_>>()?;
    let schools = SCHOOLS.iter().enumerate().map(|(n, school)| seed_one(&layout, &endpoint, &cores, n, school));
    futures_util::future::try_join_all(schools).await?;
    endpoint.close("seeded");
    Ok(())
}

async fn seed_one(
    layout: &Layout,
    endpoint: &Endpoint,
    cores: &[seed::Core],
    index: usize,
    school: &School,
) -> anyhow::Result<()> {
    let id = SchoolId::new(school.id)?;
    let demo = DemoSchool::of(school.id).with_context(|| format!("no demo school {id}"))?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let operations = || seed::operations::of(&demo, now_ms, seed::operations::hash_passwords(&demo));
    let head = seed::seed_school(endpoint, cores, &id, operations).await?;

    let admin = format!("http://{}", Layout::inside(layout.ports.box_admin[index]));
    until_box_holds(&admin, head).await;
    // People come after the school, and their first messages after them: a longer log has both.
    let whole = LogIndex(demo.len() as u64);
    if head < whole {
        // By the address itself: the public name may be one that only others resolve.
        let port = layout.ports.box_http[index];
        let ip = if layout.listen.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { layout.listen };
        seed::welcome(&format!("http://{}", SocketAddr::new(ip, port)), &demo, now_ms).await?;
        until_box_holds(&admin, whole).await;
    }
    Ok(())
}

/// Its status is all that tells.
async fn until_box_holds(admin: &str, head: LogIndex) {
    loop {
        if let Ok(answer) = http::get(&format!("{admin}/status")).await
            && let Ok(status) = answer.json::<serde_json::Value>()
            && status["head"].as_u64() >= Some(head.0)
        {
            return;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}
