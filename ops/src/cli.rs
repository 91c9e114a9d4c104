//! Commands and options of `schulhof`.

use crate::{
    backup::{self, BackupArgs, KeyArgs, RestoreArgs},
    export::{self, ExportArgs},
    node, operate, status, up,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use schulhof_wire::{NodeName, SchoolId};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

/// Where `up` keeps everything, below the working folder.
pub const DIR_DEFAULT: &str = ".schulhof";

/// A school platform: boxes in schools, a replicated core and media relays in the cloud.
#[derive(Debug, Parser)]
#[command(name = "schulhof", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a core node: orders and keeps the schools' logs
    Core(NodeArgs),
    /// Run a cloud relay: forwards media that a box cannot; or, with a command, empty one that runs
    #[command(args_conflicts_with_subcommands = true)]
    Relay(RelayArgs),
    /// Run a box, which serves one school, or the gateway, which serves all of them from the cloud
    Edge(EdgeArgs),
    /// Run a box's media node (started by the box itself)
    Media(NodeArgs),
    /// Run the whole system with two demo schools on this machine
    Up(UpArgs),
    /// Show how a system started by `up` is; exit code 1 unless all nodes are ready
    Status(StatusArgs),
    /// Nodes of a running core: list, add, drain, remove, replace
    #[command(subcommand)]
    Node(NodeCommand),
    /// Schools of a running core: list, add, move to another group
    #[command(subcommand)]
    School(SchoolCommand),
    /// Take a backup of all schools: encrypted, while they are written to; only what is new since the last one is written
    Backup(BackupArgs),
    /// Make the key pair of a backup: the secret key into a file, the public one printed
    BackupKey(KeyArgs),
    /// Bring schools back from a backup into a core that has none of their data; or check a backup
    Restore(RestoreArgs),
    /// Write a school's data, or one person's, in a form that people and other programs can read
    Export(ExportArgs),
    /// Boxes of a running core: invite, list, revoke; and on the box: join, run
    #[command(subcommand)]
    Box(BoxCommand),
    /// Print the version
    Version,
}

/// Which core an operator means, and how the answer is shown.
#[derive(Debug, Args)]
pub struct OperateArgs {
    /// Folder that `up` was given
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    pub dir: PathBuf,
    /// Operator's file (TOML: `identity`, and a table `[[core]]` with `name` and `addr` per node), in the place of --dir
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Show all nodes, and in how many groups each one votes, learns and leads
    List(OperateArgs),
    /// Add a node that has been started with `join = true`; ends when it votes in all groups
    Add(NodeAddArgs),
    /// Have a node lead nothing any more, before it is stopped for a while; ends when it leads nothing
    Drain(NodeChangeArgs),
    /// Let a drained node lead again
    Serve(NodeChangeArgs),
    /// Take a node out of all groups; ends when it can be switched off
    Remove(NodeChangeArgs),
    /// Add a node, and take another one out when the new one votes
    Replace(NodeReplaceArgs),
}

#[derive(Debug, Args)]
pub struct NodeAddArgs {
    /// Name, as in its certificate
    pub node: NodeName,
    /// Where the others reach it (QUIC on UDP)
    #[arg(long, value_name = "IP:PORT")]
    pub addr: SocketAddr,
    /// Only say what stands against it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct NodeReplaceArgs {
    /// Node that goes, dead or alive
    pub node: NodeName,
    /// Node that comes, with another name
    #[arg(long, value_name = "NODE")]
    pub with: NodeName,
    /// Where the others reach the new one (QUIC on UDP)
    #[arg(long, value_name = "IP:PORT")]
    pub addr: SocketAddr,
    /// Only say what stands against it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct NodeChangeArgs {
    pub node: NodeName,
    /// Only say what stands against it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Subcommand)]
pub enum SchoolCommand {
    /// Show all schools and the group that holds each one's log
    List(OperateArgs),
    /// Make a place for a school
    Add(SchoolAddArgs),
    /// Move a school's log to another group, while it is written to
    Move(SchoolMoveArgs),
}

#[derive(Debug, Args)]
pub struct SchoolMoveArgs {
    pub school: SchoolId,
    /// Group that shall hold its log
    #[arg(long, value_name = "N")]
    pub to: u32,
    /// Only say what stands against it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct SchoolAddArgs {
    /// Short name, also that of its box: a-z, 0-9 and '-'
    pub school: SchoolId,
    /// Name for operators
    #[arg(long)]
    pub name: Option<String>,
    /// Group that shall hold its log; by default the one with the fewest schools
    #[arg(long, value_name = "N")]
    pub group: Option<u32>,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Subcommand)]
