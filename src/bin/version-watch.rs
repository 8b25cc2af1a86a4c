//! `version-watch`: see `cli::version_watch`.

use std::process::ExitCode;

fn main() -> ExitCode {
    teleclaude_deployment::cli::main(teleclaude_deployment::cli::version_watch::run)
}
