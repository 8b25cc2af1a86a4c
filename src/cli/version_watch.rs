//! `version-watch`: flags → one check → outcome.

use std::ffi::OsString;
use std::process::ExitCode;

use argh::FromArgs;

use crate::checkout::Checkout;
use crate::detect::watch::{Check, now};
use crate::outcome::{Exit, Halt, Outcome};
use crate::sys::env::Environment;

use super::common::{Common, Context, finish, parse, version_line};

/// Looks for a newer version on the channel, and writes or removes the signal file.
///
/// Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage or configuration, 3 a person must
/// decide, 10 an update is available (with --exit-code), 75 try again later.
#[derive(FromArgs, Debug)]
struct Flags {
    /// the checkout (default: `TELECLAUDE_REPO`, else the one around the current directory)
    #[argh(option, arg_name = "dir")]
    repo: Option<String>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// print nothing unless something is wrong
    #[argh(switch)]
    quiet: bool,
    /// print more
    #[argh(switch)]
    verbose: bool,
    /// print the version of this program
    #[argh(switch)]
    version: bool,
    /// exit with 10 when an update is available
    #[argh(switch)]
    exit_code: bool,
    /// check the configuration and look for nothing
    #[argh(switch)]
    check_config: bool,
}

/// Runs the program.
#[expect(clippy::needless_pass_by_value, reason = "every program has this shape")]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let flags: Flags = match parse("version-watch", &arguments) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let common =
        Common { repo: flags.repo.clone(), json: flags.json, quiet: flags.quiet, verbose: flags.verbose };
    let result = if flags.version {
        Ok(Outcome::new(Exit::Done, "ok", version_line("version-watch")))
    } else if flags.check_config {
        check_config(&common)
    } else {
        check(&common, &flags)
    };
    finish(&common, result)
}

fn check(common: &Common, flags: &Flags) -> Result<Outcome, Halt> {
    let context = Context::open(common)?;
    let available = if flags.exit_code { Exit::Available } else { Exit::Done };
    let check = Check {
        env: &context.env,
        home: &context.home,
        checkout: &context.checkout,
        settings: &context.settings,
        now: now(),
    };
    check.run(available)
}

fn check_config(common: &Common) -> Result<Outcome, Halt> {
    let env = Environment::capture();
    let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
    crate::config::check(&checkout, &env)
}
