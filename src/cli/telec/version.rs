//! `telec version`: name, version, channel and commit of the checkout in one line.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::flags;
use crate::checkout::Checkout;
use crate::cli::common::{Common, finish};
use crate::config::{Channel, Settings};
use crate::outcome::{Exit, Halt, Outcome};
use crate::project::{Project, installed_version};
use crate::sys::env::Environment;
use crate::version::Version;

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
    let project = Project::read(checkout.top());
    let version = version(&checkout, settings.channel, &project)?.map(|version| version.to_string());
    let name = project.name.unwrap_or_else(|| folder_name(checkout.top()));
    let pin = match settings.channel {
        Channel::Stable(minor) => Some(minor.to_string()),
        Channel::Alpha | Channel::Beta => None,
    };
    let channel = settings.channel.name().as_str();
    let follows = pin.as_ref().map_or(channel.to_owned(), |pin| format!("{channel} ({pin})"));
    let shown = version.as_ref().map_or("(no version)".to_owned(), |version| format!("v{version}"));
    let commit = checkout.commit();
    let line = format!("{name} {shown} (channel: {follows}, commit: {})", commit.tiny());
    Ok(Outcome::new(Exit::Done, "ok", line)
        .with("name", name)
        .with("version", version)
        .with("channel", channel)
        .with("pinned_minor", pin)
        .with("commit", commit.as_str()))
}

/// On alpha what the files say, else what is installed.
fn version(checkout: &Checkout, channel: Channel, project: &Project) -> Result<Option<Version>, Halt> {
    match channel {
        Channel::Alpha => Ok(project.version.clone()),
        Channel::Beta | Channel::Stable(_) => {
            Ok(installed_version(&checkout.tags_at(checkout.commit())?, project))
        }
    }
}

/// A project without a name is called by its folder.
fn folder_name(top: &Path) -> String {
    top.file_name().map_or("the checkout".to_owned(), |name| name.to_string_lossy().into_owned())
}
