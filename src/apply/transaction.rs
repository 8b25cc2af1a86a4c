//! A transaction at work: the journal, the status that mirrors it, the step logs, and the one way
//! in which steps are run. Performs; chooses nothing.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands::Commands;
use super::journal::{Cause, Journal};
use super::locks;
use super::phase::{Phase, UndoStage};
use super::progress::Progress;
use super::signature::Signatures;
use super::tree::{self, Change};
use crate::checkout::Checkout;
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::report::logs::RunLogs;
use crate::report::status::{Standing, Status, StepError, whole_seconds};
use crate::sys::clock;
use crate::sys::git::{Git, complaint, interrupted, was_locked_out, was_overtaken};
use crate::sys::process::{End, Finished, Invocation, MASK, ProcessMark, Redactor, StepLog, StopsNoted};
use crate::version::CommitId;

/// How long a person's git may have something locked.
const OTHERS: Duration = Duration::from_secs(5);
/// Between two tries to get past it.
const PAUSE: Duration = Duration::from_millis(100);

/// What a transaction works with.
#[derive(Debug)]
pub struct Rooms<'a> {
    /// State home.
    pub home: &'a Home,
    /// The checkout as it was when this run began.
    pub checkout: &'a Checkout,
    /// git for talking to the remote.
    pub network: Git,
    /// alpha: the commits seen on the remote's branch before.
    pub seen: Vec<CommitId>,
    /// Name of the remote.
    pub remote: String,
    /// The branch alpha follows.
    pub branch: String,
    /// Which signatures are required.
    pub signatures: Signatures,
    /// The commands as they are configured now, with the secrets that the journal has none of; `None`
    /// where the configuration cannot be read.
    pub commands: Option<Commands>,
    /// Masks secrets.
    pub redactor: Redactor,
}

/// Why a phase did not pass.
#[derive(Debug)]
pub enum Stop {
    /// Nothing was changed; the run ends with this.
    Refused(Halt),
    /// The attempt failed.
    Failed(Box<Cause>),
    /// This program cannot go on (a signal, a full disk); the journal stays for the next run.
    Broken(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Broken(halt)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error.into())
    }
}

/// A transaction at work.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// What it works with.
    pub rooms: &'a Rooms<'a>,
    /// Where it stands.
    pub journal: Journal,
    /// A dead run's journal was taken up: what was begun may be half done.
    pub resumed: bool,
    changes: Option<Vec<Change>>,
    logs: RunLogs,
    progress: Progress,
    /// Output of processes that steps left in the background; kept open until this program ends,
    /// so that a daemon which writes there while it starts does not fail.
    left_writers: Vec<Arc<std::fs::File>>,
    /// A stop that comes between two steps is told by the next one; after the last, it comes late.
    _stops: StopsNoted,
}

impl<'a> Transaction<'a> {
    /// A transaction for this journal; nothing is written yet.
    pub fn new(
        rooms: &'a Rooms<'a>,
        journal: Journal,
        resumed: bool,
        progress: Progress,
    ) -> Result<Self, Halt> {
        let logs = RunLogs::create(rooms.home, clock::now(), "apply-update")?;
        Ok(Self {
            rooms,
            journal,
            resumed,
            changes: None,
            logs,
            progress,
            left_writers: Vec::new(),
            _stops: StopsNoted::begin()?,
        })
    }

    /// Makes the journal durable.
    pub fn save(&self) -> Result<(), Halt> {
        self.journal.save(self.rooms.home)
    }

    /// Enters a phase: journal first, then status.
    pub fn enter(&mut self, phase: Phase) -> Result<(), Halt> {
        self.journal.enter(phase, clock::now());
        self.journal.step = None;
        self.save()?;
        self.progress.phase(phase.step());
        self.show(standing(phase), format!("{}: {} → {}", phase.as_str(), self.journal.from, self.journal.to))
    }

    /// Enters a stage of going back.
    pub fn enter_undo(&mut self, stage: UndoStage) -> Result<(), Halt> {
        self.journal.enter_undo(stage, clock::now());
        self.journal.step = None;
        self.save()?;
        self.progress.phase(stage.as_str());
        self.show(undo_standing(stage), format!("going back to {}: {}", self.journal.from, stage.as_str()))
    }

    /// Mirrors the journal into the status file.
    pub fn show(&self, standing: Standing, message: String) -> Result<(), Halt> {
        self.status(standing, message).save(self.rooms.home)
    }