pub enum BoxCommand {
    /// Print a token for one box of a school: a line to copy, and a code to photograph
    Invite(BoxInviteArgs),
    /// On the box: fetch a certificate with a token
    Join(BoxJoinArgs),
    /// Show all boxes with their words, and the invitations that wait
    List(OperateArgs),
    /// Turn a box away and cut its connections, or withdraw an invitation
    Revoke(BoxRevokeArgs),
    /// Hand the CA that signs boxes' certificates over to the core
    Ca(CaArgs),
    /// On the box: serve the page that asks for a token, then run the box; all in one folder
    Run(BoxRunArgs),
}

#[derive(Debug, Args)]
pub struct BoxInviteArgs {
    /// School that the box shall serve
    #[arg(long)]
    pub school: SchoolId,
    /// Hours for which the token is good, 24 at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=24))]
    pub hours: Option<u64>,
    /// Where the box reaches a core node, HOST:PORT; repeatable; by default where the nodes reach each other
    #[arg(long, value_name = "ADDRESS")]
    pub address: Vec<String>,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct BoxJoinArgs {
    /// The line that begins with `schulhof-box/`
    pub token: String,
    /// Folder for the identity; must have none
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct BoxRevokeArgs {
    /// Name of the box, or of an invitation, as `list` shows it
    #[arg(value_name = "NAME")]
    pub what: String,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct CaArgs {
    /// Folder with the CA's `ca.pem` and `key.pem`
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct BoxRunArgs {
    /// Folder for everything that the box has
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where browsers reach a new box
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub http: SocketAddr,
    /// Port for media of a new box (TCP and UDP); 0: none, lessons go over relays
    #[arg(long, value_name = "PORT", default_value_t = 8480)]
    pub media_port: u16,
    /// Health and metrics of a new box, on loopback
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9180")]
    pub admin: SocketAddr,
    /// The same of its media process
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9580")]
    pub media_admin: SocketAddr,
    /// Log as JSON, one object per line
    #[arg(long)]
    pub json_logs: bool,
}

#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Log as JSON, one object per line
    #[arg(long)]
    pub json_logs: bool,
}

#[derive(Debug, Args)]
pub struct RelayArgs {
    #[command(subcommand)]
    pub command: Option<RelayCommand>,
    #[command(flatten)]
    pub node: Option<NodeArgs>,
}

#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Have everybody go on at another node, and the relay end when it is empty; nobody new is let in
    Drain(RelayDrainArgs),
}

#[derive(Debug, Args)]
pub struct RelayDrainArgs {
    /// Name, as in its certificate
    pub relay: NodeName,
    /// Give up waiting after so long, with an error; the relay goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub minutes: Option<u32>,
    #[command(flatten)]
    pub operate: OperateArgs,
}

#[derive(Debug, Args)]
pub struct EdgeArgs {
    /// What the node is; decides what the configuration file holds
    #[arg(long, value_enum, default_value_t = EdgeRole::Box)]
    pub role: EdgeRole,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EdgeRole {
    Box,
    Gateway,
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Folder for data, identities, configurations and logs
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    pub dir: PathBuf,
    /// Throw away what the folder holds and begin anew
    #[arg(long)]
    pub fresh: bool,
    /// Use the ports from N on instead of the fixed ones; 0 picks free ones
    #[arg(long, value_name = "N")]
    pub base_port: Option<u16>,
    /// Address on which boxes and media are reached
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// Host name in the addresses for browsers
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub host: String,
    /// Media nodes also take TURN over TLS (8580, 8581, 8590), with the `cert.pem` and `key.pem` of this folder
    #[arg(long, value_name = "DIR")]
    pub turn_tls: Option<PathBuf>,
    /// Log as JSON, one object per line
    #[arg(long)]
    pub json_logs: bool,
    /// Write the record of the running system here too, once everything is ready
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folder that `up` was given
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    pub dir: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

impl Command {
    /// At most 15 bytes, as the kernel keeps them.
    fn process_name(&self) -> &'static std::ffi::CStr {
        match self {
            Self::Core(_) => c"schulhof-core",
            Self::Relay(args) if args.command.is_none() => c"schulhof-relay",
            Self::Edge(args) if args.role == EdgeRole::Gateway => c"schulhof-gate",
            Self::Edge(_) | Self::Box(BoxCommand::Run(_)) => c"schulhof-edge",
            Self::Media(_) => c"schulhof-media",
            Self::Up(_) => c"schulhof-up",
            Self::Status(_)
            | Self::Node(_)
            | Self::Relay(_)
            | Self::School(_)
            | Self::Box(_)
            | Self::Backup(_)
            | Self::BackupKey(_)
            | Self::Restore(_)
            | Self::Export(_)
            | Self::Version => c"schulhof",
        }
    }

    /// As typed, for error lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Core(_) => "core",
            Self::Relay(_) => "relay",
            Self::Edge(_) => "edge",
            Self::Media(_) => "media",
            Self::Up(_) => "up",
            Self::Status(_) => "status",
            Self::Node(_) => "node",
            Self::School(_) => "school",
            Self::Backup(_) => "backup",
            Self::BackupKey(_) => "backup-key",
            Self::Restore(_) => "restore",
            Self::Export(_) => "export",
            Self::Box(_) => "box",
            Self::Version => "version",
        }
    }
}

impl Cli {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        schulhof_net::lifeline::hold()?;
        // For `ps` and `top`: nodes are started by another name than the program's. Refused by no kernel that we run on.
        let _ = rustix::thread::set_name(self.command.process_name());
        match self.command {
            Command::Core(args) => node::run(&args, schulhof_core::run),
            Command::Relay(RelayArgs { command: Some(RelayCommand::Drain(args)), .. }) => operate::relay::drain(&args),
            Command::Relay(RelayArgs { node: Some(args), .. }) => node::run(&args, schulhof_core::relay::run),
            Command::Relay(_) => anyhow::bail!("--config FILE is missing"),
            Command::Edge(args) => match args.role {
                EdgeRole::Box => node::run(&args.node, schulhof_edge::run),
                EdgeRole::Gateway => node::run(&args.node, schulhof_edge::gateway::run),
            },
            Command::Media(args) => node::run(&args, schulhof_net::media::run),
            Command::Up(args) => up::command(args),
            Command::Status(args) => status::command(&args),
            Command::Node(command) => operate::node::command(command),
            Command::School(command) => operate::school::command(command),
            Command::Backup(args) => backup::backup(args),
            Command::BackupKey(args) => backup::key(&args),
            Command::Restore(args) => backup::restore(&args),
            Command::Export(args) => export::command(&args),
            Command::Box(command) => operate::boxes::command(command),
            Command::Version => {
                println!("schulhof {}", env!("CARGO_PKG_VERSION"));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn up_runs_without_options() {
        let cli = Cli::try_parse_from(["schulhof", "up"]).unwrap();
        let Command::Up(args) = cli.command else { panic!("not up") };
        assert_eq!((args.dir, args.base_port, args.host.as_str()), (PathBuf::from(".schulhof"), None, "localhost"));
    }
}
