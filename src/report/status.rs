//! `deploy_status.json`: where the deployment stands now, for people and other programs. Owns the
//! shape and how it is saved; decides nothing about the update itself.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::clock;
use crate::sys::process::ProcessMark;
use crate::sys::store::SCHEMA;
use crate::version::{ChannelName, CommitId};

/// The one word that says where the deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing to do.
    Idle,
    /// Policy says later.
    Deferred,
    /// A person must decide.
    Blocked,
    /// Fetching and checking out.
    Deploying,
    /// Running migrations.
    Migrating,
    /// Running the install command.
    Installing,
    /// Restarting the daemon; also: waiting for the caller to restart it.
    Restarting,
    /// Asking whether the daemon is healthy.
    Verifying,
    /// The update is in place.
    Deployed,
    /// It failed and the previous version is back.
    RolledBack,
    /// It failed.
    Error,
}

impl Standing {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Deferred => "deferred",
            Self::Blocked => "blocked",
            Self::Deploying => "deploying",
            Self::Migrating => "migrating",
            Self::Installing => "installing",
            Self::Restarting => "restarting",
            Self::Verifying => "verifying",
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled_back",
            Self::Error => "error",
        }
    }

    /// Whether a run is (or was, when it died) in the middle of its work.
    pub fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Deploying | Self::Migrating | Self::Installing | Self::Restarting | Self::Verifying
        )
    }
}

/// The step that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    /// The phase or step.
    pub step: String,
    /// The command as people read it.
    #[serde(default)]
    pub command: Option<String>,
    /// Its exit code, where it has one.
    #[serde(default)]
    pub exit: Option<i32>,
    /// Where its output is, absolute.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// The last lines of its output, without secrets.
    #[serde(default)]
    pub tail: Option<String>,
}

/// `deploy_status.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Always 1.
    #[serde(default = "schema")]
    pub schema: u64,
    /// Where the deployment stands.
    pub status: Standing,
    /// Channel of the target.
    #[serde(default)]
    pub channel: Option<ChannelName>,
    /// Version before; on alpha the first 12 digits of the commit.
    #[serde(default)]
    pub from: Option<String>,
    /// Version wanted.
    #[serde(default)]
    pub to: Option<String>,
    /// Commit before.
    #[serde(default)]
    pub from_commit: Option<CommitId>,
    /// Commit wanted.
    #[serde(default)]
    pub to_commit: Option<CommitId>,
    /// Which try of this target it is, from 1.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// The program at work; null when its run has ended in order. A pid of a process that is gone
    /// therefore means that a run died.
    #[serde(default)]
    pub pid: Option<u32>,
    /// When that program began, in the platform's notation: numbers of processes are reused.
    #[serde(default)]
    pub pid_started: Option<String>,
    /// When the attempt began (UTC).
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When this was written (UTC); set by `save`.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// The same in Unix seconds; set by `save`.
    #[serde(default)]
    pub timestamp: f64,
    /// Stable code.
    #[serde(default)]
    pub reason: Option<String>,
    /// One sentence.
    #[serde(default)]
    pub message: String,
    /// The step that failed.
    #[serde(default)]
    pub error: Option<StepError>,
    /// When it is tried again (UTC).
    #[serde(default)]
    pub next_try_at: Option<Timestamp>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn schema() -> u64 {
    SCHEMA
}

