//! Arguments → requests → outcome → exit code.
pub mod apply_update;
pub mod common;
pub mod telec;
pub mod version_watch;

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
macro_rules! stub { ($($n:ident)*) => { $(#[allow(missing_docs)] pub mod $n { pub fn run(_a: Vec<std::ffi::OsString>) -> std::process::ExitCode { std::process::ExitCode::from(1) } })* } }
stub!(run_migrations);
