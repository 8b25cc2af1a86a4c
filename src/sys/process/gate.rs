//! A gate in front of a command: the new process waits, already in a session and group of its own,
//! until the group is on record, and only then becomes the command. A kill of this program at any
//! moment therefore leaves either a gate that ends by itself or a group that the next run can find
//! and end. A session of its own has no terminal: what asks for a password there fails at once.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;

use super::{Announce, ProcessMark, Running};

/// First argument that turns one of our programs into a gate. Not for people.
pub const GATE_WORD: &str = "__gate";

/// The exit code of a gate whose command cannot be run, as shells have it.
const CANNOT_RUN: u8 = 127;
/// A gate that has not reported by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command that starts `argv` behind a gate, and our end of what is spoken with the gate.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(super) fn command(argv: &[OsString]) -> anyhow::Result<(Command, UnixStream)> {
    let (ours, theirs) = UnixStream::pair().context("cannot make a pair of sockets")?;
    ours.set_read_timeout(Some(PATIENCE)).context("cannot set up a socket")?;
    let mut command = Command::new(own_program()?);
    command.arg(GATE_WORD).args(argv).stdin(OwnedFd::from(theirs));
    Ok((command, ours))
}

/// Announces the waiting process, then lets it go; ends it where the announcement failed.
pub(super) fn open(
    running: &mut Running,
    mut gate: UnixStream,
    announce: Announce<'_>,
) -> anyhow::Result<()> {
    let ready = gate.read_exact(&mut [0]).context("the gate of a step ended before the step began");
    let announced = ready.and_then(|()| announce(&ProcessMark::of(running.id())));
    // Where that failed the gate ends when its owner is dropped; the command never began.
    announced?;
    running.is_on_record();
    // A gate that was ended in the meantime shows as the end of the step, not here.
    let _ = gate.write_all(b"\n");
    Ok(())
}

/// The gate's side: leave the terminal, report, wait for one byte, then become the command. Returns
/// only when it cannot.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn pass_gate(argv: &[OsString]) -> ExitCode {
    if leave_terminal().and_then(|()| std::io::stdin().read_exact(&mut [0])).is_err() {
        return ExitCode::from(CANNOT_RUN);
    }
    let Some((program, arguments)) = argv.split_first() else {
        return ExitCode::from(CANNOT_RUN);
    };
    let error = Command::new(program).args(arguments).stdin(Stdio::null()).exec();
    // Goes into the step's log.
    crate::sys::warning::say(&format!("cannot run {}: {error}", program.display()));
    ExitCode::from(CANNOT_RUN)
}

fn leave_terminal() -> std::io::Result<()> {
    rustix::process::setsid()?;
    rustix::io::write(std::io::stdin().as_fd(), b"\n")?;
    Ok(())
}

/// This program, also when its file was replaced by an installation in the meantime.
fn own_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("cannot find this program's own file")
}
