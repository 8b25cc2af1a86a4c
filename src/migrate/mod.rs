//! Migrations: discovery, what is pending, running each script once and in order, and the record
//! of it. Owns `migration_state.json` and its journal; must not touch the checkout.
//!
//! Data flows one way: [`tree`] (what is there) + [`state`] (what is on record) → [`select`]
//! (pure: what is pending) → [`runner`] (runs it through [`driver`], records through [`book`]) →
//! [`result`] (what is told).
//!
//! For other rooms:
//!
//! - [`run`]: runs what is pending. A script that fails or an interrupted run is an `Ok` with
//!   [`RunResult::failed`] set, so that the caller knows what did run; an `Err` means that nothing
//!   was run at all (busy, invalid tree, no Python, damaged state, drift under `strict`).
//!   A request with `dry_run` reads only: no lock, no Python, no write.
//! - [`recheck`]: after an undo, asks `check()` of the given ids and un-records those whose
//!   `check()` no longer holds.
//! - [`end_interrupted`]: makes sure that a script of a killed run is gone. `run` and `recheck` do
//!   that by themselves; an undo that changes files first calls it before.

mod ahead;
mod batch;
pub mod book;
pub mod driver;
pub mod fingerprint;
pub mod id;
pub mod interpreter;
pub mod lint;
mod logs;
pub mod manage;
pub mod new;
pub mod result;
pub mod runner;
pub mod select;
pub mod state;
pub mod status;
pub mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home::Home;
use crate::report::logs::RunLogs;
use crate::sys::process::{Announce, Redactor};
use crate::version::{CommitId, Version};

pub use ahead::ahead;
pub use id::MigrationId;
pub use result::{Event, Failure, RunResult, Stage};
pub use runner::{end_interrupted, readable, recheck, run};

/// How long a run waits for another one that holds the state.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// One run of migrations.
#[derive(Debug)]
pub struct Request<'a> {
    /// Top level of the checkout.
    pub checkout: &'a Path,
    /// HEAD, for the records.
    pub commit: Option<&'a CommitId>,
    /// The state home.
    pub home: &'a Home,
    /// Exactly the versions above this one, where given; else everything not on record above the
    /// baseline.
    pub from: Option<Version>,
    /// Up to and with this version.
    pub to: Version,
    /// What counts as done when no run was ever recorded here and `from` is not given (then this
    /// run begins with it). `None`: everything; the run records the checkout's version and runs
    /// nothing. `apply-update` gives the version that it comes from.
    pub since: Option<Version>,
    /// The version the checkout's files have, recorded as baseline by the first run ever.
    pub installed: Version,
    /// The interpreter that is configured or asked for; `None`: `.venv/bin/python`, else `python3`.
    pub python: Option<PathBuf>,
    /// For each script, `check`, `migrate` and `check` together.
    pub timeout: Duration,
    /// How long to wait for another run ([`LOCK_WAIT`]).
    pub lock_wait: Duration,
    /// Masks secrets in logs and messages.
    pub redactor: &'a Redactor,
    /// Where the output of scripts goes.
    pub logs: &'a RunLogs,
    /// A changed script on record stops the run before it begins.
    pub strict: bool,
    /// Only say what is pending.
    pub dry_run: bool,
}

/// Who is told while a run goes on.
pub struct Watcher<'a> {
    /// What happens, as it happens.
    pub tell: &'a mut dyn FnMut(Event<'_>),
    /// Called with the interpreter's process group before it does anything. When this program is
    /// killed, the interpreter ends the running script and itself.
    pub announce: Option<Announce<'a>>,
}
