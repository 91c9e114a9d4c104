//! Core nodes and two boxes with media nodes of their own: a large one and a small one, each with its school.

use crate::cluster::{
    CORES, Cluster, Plan, School,
    browser::{Browser, device},
    people::{Schools, login},
    process::Process,
};
use anyhow::{Context as _, ensure};
use schulhof_school::Body;
use schulhof_wire::{
    ConferenceId, RoomId, SchoolId, Seq,
    api::{SubmitState, Submitted},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Mutex;

/// Accounts; each person is one of them.
const ACCOUNTS: usize = 120;
/// Conferences that are open in one room at the same time; the rules of the school allow a few.
const CONFERENCES_PER_ROOM: usize = 8;
const SIGN_IN_MAX: Duration = Duration::from_mins(1);
/// The media process accepts by then, or has let people go.
const MEDIA_MAX: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(50);

pub struct Town {
    pub cluster: Arc<Cluster>,
    pub large: TownBox,
    pub small: TownBox,
}

/// A school's box.
pub struct TownBox {
    pub url: String,
    pub media: SocketAddr,
    cluster: Arc<Cluster>,
    index: usize,
    /// Who opens and closes conferences, and how many operations there were.
    teacher: Mutex<(Browser, u64)>,
    cookies: Mutex<Vec<String>>,
}

fn room(n: usize) -> String {
    format!("raum-{n}")
}

impl Town {
    /// With rooms for so many conferences at the same time in each school.
    pub async fn start(
        program: &Path,
        keep: Option<PathBuf>,
        budgets: [u32; 2],
        conferences: usize,
    ) -> anyhow::Result<Self> {
        let names = ["large", "small"];
        let schools: Vec<School> = names
            .iter()
            .map(|name| Ok(School { id: SchoolId::new(*name)?, group: 1 }))
            .collect::<anyhow::Result<_>>()?;
        let plan = Plan {
            schools: schools.clone(),
            groups: 1,
            purge_every: 10_000,
            boxes: true,
            gateway: false,
            proxied: false,
            media: budgets.to_vec(),
            log: "warn",
        };
        let cluster = Arc::new(Cluster::start(plan, program, keep).await?);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
        let people = Schools::new(now_ms);
        let rooms: Vec<String> = (0..conferences.div_ceil(CONFERENCES_PER_ROOM)).map(room).collect();
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        for school in &schools {
            cluster.seed(&school.id, people.operations(ACCOUNTS, &rooms)).await?;
        }
        let (large, small) = (TownBox::new(&cluster, 0).await?, TownBox::new(&cluster, 1).await?);
        Ok(Self { cluster, large, small })
    }
}

impl TownBox {
    async fn new(cluster: &Arc<Cluster>, index: usize) -> anyhow::Result<Self> {
        let url = cluster.url(index);
        let media = cluster.media(index)?;
        let mut teacher = Browser::new(url.clone(), login(0), device(&format!("storm-{index}"))?);
        teacher.until_signed_in(SIGN_IN_MAX).await?;
        let end = tokio::time::Instant::now() + MEDIA_MAX;
        while tokio::net::TcpStream::connect(media).await.is_err() {
            ensure!(tokio::time::Instant::now() < end, "the media process does not listen");
            tokio::time::sleep(POLL_EVERY).await;
        }
        let (teacher, cookies) = (Mutex::new((teacher, 0)), Mutex::default());
        Ok(Self { url, media, cluster: cluster.clone(), index, teacher, cookies })
    }

    fn process(&self) -> &Process {
        &self.cluster.nodes[CORES + self.index]
    }

    /// Of the box and its media process.
    pub fn rss_kb(&self) -> anyhow::Result<u64> {
        let pid = self.process().pid().context("the box does not run")?;
        let own = crate::process::rss_kb(pid)?;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut sum = own;
        for child in children.split_whitespace() {
            sum += crate::process::rss_kb(child.parse()?)?;
        }
        Ok(sum)
    }

    /// Sessions of all accounts; signs in the first time.
    pub async fn cookies(&self) -> anyhow::Result<Vec<String>> {
        let mut cookies = self.cookies.lock().await;
        if cookies.is_empty() {
            for n in 0..ACCOUNTS {
                let mut browser =
                    Browser::new(self.url.clone(), login(n), device(&format!("storm-{}-{n}", self.index))?);
                browser.until_signed_in(SIGN_IN_MAX).await?;
                cookies.push(browser.cookie().context("signed in without a session")?.to_owned());
            }
        }
        Ok(cookies.clone())
    }

    /// New conferences of a class each.
    pub async fn open(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = (0..count).map(|_| format!("c-{:016x}", rand::random::<u64>())).collect();
        let open = |(n, name): (usize, &String)| {
            anyhow::Ok(Body::ConferenceOpen {
                conference: ConferenceId::new(name.clone())?,
                room: RoomId::new(room(n / CONFERENCES_PER_ROOM))?,
                title: "Unterricht".to_owned(),
                expected: Some(super::PEOPLE as u32),
            })
        };
        self.submit(names.iter().enumerate().map(open).collect::<anyhow::Result<_>>()?).await?;
        Ok(names)
    }

    pub async fn close(&self, conferences: &[String]) -> anyhow::Result<()> {
        let close = |name: &String| anyhow::Ok(Body::ConferenceClose { conference: ConferenceId::new(name.clone())? });
        self.submit(conferences.iter().map(close).collect::<anyhow::Result<_>>()?).await
    }

    /// Until the media node has nobody any more.
    pub async fn until_empty(&self) -> anyhow::Result<()> {
        let metrics = format!("http://{}/metrics", self.cluster.media_admin(self.index)?);
        let end = tokio::time::Instant::now() + MEDIA_MAX;
        loop {
            let answer = schulhof_ops::http::request("GET", &metrics, &[], None).await?;
            if answer.text().lines().any(|line| line == "schulhof_media_participants 0") {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < end, "people who left are still counted at the media node");
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    async fn submit(&self, bodies: Vec<Body>) -> anyhow::Result<()> {
        let mut teacher = self.teacher.lock().await;
        let (browser, seq) = &mut *teacher;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
        let operations = bodies
            .into_iter()
            .map(|body| {
                *seq += 1;
                Submitted { seq: Seq(*seq), at: schulhof_wire::Hlc::from_ms(now_ms), body }
            })
            .collect();
        let answer = browser.submit(operations).await?;
        let refused = answer.results.iter().find(|result| result.state != SubmitState::Saved);
        ensure!(refused.is_none(), "an operation was refused: {refused:?}");
        Ok(())
    }
}
