//! The commands and limits that a transaction keeps to, from its beginning to its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::phase::Phase;
use crate::config::{Restart, Settings};
use crate::sys::process::Redactor;

/// Seconds; nothing that is configured comes near.
const LONGEST_DEADLINE: u64 = 365 * 24 * 60 * 60;

/// The commands and limits of this transaction. Kept here because the configuration file itself
/// may be what an update breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// Install command; empty: none.
    pub install: Vec<String>,
    /// Restart command; `None`: the caller restarts when it sees exit code 42.
    pub restart: Option<Vec<String>>,
    /// Health command; empty: none.
    pub health: Vec<String>,
    /// Configured interpreter.
    pub python: Option<PathBuf>,
    /// Files copied before migrations, as configured.
    pub snapshot: Vec<PathBuf>,
    /// Whether a failed update goes back.
    pub rollback: bool,
    /// Attempts before a target is given up.
    pub max_attempts: u32,
    /// Deadlines in seconds, by step.
    pub deadlines: BTreeMap<String, u64>,
}

impl Commands {
    /// The commands of these settings; `no_restart` leaves the restart to the caller.
    pub fn of(settings: &Settings, no_restart: bool) -> Self {
        let t = &settings.timeouts;
        let deadlines = [
            (Phase::Fetching, t.fetch),
            (Phase::CheckingOut, t.checkout),
            (Phase::Migrating, t.migrate),
            (Phase::Installing, t.install),
            (Phase::Restarting, t.restart),
            (Phase::Verifying, t.health),
        ];
        Self {
            install: settings.install.clone(),
            restart: match &settings.restart {
                Restart::Command(argv) if !no_restart => Some(argv.clone()),
                _ => None,
            },
            health: settings.health.clone(),
            python: settings.python.clone(),
            snapshot: settings.snapshot.clone(),
            rollback: settings.rollback,
            max_attempts: settings.max_attempts,
            deadlines: deadlines.map(|(phase, d)| (phase.step().to_owned(), d.as_secs())).into(),
        }
    }

    /// Without secrets: no file may hold one. What a masked word stands for is known to the run
    /// that has the settings.
    #[must_use]
    pub fn masked(mut self, redactor: &Redactor) -> Self {
        let words = [Some(&mut self.install), self.restart.as_mut(), Some(&mut self.health)];
        for word in words.into_iter().flatten().flatten() {
            *word = redactor.clean(word);
        }
        self
    }

    /// The command line of `now` that is for what `line` of these is for.
    pub fn counterpart<'a>(&self, line: &[String], now: &'a Self) -> Option<&'a Vec<String>> {
        let pairs = [
            (Some(&self.install), Some(&now.install)),
            (self.restart.as_ref(), now.restart.as_ref()),
            (Some(&self.health), Some(&now.health)),
        ];
        let same = pairs.into_iter().find(|(own, _)| own.is_some_and(|own| own == line))?;
        same.1.filter(|line| !line.is_empty())
    }

    /// The deadline of a phase.
    pub fn deadline(&self, phase: Phase) -> Duration {
        // A file can say any number; a time that far away cannot be counted with.
        let seconds = self.deadlines.get(phase.step()).copied().unwrap_or(60).min(LONGEST_DEADLINE);
        Duration::from_secs(seconds)
    }
}
