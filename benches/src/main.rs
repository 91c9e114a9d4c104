//! `schulhof-bench`: measures a running piece of the product from outside. See `schulhof-bench media --help`.

use clap::{Parser, Subcommand};
use schulhof_bench::{ack, gateway, log, media, offline, reconnect, record, storm, torture, uplink};
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(name = "schulhof-bench", about = "Measures parts of Schulhof from outside")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One publisher to N subscribers through a media process, beside the floor of this machine
    Media(media::Args),
    /// Time until a gateway serves a large school, and what a box with it costs at rest
    Gateway(gateway::Args),
    /// A school day without the line: until everything is secured when it is back, and the box's memory
    Offline(offline::Args),
    /// All boxes come back at once after the core was killed: processor time of the core, longest time away
    Reconnect(reconnect::Args),
    /// Kill, pause and cut off processes while people write; then look for what is lost or there twice
    Torture(torture::Args),
    /// Everybody comes at eight o'clock: time until first media, the queue, and what is left of who is in
    Storm(storm::Args),
    /// Classes with one half at home: what goes over the school's narrow line, and whether voices stay whole
    Uplink(uplink::Args),
    /// The core's log beside etcd, three nodes each on the same disk, taking turns
    Log(log::Args),
    /// What a box's "saved" costs beside the disk alone
    Ack(ack::Args),
    /// Write down when the packets of somebody's camera come, and how long they are
    #[command(hide = true)]
    Record(record::Args),
    /// Be the media node: what `media` starts when the product is not built
    #[command(hide = true)]
    Node {
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    schulhof_net::lifeline::hold()?;
    match Cli::parse().command {
        Command::Media(args) => media::run(&args)?,
        Command::Gateway(args) => return gateway::run(&args),
        Command::Offline(args) => return offline::run(&args),
        Command::Reconnect(args) => return reconnect::run(&args),
        Command::Storm(args) => return storm::run(&args),
        Command::Uplink(args) => return uplink::run(&args),
        Command::Torture(args) => return torture::run(&args),
        Command::Log(args) => log::run(&args)?,
        Command::Ack(args) => ack::run(&args)?,
        Command::Record(args) => record::run(&args)?,
        Command::Node { config } => {
            let config = schulhof_net::config::load(&config)?;
            tokio::runtime::Runtime::new()?.block_on(schulhof_net::media::run(config))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
