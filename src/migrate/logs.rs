//! Where the output of a run's scripts goes: one bounded log for the run, a part for each script
//! that prints or fails. A run without output leaves no log.

use std::path::PathBuf;

use super::MigrationId;
use crate::report::logs::RunLogs;
use crate::sys::process::{Redactor, StepLog};

/// A log file that has grown beyond this is followed by another one.
const FULL: u64 = 1 << 20;

/// The logs of one run.
pub(super) struct ScriptLogs<'a> {
    logs: &'a RunLogs,
    redactor: &'a Redactor,
    part: Option<StepLog>,
    id: String,
    nth_file: usize,
    wrote: bool,
}

impl<'a> ScriptLogs<'a> {
    pub(super) fn new(logs: &'a RunLogs, redactor: &'a Redactor) -> Self {
        Self { logs, redactor, part: None, id: String::new(), nth_file: 1, wrote: false }
    }

    /// The next script.
    pub(super) fn begin(&mut self, id: &MigrationId) {
        self.part = None;
        self.id = id.to_string();
    }

    /// What it prints.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.part.is_none() {
            self.part = Some(self.open());
        }
        if let Some(part) = &mut self.part {
            part.push(bytes);
        }
    }

    /// The last line it printed.
    pub(super) fn last_line(&self) -> &str {
        self.part.as_ref().map_or("", StepLog::last_line)
    }

    /// It is done.
    pub(super) fn close(&mut self) {
        if self.part.take().is_some() && std::fs::metadata(self.path()).is_ok_and(|facts| facts.len() > FULL)
        {
            self.nth_file += 1;
            self.prune();
        }
    }

    /// It failed: that is in the log too. Returns where the log is.
    pub(super) fn close_failed(&mut self, error: &str) -> PathBuf {
        self.push(format!("-- {}: {error}\n", self.id).as_bytes());
        self.part = None;
        self.path()
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        self.part = None;
        if self.wrote {
            self.prune();
        }
    }

    fn open(&mut self) -> StepLog {
        let made = if self.wrote { Ok(()) } else { self.logs.prepare() };
        self.wrote = true;
        let log = made.and_then(|()| StepLog::create(&self.path(), self.redactor));
        let mut part = log.unwrap_or_else(|error| {
            // A script is not failed for want of a log.
            crate::sys::warning::warn(&format!("{error:#}"));
            StepLog::in_memory(self.redactor)
        });
        part.push(format!("== {}\n", self.id).as_bytes());
        part
    }

    fn path(&self) -> PathBuf {
        match self.nth_file {
            1 => self.logs.step("scripts"),
            n => self.logs.step(&format!("scripts-{n}")),
        }
    }

    fn prune(&self) {
        if let Err(error) = self.logs.prune() {
            crate::sys::warning::warn(&format!("{error:#}"));
        }
    }
}
