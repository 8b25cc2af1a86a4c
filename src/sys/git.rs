//! The one door to git: an explicit directory, no standard input, C locale, no prompts, no hooks,
//! no background work, a deadline. Returns bytes and exit codes; what they mean is decided
//! elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::process::{End, Finished, Invocation, Redactor};
use crate::outcome::{Halt, Reason};

/// Reading git commands answer from local files; this is far more than they need.
const LOCAL_DEADLINE: Duration = Duration::from_secs(60);

/// Settings that keep the checkout's own configuration from stopping or outliving a command.
const QUIET_CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "credential.interactive=false",
    "core.quotePath=false",
    "submodule.recurse=false",
];

/// git in one directory.
#[derive(Clone, Debug)]
pub struct Git {
    dir: PathBuf,
    ssh_command: Option<String>,
    redactor: Redactor,
}

impl Git {
    /// git in `dir`.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), ssh_command: None, redactor: Redactor::default() }
    }

    /// Uses `command` as `GIT_SSH_COMMAND` (none: what the user's environment says).
    #[must_use]
    pub fn with_ssh_command(mut self, command: Option<String>) -> Self {
        self.ssh_command = command;
        self
    }

    /// Masks secrets in messages.
    #[must_use]
    pub fn with_redactor(mut self, redactor: &Redactor) -> Self {
        self.redactor = redactor.clone();
        self
    }

    /// Knows the secrets that its messages must not show.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Where it works.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A git command, ready to run with a deadline of a minute.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Invocation {
        let mut argv: Vec<std::ffi::OsString> = vec!["git".into()];
        for setting in QUIET_CONFIG {
            argv.push("-c".into());
            argv.push((*setting).into());
        }
        argv.extend(arguments.iter().map(|a| a.as_ref().to_owned()));
        let mut command = Invocation::new(&argv, &self.dir)
            .deadline(LOCAL_DEADLINE)
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            // What a commit is, is what its id says.
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_PAGER", "cat");
        if let Some(ssh) = &self.ssh_command {
            command = command.env("GIT_SSH_COMMAND", ssh);
        }
        command
    }

    /// Runs a command whatever its exit code. One that was ended before it had one has answered
    /// nothing, neither yes nor no: that is an error, and a [`Halt`] where it was a stop of ours.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> anyhow::Result<Finished> {
        let finished = self.command(arguments).capture_announced(None, &self.redactor)?;
        match finished.end {
            End::Exit(_) => Ok(finished),
            End::Interrupted(number) => bail!(interrupted(number, "a question to git")),
            End::Signal(_) | End::Deadline => bail!(describe(arguments, &finished)),
        }
    }

    /// Standard output of a command that must succeed.
    pub fn output<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> anyhow::Result<Vec<u8>> {
        let finished = self.run(arguments)?;
        if finished.end.success() {
            return Ok(finished.stdout);
        }
        bail!(describe(arguments, &finished))
    }

    /// The same as trimmed text.
    pub fn text<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> anyhow::Result<String> {
        let bytes = self.output(arguments)?;
        let text = String::from_utf8(bytes).context("git printed something that is not UTF-8")?;
        Ok(text.trim_end().to_owned())
    }

    /// A question that git answers with exit code 0 or 1.
    pub fn test<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> anyhow::Result<bool> {
        let finished = self.run(arguments)?;
        match finished.end {
            End::Exit(0) => Ok(true),
            End::Exit(1) => Ok(false),
            _ => bail!(describe(arguments, &finished)),
        }
    }
}

/// Whether another git had something locked that this one needed.
pub fn was_locked_out(finished: &Finished) -> bool {
    !finished.end.success() && finished.tail.contains(".lock': File exists")
}

/// Whether a ref was not any more where this git was to find it.
pub fn was_overtaken(finished: &Finished) -> bool {
    !finished.end.success() && finished.tail.contains("but expected")
}

/// This program was asked to stop.
pub fn interrupted(number: i32, during: &str) -> Halt {
    let message = format!("stopped by signal {number} during {during}; the next run goes on from there");
    Halt::failed(Reason::Interrupted, message)
}

/// What went wrong, with the command, how it ended, and the last it said.
pub fn describe<S: AsRef<std::ffi::OsStr>>(arguments: &[S], finished: &Finished) -> String {
    let words: Vec<_> = arguments.iter().map(|a| a.as_ref().to_string_lossy()).collect();
    format!("git {} ended with {}: {}", words.join(" "), finished.end, complaint(&finished.tail))
}

/// The setting with which git goes on, where it refuses a repository because it belongs to another
/// user: only a person can decide that, and no later try ends otherwise.
pub fn ownership_fix(tail: &str) -> Option<String> {
    let advice = tail.lines().find(|line| line.contains("--add safe.directory"))?;
    Some(advice.trim().to_owned())
}

/// The line of git's standard error that says why; the last one is often only advice.
pub fn complaint(tail: &str) -> &str {
    let told = |kind: &str| tail.lines().find(|line| line.starts_with(kind));
    told("fatal:").or_else(|| told("error:")).or_else(|| tail.lines().last()).unwrap_or("it said nothing")
}
