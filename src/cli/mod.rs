//! Arguments → requests → outcome → exit code.
pub mod apply_update;
pub mod common;
pub mod run_migrations;
pub mod telec;
pub mod version_watch;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

/// What `main` of every program is: the gate, or the program.
pub fn main(program: fn(Vec<OsString>) -> ExitCode) -> ExitCode {
    let mut arguments = std::env::args_os();
    let _own_name = arguments.next();
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.split_first() {
        Some((word, command)) if word == crate::sys::process::GATE_WORD => {
            crate::sys::process::pass_gate(command)
        }
        _ => program(arguments),
    }
}
