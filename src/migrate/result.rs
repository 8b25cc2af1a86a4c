//! What a run of migrations has to tell: the contract's JSON, one sentence for people, and the
//! events while it goes on. Decides nothing.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::MigrationId;
use crate::outcome::{Exit, Outcome, Reason};
use crate::version::Version;

/// Where a script failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading and importing it.
    Import,
    /// `check()` before.
    Check,
    /// `migrate()`.
    Migrate,
    /// `check()` afterwards.
    Verify,
    /// Its time was over.
    Timeout,
}

/// The script that stopped a run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which one.
    pub id: MigrationId,
    /// Where.
    pub stage: Stage,
    /// What happened, with file and line of the script where they are known.
    pub error: String,
    /// What it printed.
    pub log: PathBuf,
    /// `migration_failed`; or `interrupted` (the run was asked to stop) or `io_error` (its record
    /// could not be kept), for which the script is not to blame.
    pub reason: Reason,
}

/// How a run of migrations ended.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// Above this version, where the run was asked so.
    pub from: Option<Version>,
    /// Up to this version.
    pub to: Version,
    /// Run now, in order.
    pub ran: Vec<MigrationId>,
    /// In range and no run needed: on record before, or `check()` was true at once.
    pub skipped: Vec<MigrationId>,
    /// Not run (yet): all in a dry run, else the failed one and those behind it.
    pub pending: Vec<MigrationId>,
    /// Of those found pending: added to a version that was installed already.
    pub late: Vec<MigrationId>,
    /// On record, and changed since.
    pub drift: Vec<MigrationId>,
    /// On record, and no longer in the checkout.
    pub missing: Vec<String>,
    /// This was the first run ever: what now counts as done.
    pub first_baseline: Option<Version>,
    /// It was, and nothing was run because nothing said where this computer comes from.
    pub adopted: bool,
    /// What stopped it.
    pub failed: Option<Failure>,
    /// Nothing was run or written.
    pub dry_run: bool,
}

/// What happens during a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A script begins.
    Begins {
        /// Which one.
        id: &'a MigrationId,
        /// Its place in this run, from 1.
        nth: usize,
        /// Scripts in this run.
        of: usize,
    },
    /// It is still running; about ten times a second.
    Goes {
        /// Which one.
        id: &'a MigrationId,
        /// For how long.
        elapsed: Duration,
        /// The last line it printed.
        line: &'a str,
    },
    /// It is on record.
    Done {
        /// Which one.
        id: &'a MigrationId,
        /// `applied`, `already_applied` or `recovered`.
        status: &'a str,
        /// How long it took.
        elapsed: Duration,
    },
}

impl RunResult {
    /// The result for people and programs.
    pub fn outcome(&self) -> Outcome {
        let (exit, word, reason, message) = self.verdict();
        let mut outcome = Outcome::new(exit, word, message);
        outcome.reason = reason;
        outcome.body = self.body();
        outcome.lines = self.lines();
        outcome
    }

    /// The contract's keys behind `message`.
    pub fn body(&self) -> Map<String, Value> {
        let ids = |ids: &[MigrationId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let failed = self
            .failed
            .as_ref()
            .map(|f| json!({"id": f.id.to_string(), "stage": f.stage, "error": f.error, "log": f.log}));
        let value = json!({
            "from": self.from, "to": self.to,
            "ran": ids(&self.ran), "skipped": ids(&self.skipped), "pending": ids(&self.pending),
            "late": ids(&self.late), "drift": ids(&self.drift), "missing": self.missing,
            "failed": failed,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn verdict(&self) -> (Exit, &'static str, Option<Reason>, String) {
        if let Some(failure) = &self.failed {
            return (Exit::Failed, "failed", Some(failure.reason), self.failure_sentence(failure));
        }
        if self.dry_run && !self.pending.is_empty() {
            let message = format!("{} pending up to {}", count(self.pending.len()), self.to);
            return (Exit::Done, "planned", None, message);
        }
        if let Some(baseline) = &self.first_baseline
            && self.adopted
        {
            let message = format!(
                "first run: {baseline} is recorded as baseline; migrations of later versions will run, earlier ones count as done"
            );
            return (Exit::Done, "nothing", Some(Reason::Baseline), message);
        }
        if self.ran.is_empty() {
            return (Exit::Done, "nothing", None, format!("no migrations to run up to {}", self.to));
        }
        (Exit::Done, "ok", None, format!("{} run, up to {}", count(self.ran.len()), self.to))
    }

    fn failure_sentence(&self, failure: &Failure) -> String {
        let stage = match failure.stage {
            Stage::Import => "could not be imported",
            Stage::Check => "failed in check()",
            Stage::Migrate => "failed in migrate()",
            Stage::Verify => "is not in effect after migrate()",
            Stage::Timeout => "took too long",
        };
        let (what, next) = match failure.reason {
            Reason::MigrationFailed => (stage, "repair it and run it again: it resumes there"),
            Reason::Interrupted => ("was interrupted", "run it again to go on"),
            _ if failure.stage == Stage::Verify => ("cannot be recorded", "put that right and run it again"),
            _ => ("was not run", "put that right and run it again"),
        };
        let done = if self.ran.is_empty() {
            String::new()
        } else {
            format!(" ({} before it)", count(self.ran.len()))
        };
        format!("{} {what}: {}{done}; {next}; log: {}", failure.id, failure.error, failure.log.display())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut list = |word: &str, ids: &[MigrationId]| {
            lines.extend(ids.iter().map(|id| format!("  {word:<8} {id}")));
        };
        list("ran", &self.ran);
        list("pending", &self.pending);
        list("late", &self.late);
        list("drift", &self.drift);
        lines.extend(self.missing.iter().map(|id| format!("  {:<8} {id}", "missing")));
        lines
    }
}

/// `1 migration`, `3 migrations`.
pub(super) fn count(n: usize) -> String {
    if n == 1 { "1 migration".to_owned() } else { format!("{n} migrations") }
}
