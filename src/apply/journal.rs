//! The transaction in progress (`apply_journal.json`): what was, what is wanted, how far it came.
//! Every change is durable before the side effect it announces, so that a run that finds the
//! journal of a dead one knows what is ours and what is left to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::commands::Commands;
use super::phase::{Phase, UndoStage};
use super::snapshot::SnapshotEntry;
use crate::checked;
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::process::ProcessMark;
use crate::version::{ChannelName, CommitId, Version};

/// A dead run is taken up so often before it counts as one that keeps dying.
const MAX_RESUMES: u32 = 3;

/// Why an update failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `fetch checkout migrate install restart verify`.
    pub step: String,
    /// Reason code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The command, where one failed.
    pub command: Option<String>,
    /// Its exit code, where it had one.
    pub exit: Option<i32>,
    /// Its log.
    pub log: Option<PathBuf>,
    /// Its last lines.
    pub tail: Option<String>,
}

impl Cause {
    /// The reason, where this program knows its code.
    pub fn known_reason(&self) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|r| r.code() == self.reason)
    }
}

/// What an attempt came to. Nothing of the checkout is left to do, only to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The new version is in place and healthy.
    Deployed,
    /// It failed, and the previous version is back.
    Undone,
    /// It failed before anything was changed.
    FailedEarly,
    /// With `rollback: false`: it failed and stays where it is.
    Stopped,
}

/// Where HEAD was or shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadPlace {
    /// The local branch; none: detached.
    pub branch: Option<String>,
    /// The commit HEAD resolves to.
    pub commit: CommitId,
}

/// Commits that somebody made while the update ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCommits {
    /// The newest of them.
    pub commit: CommitId,
    /// The branch that has them.
    pub branch: String,
}

