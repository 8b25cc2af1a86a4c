//! Flags of `telec`'s own words, read with lexopt. Owns the common flags; each word adds its own.

use std::ffi::OsString;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

use super::{help, wrong};
use crate::cli::common::{Common, version_line};

/// Takes a flag that is not a common one, with its value from the parser.
/// `Ok(false)`: the word has no such flag.
pub(super) type Own<'a> = &'a mut dyn FnMut(Flag<'_>, &mut Parser) -> Result<bool, lexopt::Error>;

/// A flag as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// `-n`.
    Short(char),
    /// `--name`.
    Long(&'a str),
}

/// Reads the flags after a word. `Err`: the run is over (help, version or wrong usage).
pub(super) fn parse(arguments: Vec<OsString>, text: &str, own: Own<'_>) -> Result<Common, ExitCode> {
    let mut parser = Parser::from_args(arguments);
    let mut common = Common::default();
    loop {
        match one(&mut parser, &mut common, own) {
            Ok(Step::Taken) => {}
            Ok(Step::End) => return Ok(common),
            Ok(Step::Help) => return Err(help(text)),
            Ok(Step::Version) => return Err(help(&format!("{}\n", version_line("telec")))),
            Err(error) => return Err(wrong(&error.to_string(), text)),
        }
    }
}

enum Step {
    Taken,
    Help,
    Version,
    End,
}

fn one(parser: &mut Parser, common: &mut Common, own: Own<'_>) -> Result<Step, lexopt::Error> {
    let name = match parser.next()? {
        None => return Ok(Step::End),
        Some(Arg::Value(value)) => {
            return Err(format!("unexpected word '{}'", value.to_string_lossy()).into());
        }
        Some(Arg::Short('h')) => return Ok(Step::Help),
        Some(Arg::Short(letter)) => {
            return known(own(Flag::Short(letter), parser)?, &format!("-{letter}"));
        }
        Some(Arg::Long(name)) => name.to_owned(),
    };
    match name.as_str() {
        "json" => common.json = true,
        "quiet" => common.quiet = true,
        "verbose" => common.verbose = true,
        "repo" => common.repo = Some(parser.value()?.string()?),
        "help" => return Ok(Step::Help),
        "version" => return Ok(Step::Version),
        other => return known(own(Flag::Long(other), parser)?, &format!("--{other}")),
    }
    Ok(Step::Taken)
}

fn known(taken: bool, flag: &str) -> Result<Step, lexopt::Error> {
    if taken { Ok(Step::Taken) } else { Err(format!("there is no flag '{flag}' here").into()) }
}
