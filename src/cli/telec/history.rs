//! `telec update history`: the last attempts. Needs neither checkout, lock nor network.

use std::ffi::OsString;
use std::process::ExitCode;

use lexopt::ValueExt;
use serde_json::Value;

use super::flags::{self, Flag};
use crate::cli::common::finish;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome};
use crate::report::history::{self, Attempt, History};
use crate::sys::clock::rfc3339;
use crate::sys::env::Environment;

const HELP: &str = "\
Usage: telec update history [-n N] [--json]

Shows the last N attempts to update this computer, the newest last (default 20).
";

const DEFAULT_COUNT: usize = 20;

/// The word.
pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let mut count = DEFAULT_COUNT;
    let common = flags::parse(arguments, HELP, &mut |flag, parser| match flag {
        Flag::Short('n') => {
            count = parser.value()?.parse_with(count_of)?;
            Ok(true)
        }
        _ => Ok(false),
    });
    match common {
        Ok(common) => finish(&common, outcome(count)),
        Err(over) => over,
    }
}

fn count_of(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "-n wants a whole number from 0".to_owned())
}

fn outcome(count: usize) -> Result<Outcome, Halt> {
    let home = Home::open(&Environment::capture())?;
    let history = history::read(&home, count)?;
    let attempts: Vec<Value> =
        history.attempts.iter().map(|attempt| serde_json::to_value(attempt).unwrap_or_default()).collect();
    let mut outcome = Outcome::new(Exit::Done, "ok", sentence(&history, count))
        .with("attempts", attempts)
        .with("unreadable", history.unreadable);
    outcome.lines = history.attempts.iter().map(line).collect();
    Ok(outcome)
}

fn sentence(history: &History, count: usize) -> String {
    let shown = match history.attempts.len() {
        0 if count == 0 => "no attempt was asked for (-n 0)".to_owned(),
        0 => "no attempt on record".to_owned(),
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts, the newest last"),
    };
    match history.unreadable {
        0 => shown,
        n => format!("{shown} ({n} lines of deploy_history.jsonl cannot be read)"),
    }
}

fn line(attempt: &Attempt) -> String {
    // A clock that was put back meanwhile tells nothing.
    let took = (attempt.finished_at.as_second() - attempt.started_at.as_second()).max(0);
    format!(
        "{}  {}  {} -> {}  {} (attempt {}, {took} s): {}",
        rfc3339(attempt.started_at),
        attempt.channel,
        attempt.from,
        attempt.to,
        attempt.outcome,
        attempt.attempt,
        attempt.message
    )
}
