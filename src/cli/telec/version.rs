//! `telec version`: name, version, channel and commit of the checkout in one line.

use std::ffi::OsString;
use std::process::ExitCode;

use super::flags;
use crate::checkout::Checkout;
use crate::cli::common::{Common, finish};
use crate::config::{Channel, Settings};
use crate::outcome::{Exit, Halt, Outcome};
use crate::sys::env::Environment;

const HELP: &str = "\
Usage: telec version [--repo DIR] [--json]

Prints name, version, channel and commit of the checkout.
";

/// The word.
pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    match flags::parse(arguments, HELP, &mut |_, _| Ok(false)) {
        Ok(common) => finish(&common, outcome(&common)),
        Err(over) => over,
    }
}

fn outcome(common: &Common) -> Result<Outcome, Halt> {
    let env = Environment::capture();
    let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
    let settings = Settings::load(&checkout, &env)?;
    let (name, version) = ("TeleClaude".to_owned(), "0.0.0".to_owned());
    let commit = checkout.commit();
    let pin = match settings.channel {
        Channel::Stable(minor) => Some(minor.to_string()),
        Channel::Alpha | Channel::Beta => None,
    };
    let channel = settings.channel.name().as_str();
    let follows = pin.as_ref().map_or(channel.to_owned(), |pin| format!("{channel} ({pin})"));
    let line = format!("{name} v{version} (channel: {follows}, commit: {})", commit.tiny());
    Ok(Outcome::new(Exit::Done, "ok", line)
        .with("name", name)
        .with("version", version)
        .with("channel", channel)
        .with("pinned_minor", pin)
        .with("commit", commit.as_str()))
}
