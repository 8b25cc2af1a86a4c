//! `telec`, the front for people: four words are ours, everything else goes to the checkout's own
//! `bin/telec`, untouched. Owns which word goes where; the work is done by the workers' rooms.

mod deploy;
mod flags;
mod handover;
mod history;
mod hold;
mod status;
mod update;
mod version;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

use crate::outcome::Exit;

/// What `telec --help` says where there is no other `telec` to ask.
const HELP: &str = "\
Usage: telec <command> [<args>]

Commands:
  version           Name, version, channel and commit of the checkout
  migrate           Runs the migrations that are pending (run-migrations)
  update            Updates the checkout now (apply-update); see 'telec update --help'
  anything else     Goes to the checkout's own bin/telec

The checkout is $TELECLAUDE_REPO, else the one around the current directory.
";

/// The program.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let word = arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
    let rest = || arguments[1..].to_vec();
    match word {
        "version" => version::run(rest()),
        "migrate" => super::run_migrations::run(rest()),
        "update" => update::run(rest()),
        "deploy" => deploy::run(&arguments[1..]),
        _ => handover::run(arguments),
    }
}

/// Prints a help text, with exit code 0.
fn help(text: &str) -> ExitCode {
    // Help into a closed pipe is still help.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::from(Exit::Done as u8)
}

/// Wrong usage: one sentence, then the help; exit code 2.
fn wrong(what: &str, help: &str) -> ExitCode {
    let text = format!("telec: {what}\n\n{help}");
    // Nobody reads it: the exit code still tells.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(Exit::Usage as u8)
}

/// Whether `word` asks for help.
fn asks_for_help(word: &OsStr) -> bool {
    word == "--help" || word == "-h"
}
