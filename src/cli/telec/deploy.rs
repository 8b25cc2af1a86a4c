//! `telec deploy` is gone: says so and what to use instead. Changes nothing.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::common::{Common, finish};
use crate::outcome::{Halt, Kind, Reason};

const GONE: &str = "telec deploy is gone, deployment is automatic: use 'telec update' to update this computer now, \
                    'telec update check' to look for a new version, 'telec update status' to see where it stands";

/// Exit code 2, whatever the arguments; `--json` among them gives JSON.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let common = Common { json: arguments.iter().any(|word| word == "--json"), ..Common::default() };
    finish(&common, Err(Halt::new(Kind::Invalid, Reason::Gone, GONE)))
}
