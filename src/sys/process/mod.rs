//! The one door to other programs. A command is an argument list, never a shell line. It runs
//! with a given working directory, no standard input, its own process group, bounded output and
//! a deadline that ends the whole group (TERM, grace, KILL). The door waits for the process, not
//! for end-of-file: a background child that keeps our pipe open hangs nothing.

mod gate;
mod inherited;
mod log;
mod mark;
mod pipe;
#[cfg(any(test, not(target_os = "linux")))]
mod ps;
mod redact;
mod running;
mod session;
mod signals;
mod wait;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;

use super::failpoint;

pub use gate::{GATE_WORD, pass_gate};
pub use log::StepLog;
pub use mark::ProcessMark;
pub use redact::{MASK, Redactor};
use running::Running;
pub use session::{Heard, Meanwhile, Session};
pub use signals::StopsNoted;
pub use wait::{StillRunning, await_reaped, end_group, end_leftover, pause};

/// Between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(3);

/// Variables of git that name a repository, or say how paths are read; an inherited one would send
/// git elsewhere. Source: `git rev-parse --local-env-vars`, and git(1) for those of paths.
const GIT_REPOSITORY_VARIABLES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// A command to run.
#[derive(Clone, Debug)]
pub struct Invocation {
    argv: Vec<OsString>,
    cwd: PathBuf,
    env: Vec<(OsString, Option<OsString>)>,
    deadline: Duration,
    stdout_limit: usize,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// The deadline passed; its whole group was ended.
    Deadline,
    /// We were asked to stop by this signal; its whole group was ended.
    Interrupted(i32),
}

impl End {
    /// Exit code 0.
    pub fn success(self) -> bool {
        self == Self::Exit(0)
    }

    /// The exit code, where there is one.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exit(code) => Some(code),
            _ => None,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::Deadline => f.write_str("its deadline"),
            Self::Interrupted(number) => write!(f, "our own signal {number}"),
        }
    }
}

/// What a finished command left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Captured standard output (bounded); empty where the output went to a log.
    pub stdout: Vec<u8>,
    /// The last lines of standard error, or of all output where it went to a log; redacted.
    pub tail: String,
    /// How long it ran.
    pub elapsed: Duration,
    /// Standard output was longer than its limit.
    pub truncated: bool,
    /// Our end of its output, where a process it left in the background still writes there: as long
    /// as this is kept, that process can go on writing.
    pub left_writer: Option<std::sync::Arc<std::fs::File>>,
}

/// Called about ten times a second while a logged command runs: elapsed time and last output line.
pub type Progress<'a> = &'a mut dyn FnMut(Duration, &str);

/// Called with the new process group before the command itself begins.
pub type Announce<'a> = &'a mut dyn FnMut(&ProcessMark) -> anyhow::Result<()>;

impl Invocation {
    /// A command with its arguments, to be run in `cwd`.
    pub fn new<S: AsRef<OsStr>>(argv: &[S], cwd: &Path) -> Self {
        let mut env: Vec<(OsString, Option<OsString>)> =
            GIT_REPOSITORY_VARIABLES.iter().map(|name| ((*name).into(), None)).collect();
        // GIT_CONFIG_COUNT's companions are harmless without it.
        env.push(("GIT_TERMINAL_PROMPT".into(), Some("0".into())));
        Self {
            argv: argv.iter().map(|a| a.as_ref().to_owned()).collect(),
            cwd: cwd.to_owned(),
            env,
            deadline: Duration::from_secs(30),
            stdout_limit: 64 << 20,
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn without_env(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// The time it may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most bytes of standard output to keep when captured.
    #[must_use]
    pub fn stdout_limit(mut self, bytes: usize) -> Self {
        self.stdout_limit = bytes;
        self
    }

    /// The command as people read it in a message.
    pub fn display(&self) -> String {
        self.argv.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Runs it and keeps its standard output.
    pub fn capture(&self) -> anyhow::Result<Finished> {
        self.capture_announced(None, &Redactor::default())
    }

    /// Runs it and keeps its standard output; with `announce`, the group is known before it begins.
    pub fn capture_announced(
        &self,
        announce: Option<Announce<'_>>,
        redactor: &Redactor,
    ) -> anyhow::Result<Finished> {
        let (out, out_writer) = pipe::pair()?;
        let (err, err_writer) = pipe::pair()?;
        let running = self.spawn(out_writer.into(), err_writer.into(), announce)?;
        wait::capture(running, out, err, self.deadline, self.stdout_limit, redactor)
    }

    /// Runs it with all output going into `log`.
    pub fn logged(
        &self,
        log: &mut StepLog,
        announce: Option<Announce<'_>>,
        progress: Progress<'_>,
    ) -> anyhow::Result<Finished> {
        let (out, writer) = pipe::pair()?;
        let second = writer.try_clone().context("cannot make a pipe")?;
        let running = self.spawn(writer.into(), second.into(), announce)?;
        wait::logged(running, out, self.deadline, log, progress)
    }

    /// Replaces this process by the command (`telec` handing a word on), with standard streams,
    /// working directory and environment as they are, but for one `mark`. Returns only an error.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn exec(&self, mark: (&str, &OsStr)) -> std::io::Error {
        std::process::Command::new(&self.argv[0]).args(&self.argv[1..]).env(mark.0, mark.1).exec()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn spawn(
        &self,
        stdout: OwnedFd,
        stderr: OwnedFd,
        announce: Option<Announce<'_>>,
    ) -> anyhow::Result<Running> {
        failpoint::pass(&format!("process.spawn {}", self.display()))?;
        let (mut command, gate) = if announce.is_some() {
            let (command, gate) = gate::command(&self.argv)?;
            (command, Some(gate))
        } else {
            let mut plain = std::process::Command::new(&self.argv[0]);
            plain.args(&self.argv[1..]).stdin(Stdio::null()).process_group(0);
            (plain, None)
        };
        command.current_dir(&self.cwd).stdout(stdout).stderr(stderr);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut running = Running::start(&mut command).with_context(|| {
            let gone = if self.cwd.is_dir() { "" } else { ": its working directory is gone" };
            format!("cannot run {}{gone}", self.argv[0].display())
        })?;
        // It holds the other ends of what the child speaks into.
        drop(command);
        let (Some(announce), Some(gate)) = (announce, gate) else { return Ok(running) };
        gate::open(&mut running, gate, announce)?;
        failpoint::pass(&format!("process.running {}", self.display()))?;
        Ok(running)
    }
}