    /// The status of this transaction.
    pub fn status(&self, standing: Standing, message: String) -> Status {
        let j = &self.journal;
        let mut status = Status::new(standing, message).owned_by(&j.owner());
        status.channel = Some(j.channel);
        status.from = Some(j.from.clone());
        status.to = Some(j.to.clone());
        status.from_commit = Some(j.from_commit.clone());
        status.to_commit = Some(j.to_commit.clone());
        status.attempt = Some(j.attempt);
        status.started_at = Some(whole_seconds(j.started_at));
        status.reason = j.cause.as_ref().map(|c| c.reason.clone());
        status.error = j.cause.as_ref().map(step_error);
        status
    }

    /// The progress display.
    pub fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// Where this run's logs go.
    pub fn logs(&self) -> &RunLogs {
        &self.logs
    }

    /// The checkout's top level.
    pub fn top(&self) -> &Path {
        self.rooms.checkout.top()
    }

    /// The deadline of a phase.
    pub fn deadline(&self, phase: Phase) -> Duration {
        self.journal.commands.deadline(phase)
    }

    /// A command line of the journal as it is to be run; where it has a masked secret, the one that
    /// is configured now. `None`: that is not known.
    fn unmasked<'b>(&'b self, argv: &'b [String]) -> Option<&'b [String]> {
        if !argv.iter().any(|word| word.contains(MASK)) {
            return Some(argv);
        }
        let now = self.rooms.commands.as_ref()?;
        self.journal.commands.counterpart(argv, now).map(Vec::as_slice)
    }

    /// Runs one of the checkout's own commands, on record before it begins.
    pub fn run_command(&mut self, step: &str, argv: &[String], deadline: Duration) -> Result<Finished, Stop> {
        let Some(argv) = self.unmasked(argv) else {
            let what = format!(
                "'{}' holds a secret that is not known now; mend the configuration, the next run takes it up",
                argv.join(" ")
            );
            return Err(failed_plainly(self.journal.phase, what));
        };
        let command = Invocation::new(argv, self.top()).deadline(deadline);
        self.run_on_record(step, &command)
    }

    /// Runs a git command that changes something, on record before it begins. It must succeed.
    pub fn run_git(&mut self, phase: Phase, arguments: &[OsString]) -> Result<(), Stop> {
        let command = self.rooms.checkout.git().command(arguments).deadline(self.deadline(phase));
        let finished = patiently(|| self.run_git_on_record(phase.step(), &command), was_locked_out)?;
        if finished.end.success() {
            return Ok(());
        }
        if was_locked_out(&finished) {
            return Err(self.waits(still_locked(&finished)));
        }
        if was_overtaken(&finished) {
            return Err(self.waits(overtaken(&finished)));
        }
        Err(self.failed(phase, &git_words(arguments), &finished))
    }

    /// Runs a git command on record, whatever its exit code. Should it be ended, by us or with us, the
    /// journal has what was locked before: the rest is what it left.
    pub fn run_git_on_record(&mut self, step: &str, command: &Invocation) -> Result<Finished, Stop> {
        self.remove_left_locks()?;
        self.journal.foreign_locks = Some(locks::present(self.rooms.checkout));
        let finished = self.run_on_record(step, command)?;
        if matches!(finished.end, End::Exit(_)) {
            self.journal.foreign_locks = None;
        }
        Ok(finished)
    }

    /// Removes what a git of ours that was ended left locked.
    pub fn remove_left_locks(&mut self) -> Result<(), Stop> {
        if let Some(before) = &self.journal.foreign_locks {
            locks::remove_left(self.rooms.checkout, before)?;
            self.journal.foreign_locks = None;
        }
        Ok(())
    }

    /// Runs a command into the step's log with its process group in the journal.
    fn run_on_record(&mut self, step: &str, command: &Invocation) -> Result<Finished, Stop> {
        let mut log = StepLog::create(&self.logs.step(step), &self.rooms.redactor)?;
        let (journal, home, progress) = (&mut self.journal, self.rooms.home, &mut self.progress);
        let mut announce = |mark: &ProcessMark| {
            journal.step = Some(mark.clone());
            Ok(journal.save(home)?)
        };
        let mut tick = |elapsed, line: &str| progress.tick(elapsed, line);
        let finished = command.logged(&mut log, Some(&mut announce), &mut tick)?;
        self.journal.step = None;
        let finished = not_interrupted(step, finished)?;
        self.left_writers.extend(finished.left_writer.clone());
        Ok(finished)
    }

    /// The end of a run that waits for a person. That is not dying: the next run goes on in the
    /// direction this one had, however often it is asked before they are done.
    pub fn waits(&mut self, halt: Halt) -> Stop {
        self.journal.resumes = 0;
        match self.save() {
            Ok(()) => Stop::Broken(halt),
            Err(unsaved) => Stop::Broken(unsaved),
        }
    }

