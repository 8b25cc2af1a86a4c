//! `apply-update`: see `cli::apply_update`.

use std::process::ExitCode;

fn main() -> ExitCode {
    teleclaude_deployment::cli::main(teleclaude_deployment::cli::apply_update::run)
}
