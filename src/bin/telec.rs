//! `telec`: see `cli::telec`.

use std::process::ExitCode;

fn main() -> ExitCode {
    teleclaude_deployment::cli::main(teleclaude_deployment::cli::telec::run)
}
