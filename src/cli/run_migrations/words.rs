//! The subcommands of `run-migrations`.

use std::process::ExitCode;

use super::flags::Word;
use crate::cli::common::Common;

/// Runs a subcommand.
pub(super) fn run(_outer: &Common, _word: &Word) -> ExitCode {
    ExitCode::FAILURE
}