/// `apply_journal.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Always 1.
    pub schema: u64,
    /// Names the attempt, its logs and what was kept aside.
    pub id: String,
    /// How far it came.
    pub phase: Phase,
    /// Where going back stands; none: going forward.
    pub undo: Option<UndoStage>,
    /// The caller was told to restart (exit 42) and the next run verifies.
    pub awaiting_caller: bool,
    /// A later run has begun to verify what the caller restarted.
    #[serde(default)]
    pub caller_came: bool,
    /// With `rollback: false`: stopped where it failed; a later run goes on from there.
    pub stopped: bool,
    /// What it came to, from before that is written down until after.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Which try at this target this is, from 1.
    pub attempt: u32,
    /// How often a dead run of this transaction was taken up.
    pub resumes: u32,
    /// How often a way back failed.
    pub undo_failures: u32,
    /// Process id of the program.
    pub pid: u32,
    /// Its start time.
    pub pid_started: String,
    /// The running step's process group, from before it begins until after it ended.
    pub step: Option<ProcessMark>,
    /// While a git command of ours changes something, and after one that was ended, until what it left
    /// locked is removed: the lock files that were there before it began.
    #[serde(default)]
    pub foreign_locks: Option<Vec<String>>,
    /// The checkout.
    #[serde(deserialize_with = "checked::absolute")]
    pub repo: PathBuf,
    /// Channel.
    pub channel: ChannelName,
    /// Version before.
    pub from: String,
    /// Version wanted.
    pub to: String,
    /// Commit before.
    pub from_commit: CommitId,
    /// Commit wanted.
    pub to_commit: CommitId,
    /// Tag wanted, on beta and stable.
    #[serde(default, deserialize_with = "checked::tag")]
    pub tag: Option<String>,
    /// A person allowed the target to be older than what was installed.
    #[serde(default)]
    pub older: bool,
    /// The project's version before, from which a first run of migrations counts.
    pub since: Option<Version>,
    /// Where HEAD was.
    pub old_head: HeadPlace,
    /// Where HEAD shall be.
    pub new_head: HeadPlace,
    /// Where the branch of `new_head` was before, when it is not the one HEAD was on.
    pub branch_before: Option<CommitId>,
    /// Paths with local edits before, which the update does not touch.
    pub local_edits: Vec<String>,
    /// Copies made before migrations.
    pub snapshot: Vec<SnapshotEntry>,
    /// Migrations that were pending when this attempt began to run them.
    pub migrations: Vec<String>,
    /// The install command had begun.
    pub install_begun: bool,
    /// How often the restart command had begun.
    pub restarts_begun: u32,
    /// The same on the way back.
    pub restarts_back: u32,
    /// What others put or changed where the update worked, beside its old place.
    pub kept: Vec<PathBuf>,
    /// Where commits are that somebody made upon the new version before it was undone: a branch.
    #[serde(default)]
    pub kept_commits: Option<KeptCommits>,
    /// Why it goes back, or stopped.
    pub cause: Option<Cause>,
    /// Commands and limits.
    pub commands: Commands,
    /// When the attempt began (UTC).
    pub started_at: Timestamp,
    /// When the current phase began (UTC).
    pub phase_at: Timestamp,
    /// Milliseconds spent in each phase.
    pub durations: BTreeMap<String, u64>,
    /// Keys of newer programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Journal {
    /// The journal of a transaction in progress, if there is one.
    pub fn read(home: &Home) -> Result<Option<Self>, Halt> {
        home.journal().read()
    }

    /// Makes it durable.
    pub fn save(&self, home: &Home) -> Result<(), Halt> {
        home.journal().lock()?.write(self)
    }

    /// The transaction is over.
    pub fn remove(home: &Home) -> Result<(), Halt> {
        home.journal().lock()?.remove()
    }

    /// Whether the program that wrote it is still there (it cannot be, while we hold the lock;
    /// readers without the lock ask).
    pub fn owner(&self) -> ProcessMark {
        ProcessMark { pid: self.pid, started: self.pid_started.clone() }
    }

    /// Takes it over for this process.
    pub fn take_over(&mut self) {
        let own = ProcessMark::own();
        self.pid = own.pid;
        self.pid_started = own.started;
    }

    /// Whether it stopped where it failed, and that is written down: no run takes it up by itself.
    pub fn rests(&self) -> bool {
        self.stopped && self.verdict.is_none()
    }

    /// Closes the books on the current phase and begins another.
    pub fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.book(self.phase.as_str(), now);
        self.phase = phase;
    }

    /// The same for a stage of going back; all of them count as `undoing`.
    pub fn enter_undo(&mut self, stage: UndoStage, now: Timestamp) {
        self.book_now(now);
        self.undo = Some(stage);
    }

    /// What names of things end in that are kept because somebody changed them meanwhile.
    pub fn keep_name(&self) -> String {
        format!("kept-{}", self.id)
    }

    /// Notes that something is moved aside; what was kept in it goes along.
    pub fn moves_aside(&mut self, from: &Path, to: &Path) {
        for kept in &mut self.kept {
            if let Ok(inside) = kept.strip_prefix(from) {
                *kept = to.join(inside);
            }
        }
        self.keeps(to.to_owned());
    }

    /// Notes what was kept, once.
    pub fn keeps(&mut self, path: PathBuf) {
        if !self.kept.contains(&path) {
            self.kept.push(path);
        }
    }

    /// Whether it was taken up so often that a transaction which goes forward turns back, and one that
    /// goes back waits for nothing any more.
    pub fn keeps_dying(&self) -> bool {
        self.resumes > MAX_RESUMES
    }

    /// The next run begins the failed stage of going back anew. A daemon that did not pass its check
    /// is not asked again as it is, but restarted: a kill may have ended it together with its step.
    pub fn begin_stage_anew(&mut self) {
        self.restarts_back = 0;
        if self.undo == Some(UndoStage::Verify) {
            self.undo = Some(UndoStage::Restart);
        }
    }

    /// Adds the time since `phase_at` to the account of what it goes through now.
    pub fn book_now(&mut self, now: Timestamp) {
        let spent_in = if self.undo.is_some() { "undoing" } else { self.phase.as_str() };
        self.book(spent_in, now);
    }

    /// Adds the time since `phase_at` to a phase's account.
    fn book(&mut self, name: &str, now: Timestamp) {
        let spent = now.as_millisecond().saturating_sub(self.phase_at.as_millisecond());
        let account = self.durations.entry(name.to_owned()).or_default();
        *account = account.saturating_add(u64::try_from(spent).unwrap_or(0));
        self.phase_at = now;
    }
}
