//! `run-migrations`: see `cli::run_migrations`.

use std::process::ExitCode;

fn main() -> ExitCode {
    teleclaude_deployment::cli::main(teleclaude_deployment::cli::run_migrations::run)
}