impl Status {
    /// A status with its sentence and nothing else.
    pub fn new(status: Standing, message: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            status,
            channel: None,
            from: None,
            to: None,
            from_commit: None,
            to_commit: None,
            attempt: None,
            pid: None,
            pid_started: None,
            started_at: None,
            updated_at: None,
            timestamp: 0.0,
            reason: None,
            message: message.into(),
            error: None,
            next_try_at: None,
            extra: Map::new(),
        }
    }

    /// Moves on: another word and sentence about the same attempt.
    #[must_use]
    pub fn step(mut self, status: Standing, message: impl Into<String>) -> Self {
        self.status = status;
        self.message = message.into();
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason.code().to_owned());
        self
    }

    /// The program at work.
    #[must_use]
    pub fn owned_by(mut self, program: &ProcessMark) -> Self {
        self.pid = Some(program.pid);
        self.pid_started = Some(program.started.clone());
        self
    }

    /// No program is at work any more: its run ended in order.
    #[must_use]
    pub fn ended(mut self) -> Self {
        self.pid = None;
        self.pid_started = None;
        self
    }

    /// Reads it without the lock. `None`: there is none, or it cannot be read and will be rebuilt.
    pub fn read(home: &Home) -> Result<Option<Self>, Halt> {
        home.status().read()
    }

    /// Saves it with the present time; keys of other programs in the file stay.
    pub fn save(&self, home: &Home) -> Result<(), Halt> {
        let file = home.status();
        let locked = file.lock()?;
        let before: Option<Self> = locked.read()?;
        let mut now = self.clone();
        now.stamp(clock::now());
        for (key, value) in before.map(|old| old.extra).unwrap_or_default() {
            now.extra.entry(key).or_insert(value);
        }
        locked.write(&now)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in a float")]
    fn stamp(&mut self, now: Timestamp) {
        self.updated_at = Some(whole_seconds(now));
        self.timestamp = now.as_millisecond() as f64 / 1000.0;
    }

    /// Whether the program that wrote it is still at work.
    pub fn is_running(&self) -> bool {
        let Some(pid) = self.pid else { return false };
        let mark = ProcessMark { pid, started: self.pid_started.clone().unwrap_or_default() };
        // Where the start time could not be told, a process of that number has to do.
        mark.is_alive() || (mark.started.is_empty() && mark.is_reused())
    }

    /// Whether a run died in the middle: it is said to be under way, and its program is gone.
    pub fn died(&self) -> bool {
        self.status.is_under_way() && self.pid.is_some() && !self.is_running()
    }
}

/// Times in our files have no fractions of a second.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::env::Environment;
    use crate::sys::store::replace;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(&Environment::from_pairs([("TELECLAUDE_HOME", dir.path())])).unwrap();
        (dir, home)
    }

    #[test]
    fn saving_keeps_foreign_keys_and_sets_both_times_alike() {
        let (_dir, home) = home();
        let before = br#"{"schema": 1, "status": "idle", "message": "", "foreign": {"a": 1}, "to": "0.9.0"}"#;
        replace(home.status().path(), before, 0o600, false).unwrap();
        Status::new(Standing::Migrating, "migrating").owned_by(&ProcessMark::own()).save(&home).unwrap();
        let saved = Status::read(&home).unwrap().unwrap();
        assert_eq!(saved.extra["foreign"]["a"], 1);
        assert_eq!((saved.status, saved.to.as_deref()), (Standing::Migrating, None));
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let seconds = saved.updated_at.unwrap().as_second() as f64;
        assert!((0.0..1.0).contains(&(saved.timestamp - seconds)), "{saved:?}");
        assert!(saved.is_running() && !saved.died());
    }

    #[test]
    fn a_damaged_status_is_moved_aside_by_the_writer_only() {
        let (dir, home) = home();
        replace(home.status().path(), b"{ torn", 0o600, false).unwrap();
        assert_eq!(Status::read(&home).unwrap(), None);
        assert!(!dir.path().join("deploy_status.json.damaged").exists());
        Status::new(Standing::Idle, "nothing to do").save(&home).unwrap();
        assert_eq!(std::fs::read(dir.path().join("deploy_status.json.damaged")).unwrap(), b"{ torn");
        assert_eq!(Status::read(&home).unwrap().unwrap().message, "nothing to do");
    }

    #[test]
    fn a_run_that_ended_in_order_did_not_die() {
        let gone = ProcessMark { pid: std::process::id(), started: "at another time".to_owned() };
        let status = Status::new(Standing::Restarting, "").owned_by(&gone);
        assert!(status.died());
        assert!(!status.clone().step(Standing::Deployed, "").died());
        assert!(!status.ended().died());
    }
}
