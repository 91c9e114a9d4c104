//! How long a gateway takes to serve a large school for the first time, and what a box with that school costs at rest.
//!
//! Three core nodes get a school by their own door: its people from the operator, its messages as a gateway submits them, each
//! ordered by Raft ([`fill`]). Then, as processes of the product: a gateway without a file is asked for a page; the same
//! gateway started again is asked once more, now with its file; a box takes over the school, and is left alone.

mod fill;
mod nodes;
mod report;

use crate::cluster::{self, Cluster, Plan, School, browser::Browser, people::Schools};
use anyhow::{Context as _, ensure};
use nodes::Node;
use report::{Figures, Latency};
use schulhof_school::view::MessageView;
use schulhof_wire::{LogIndex, SchoolId, api::Page};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const SCHOOL: &str = "nord";
const TEACHERS: usize = 50;
const ROOMS: usize = 40;
/// Messages of the page that is asked for: what the client asks first.
const PAGE_LEN: usize = 50;
/// Until a school is served or taken over; far above the bound that is to be kept.
const LOADED_MAX: Duration = Duration::from_mins(10);
/// Nobody asks a box at rest for anything; after this its memory is looked at.
const REST: Duration = Duration::from_secs(15);
const PAGES: usize = 400;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Messages of the school
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The product; default: `schulhof` beside this program
    #[arg(long, value_name = "FILE")]
    pub bin: Option<PathBuf>,
    /// Keep data and logs in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let figures = tokio::runtime::Runtime::new()?.block_on(measure(args))?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{figures}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args) -> anyhow::Result<Figures> {
    let say = |text: String| {
        if !args.json {
            println!("{text}");
        }
    };
    let program = cluster::product(args.bin.as_deref())?;
    let school = SchoolId::new(SCHOOL)?;
    let plan = Plan {
        schools: vec![School { id: school.clone(), group: 1 }],
        groups: 1,
        purge_every: 10_000,
        boxes: false,
        gateway: false,
        proxied: false,
        media: Vec::new(),
        log: "warn",
    };
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(plan, &program, args.keep.as_ref().map(|keep| keep.join("core"))).await?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let rooms: Vec<String> = (0..ROOMS).map(|n| format!("room-{n}")).collect();
    let names: Vec<&str> = rooms.iter().map(String::as_str).collect();
    let people = Schools::new(now_ms).operations(TEACHERS, &names);
    let after = LogIndex(people.len() as u64);
    cluster.seed(&school, people).await?;

    let began = Instant::now();
    let head = fill::fill(&cluster, &school, args.messages, TEACHERS, &rooms, now_ms, after).await?;
    let fill_s = began.elapsed().as_secs_f64();
    say(format!("{} messages ordered in {fill_s:.1} s, {:.0} per s", args.messages, args.messages as f64 / fill_s));

    let dir = args.keep.clone().unwrap_or_else(|| folder.path().to_owned());
    let gateway = Node::gateway(&cluster, &program, &dir, &school)?;
    let first = serve_first(&gateway, &rooms).await.context("the gateway without a file")?;
    let (gateway_rss_kb, gateway_peak_kb) = (gateway.process.memory_kb("VmRSS")?, gateway.process.memory_kb("VmHWM")?);
    let file_mib = gateway.file_len()? >> 20;
    gateway.process.terminate().await?;
    let again = serve_first(&gateway, &rooms).await.context("the gateway with its file")?;
    gateway.process.terminate().await?;
    say(format!(
        "the gateway serves after {:.2} s, with a file after {:.2} s",
        first.as_secs_f64(),
        again.as_secs_f64()
    ));

    let at_school = Node::school_box(&cluster, &program, &dir, &school)?;
    let began = Instant::now();
    at_school.process.start()?;
    at_school.process.until_ready(LOADED_MAX).await?;
    until_holds(&at_school, head).await?;
    let box_loaded = began.elapsed();
    tokio::time::sleep(REST).await;
    let box_loaded_rss_kb = at_school.process.memory_kb("VmRSS")?;
    at_school.process.terminate().await?;
    at_school.process.start()?;
    at_school.process.until_ready(LOADED_MAX).await?;
    until_holds(&at_school, head).await?;
    tokio::time::sleep(REST).await;
    let box_rest_rss_kb = at_school.process.memory_kb("VmRSS")?;
    let mut browser = at_school.browser()?;
    browser.until_signed_in(LOADED_MAX).await?;
    let (first_page, pages) = pages(&mut browser, &rooms).await?;
    let box_used_rss_kb = at_school.process.memory_kb("VmRSS")?;
    at_school.process.terminate().await?;
    cluster.stop().await?;
    Ok(Figures {
        messages: args.messages,
        fill_per_s: args.messages as f64 / fill_s,
        gateway_first_page_s: first.as_secs_f64(),
        gateway_again_s: again.as_secs_f64(),
        gateway_rss_mib: mib(gateway_rss_kb),
        gateway_peak_mib: mib(gateway_peak_kb),
        file_mib,
        box_loaded_s: box_loaded.as_secs_f64(),
        box_loaded_rss_mib: mib(box_loaded_rss_kb),
        box_rest_rss_mib: mib(box_rest_rss_kb),
        box_used_rss_mib: mib(box_used_rss_kb),
        first_page_ms: first_page.as_secs_f64() * 1e3,
        page: pages,
    })
}

fn mib(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

/// From the first request that a gateway gets to the first page of messages, as a person at home comes: signs in, and
/// asks again while the school is being loaded.
async fn serve_first(gateway: &Node, rooms: &[String]) -> anyhow::Result<Duration> {
    gateway.process.start()?;
    gateway.process.until_ready(LOADED_MAX).await?;
    let mut browser = gateway.browser()?;
    let began = Instant::now();
    browser.until_signed_in(LOADED_MAX).await?;
    page(&mut browser, &rooms[0]).await?;
    Ok(began.elapsed())
}

async fn page(browser: &mut Browser, room: &str) -> anyhow::Result<()> {
    let page: Page<MessageView> = browser.get(&format!("/api/rooms/{room}/messages?limit={PAGE_LEN}")).await?;
    ensure!(page.items.len() == PAGE_LEN, "a page of {} messages instead of {PAGE_LEN}", page.items.len());
    Ok(())
}

/// The very first page, and then many, of one room after the other.
async fn pages(browser: &mut Browser, rooms: &[String]) -> anyhow::Result<(Duration, Latency)> {
    let mut took = Vec::with_capacity(PAGES);
    for n in 0..=PAGES {
        let began = Instant::now();
        page(browser, &rooms[n % rooms.len()]).await?;
        took.push(began.elapsed());
    }
    Ok((took[0], Latency::of(took.split_off(1))))
}

async fn until_holds(node: &Node, head: LogIndex) -> anyhow::Result<()> {
    let began = Instant::now();
    while node.process.status().await?["head"].as_u64() < Some(head.0) {
        ensure!(began.elapsed() < LOADED_MAX, "{} does not take over the school", node.process.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
