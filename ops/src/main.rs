//! Parses, runs, and says on one line what went wrong.

use clap::Parser as _;
use schulhof_ops::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let name = cli.command.name();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("schulhof {name}: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes behind each other, without those that the text before them holds already, on one line.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn an_error_is_one_line_that_says_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open a.toml: {source}")]
        struct Outer {
            source: std::io::Error,
        }
        let outer = Outer { source: std::io::Error::other("no such\n  file") };
        let error = Err::<(), _>(outer).context("core-1").unwrap_err();
        assert_eq!(super::one_line(&error), "core-1: cannot open a.toml: no such; file");
    }
}
