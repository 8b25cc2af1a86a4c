//! A gate in front of a command: the new process waits, already in its own group, until the group
//! is on record, and only then becomes the command. A kill of this program at any moment therefore
//! leaves either a gate that ends by itself or a group that the next run can find and end.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::Context;

use super::{Announce, ProcessMark};

/// First argument that turns one of our programs into a gate. Not for people.
pub const GATE_WORD: &str = "__gate";

/// The exit code of a gate whose command cannot be run, as shells have it.
const CANNOT_RUN: u8 = 127;

/// A command that starts `argv` behind a gate.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(super) fn command(argv: &[OsString]) -> anyhow::Result<Command> {
    let mut command = Command::new(own_program()?);
    command.arg(GATE_WORD).args(argv).stdin(Stdio::piped());
    Ok(command)
}

/// Announces the waiting process, then lets it go; ends it where the announcement failed.
pub(super) fn open(mut child: Child, announce: Announce<'_>) -> anyhow::Result<Child> {
    let mark = ProcessMark::of(child.id());
    let announced = announce(&mark);
    let gate = child.stdin.take().context("the gate has no pipe")?;
    if let Err(error) = announced {
        drop(gate);
        child.wait().context("cannot wait for the gate")?;
        return Err(error);
    }
    let mut gate = gate;
    // A gate that was ended in the meantime shows as the end of the step, not here.
    let _ = gate.write_all(b"\n");
    Ok(child)
}

/// The gate's side: wait for one byte, then become the command. Returns only when it cannot.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
#[expect(clippy::print_stderr, reason = "goes into the step's log")]
pub fn pass_gate(argv: &[OsString]) -> ExitCode {
    let mut byte = [0_u8];
    match std::io::stdin().read(&mut byte) {
        Ok(1) => {}
        _ => return ExitCode::from(CANNOT_RUN),
    }
    let Some((program, arguments)) = argv.split_first() else {
        return ExitCode::from(CANNOT_RUN);
    };
    let error = Command::new(program).args(arguments).stdin(Stdio::null()).exec();
    eprintln!("cannot run {}: {error}", program.display());
    ExitCode::from(CANNOT_RUN)
}

/// This program, also when its file was replaced by an installation in the meantime.
fn own_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("cannot find this program's own file")
}
