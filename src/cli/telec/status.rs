//! `telec update status`: where the deployment stands, what is on offer and whether it is held.
//! Reads three files; needs neither checkout, lock nor network.

use std::ffi::OsString;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::Value;

use super::{flags, hold};
use crate::cli::common::finish;
use crate::hold::Hold;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome, Reason};
use crate::report::status::{Standing, Status};
use crate::signal::Signal;
use crate::sys::clock::{now, rfc3339};
use crate::sys::env::Environment;

const HELP: &str = "\
Usage: telec update status [--json]

Says where the deployment stands. The JSON has the keys of deploy_status.json, and
running (a run is at work), available (the signal) and hold.
";

/// The word.
pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    match flags::parse(arguments, HELP, &mut |_, _| Ok(false)) {
        Ok(common) => finish(&common, outcome(now())),
        Err(over) => over,
    }
}

fn outcome(now: Timestamp) -> Result<Outcome, Halt> {
    let home = Home::open(&Environment::capture())?;
    let hold = Hold::read(&home)?.filter(|hold| hold.is_active(now));
    let signal = Signal::read(&home)?;
    let status = match Status::read(&home)? {
        Some(status) => status,
        None => nothing_on_record(&home),
    };
    let running = status.is_running();
    let status = match status {
        died if died.died() => interrupted(died),
        held if hold.is_none() && held.reason.as_deref() == Some(Reason::Hold.code()) => resumed(held),
        other => other,
    };
    Ok(told(&status, running, signal.as_ref(), hold.as_ref()))
}

fn nothing_on_record(home: &Home) -> Status {
    let file = home.status();
    let said = if file.path().exists() {
        format!("{} cannot be read; the next update writes it anew", file.path().display())
    } else {
        "no update has been tried on this computer yet".to_owned()
    };
    Status::new(Standing::Idle, said)
}

/// The file says "under way", but its program is gone: that is what people must hear.
fn interrupted(status: Status) -> Status {
    let step = status.status;
    let to = status.to.as_deref().unwrap_or("the new version");
    let said = format!(
        "the update to {to} was interrupted while {}, its program is gone: run 'telec update' to finish or undo it",
        step.as_str()
    );
    status.step(step, said).because(Reason::Interrupted)
}

/// The file says "held" until the next run; the hold itself is over.
fn resumed(status: Status) -> Status {
    let to = status.to.as_deref().unwrap_or("the update");
    let said = format!("the hold is over; the next run of apply-update goes on with {to}");
    Status { reason: None, next_try_at: None, ..status.step(Standing::Deferred, said) }
}

fn told(status: &Status, running: bool, signal: Option<&Signal>, held: Option<&Hold>) -> Outcome {
    let mut outcome = Outcome::new(Exit::Done, "ok", status.message.clone());
    if let Ok(Value::Object(keys)) = serde_json::to_value(status) {
        outcome.body = keys;
    }
    outcome.lines = lines(status, signal, held);
    outcome
        .with("running", running)
        .with("available", signal.and_then(|signal| serde_json::to_value(signal).ok()))
        .with("hold", held.and_then(|hold| serde_json::to_value(hold).ok()))
}

fn lines(status: &Status, signal: Option<&Signal>, held: Option<&Hold>) -> Vec<String> {
    let reason = status.reason.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let mut lines = vec![format!("  status     {}{reason}", status.status.as_str())];
    let mut add = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| format!("  {name:<10} {text}")));
    };
    add("channel", status.channel.map(|channel| channel.to_string()));
    add("versions", status.from.as_ref().zip(status.to.as_ref()).map(|(from, to)| format!("{from} -> {to}")));
    add("since", status.updated_at.map(rfc3339));
    add("next try", status.next_try_at.map(rfc3339));
    if let Some(error) = &status.error {
        add("failed", Some(error.step.clone()));
        add("command", error.command.clone());
        add("log", error.log.as_ref().map(|log| log.display().to_string()));
    }
    add("available", signal.map(|signal| format!("{} ({})", signal.available, signal.channel)));
    add("hold", held.map(hold::describe));
    lines
}