    /// The failure of a command in a phase.
    pub fn failed(&self, phase: Phase, command: &str, finished: &Finished) -> Stop {
        let line = if command.starts_with("git ") {
            Some(complaint(&finished.tail))
        } else {
            telling_line(&finished.tail)
        };
        let said = line.map(|l| format!(": {l}")).unwrap_or_default();
        Stop::Failed(Box::new(Cause {
            command: Some(command.to_owned()),
            exit: finished.end.code(),
            log: Some(self.logs.step(phase.step())),
            tail: Some(finished.tail.clone()),
            ..plain_cause(
                phase,
                format!("{} failed, '{command}' ended with {}{said}", phase.step(), finished.end),
            )
        }))
    }

    /// The files that differ between the two versions.
    pub fn changes(&mut self) -> Result<&[Change], Stop> {
        if self.changes.is_none() {
            let j = &self.journal;
            self.changes = Some(tree::changes(self.rooms.checkout, &j.from_commit, &j.to_commit)?);
        }
        Ok(self.changes.as_deref().unwrap_or_default())
    }

    /// What the preflight found the files to be that differ.
    pub fn know(&mut self, changes: Vec<Change>) {
        self.changes = Some(changes);
    }
}

/// Repeats a git command as long as another git is in its way, for a while.
pub fn patiently(
    mut run: impl FnMut() -> Result<Finished, Stop>,
    is_in_the_way: impl Fn(&Finished) -> bool,
) -> Result<Finished, Stop> {
    let until = Instant::now() + OTHERS;
    loop {
        let finished = run()?;
        if !is_in_the_way(&finished) || Instant::now() >= until {
            return Ok(finished);
        }
        std::thread::sleep(PAUSE);
    }
}

fn still_locked(finished: &Finished) -> Halt {
    let said = complaint(&finished.tail);
    let message = format!(
        "another git is at work in the checkout ({said}): if none runs, remove that lock file; the next run goes on"
    );
    Halt::blocked(Reason::IndexLocked, message)
}

fn overtaken(finished: &Finished) -> Halt {
    let said = complaint(&finished.tail);
    let message = format!("a commit was made while the update ran ({said}); the next run goes on from there");
    Halt::failed(Reason::LocalCommits, message)
}

/// A cause without a command.
pub fn plain_cause(phase: Phase, message: String) -> Cause {
    Cause {
        step: phase.step().to_owned(),
        reason: phase.failure().code().to_owned(),
        message,
        command: None,
        exit: None,
        log: None,
        tail: None,
    }
}

/// The failure of a phase without a command.
pub fn failed_plainly(phase: Phase, message: String) -> Stop {
    Stop::Failed(Box::new(plain_cause(phase, message)))
}

/// As the status file has it.
pub fn step_error(cause: &Cause) -> StepError {
    StepError {
        step: cause.step.clone(),
        command: cause.command.clone(),
        exit: cause.exit,
        log: cause.log.clone(),
        tail: cause.tail.clone(),
    }
}

/// The last line that tells something; make's own closing line repeats only that it failed.
fn telling_line(tail: &str) -> Option<&str> {
    let of_make = |line: &&str| line.starts_with("make") && line.contains("***");
    tail.lines().rev().find(|line| !of_make(line)).or_else(|| tail.lines().last())
}

/// A git command as people would type it.
pub fn git_words(arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    format!("git {}", words.join(" "))
}

/// A command that was ended by a stop of ours says nothing about what it was for.
pub fn not_interrupted(step: &str, finished: Finished) -> Result<Finished, Stop> {
    match finished.end {
        End::Interrupted(number) => Err(Stop::Broken(interrupted(number, step))),
        _ => Ok(finished),
    }
}

fn standing(phase: Phase) -> Standing {
    match phase {
        Phase::Fetching | Phase::CheckingOut => Standing::Deploying,
        Phase::Migrating => Standing::Migrating,
        Phase::Installing => Standing::Installing,
        Phase::Restarting => Standing::Restarting,
        Phase::Verifying => Standing::Verifying,
    }
}

fn undo_standing(stage: UndoStage) -> Standing {
    match stage {
        UndoStage::Snapshot | UndoStage::Checkout => Standing::Deploying,
        UndoStage::Migrations => Standing::Migrating,
        UndoStage::Install => Standing::Installing,
        UndoStage::Restart => Standing::Restarting,
        UndoStage::Verify => Standing::Verifying,
    }
}
