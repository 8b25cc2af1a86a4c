//! Performs a plan as a transaction that always ends well: in the new version, healthy, or in the
//! old one, with the reason on record. Chooses nothing: what to install was decided by the signal
//! (or a person) and `plan`.
//!
//! `mod` decides whether to begin, [`drive`] goes through the [`phase`]s, [`steps`] and [`undo`] are
//! the two ways, [`journal`] is what survives a kill, [`recover`] takes it up again, [`finish`] and
//! [`books`] are the end.

mod aside;
mod books;
mod choice;
pub mod commands;
mod drive;
mod fetch;
pub mod finish;
mod head;
pub mod journal;
mod locks;
pub mod outlook;
pub mod phase;
pub mod preflight;
pub mod progress;
mod ready;
mod recover;
mod settle;
pub mod signature;
mod snapshot;
mod steps;
mod stopped;
pub mod transaction;
pub mod tree;
mod undo;
mod whereabouts;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use self::choice::Choice;
use self::commands::Commands;
use self::journal::{HeadPlace, Journal};
use self::phase::Phase;
use self::progress::{Mode, Progress};
use self::transaction::{Rooms, Transaction};
use crate::checkout::Checkout;
use crate::config::Settings;
use crate::failed::{self, FailedTarget};
use crate::hold::Hold;
use crate::home::Home;
use crate::migrate;
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::plan::{self, Patience, Target};
use crate::policy::{self, sessions};
use crate::report::status::{Standing, Status, whole_seconds};
use crate::sys::clock;
use crate::sys::lock::LockGuard;
use crate::sys::process::ProcessMark;
use crate::sys::warning::warn;
use crate::version::CommitId;

/// What a person or the cron runner asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Skip hold, window, idle, stagger, minimum age and turn-taking.
    pub now: bool,
    /// Forget earlier failures.
    pub retry: bool,
    /// A target other than the signal's.
    pub target: Option<Target>,
    /// The target may be older than what is installed.
    pub allow_downgrade: bool,
    /// Leave the restart to the caller.
    pub no_restart: bool,
    /// Where progress is shown.
    pub progress: Option<Mode>,
}

/// What a run works with once its settings are known.
#[derive(Debug)]
pub struct Applier<'a> {
    /// State home.
    pub home: &'a Home,
    /// The checkout.
    pub checkout: &'a Checkout,
    /// Settings.
    pub settings: &'a Settings,
    /// What the transaction works with.
    pub rooms: &'a Rooms<'a>,
}

/// Takes the lock that every run holds from beginning to end.
pub fn lock(home: &Home) -> Result<LockGuard, Halt> {
    LockGuard::acquire(&home.apply_lock(), Duration::ZERO)?.ok_or_else(|| {
        Halt::busy("another apply-update is at work; 'telec update status' shows how far it is")
    })
}

/// Takes up a dead run, if there is one. `None`: there is nothing to take up.
pub fn take_up_dead_run(
    rooms: &Rooms<'_>,
    journal: Option<Journal>,
    request: &Request,
) -> Result<Option<Outcome>, Halt> {
    let Some(journal) = journal else { return Ok(None) };
    if journal.rests() {
        return Ok(None);
    }
    may_be_taken_up(rooms.home, rooms.checkout, &journal, request.retry)?;
    recover::take_up(rooms, journal, request).map(Some)
}

/// Whether this run may end what a dead one left.
fn may_be_taken_up(home: &Home, checkout: &Checkout, journal: &Journal, retry: bool) -> Result<(), Halt> {
    if journal.repo != checkout.top() {
        let repo = journal.repo.display();
        let message = if journal.repo.is_dir() {
            format!("an update of {repo} is not finished; run 'apply-update --repo {repo}' first")
        } else {
            format!(
                "an update of {repo} is not finished, and that is not there any more: if the checkout was moved, \
                 move it back and run 'apply-update --repo {repo}'; if it is gone for good, \
                 remove {}",
                home.journal().path().display()
            )
        };
        return Err(Halt::blocked(Reason::OtherCheckout, message));
    }
    let undecided = journal.verdict.is_none();
    if undecided && journal.undo_failures >= journal.commands.max_attempts && !retry {
        let message = format!(
            "going back to {} failed {} times; see 'telec update status', put it right by hand, then 'apply-update --retry'",
            journal.from, journal.undo_failures
        );
        return Err(Halt::blocked(Reason::RollbackFailed, message));
    }
    Ok(())
}

impl Applier<'_> {
    /// Applies the signal, or what the request names.
    pub fn apply(&self, request: &Request) -> Result<Outcome, Halt> {
        let now = clock::now();
        let target = match self.choose(request)? {
            Choice::Install(target) => target,
            Choice::Nothing { reason, message, stale } => {
                stale.map_or(Ok(()), |signal| signal.withdraw_this(self.home))?;
                return self.nothing(reason, message);
            }
            Choice::Refuse { target, halt, stale } => {
                stale.map_or(Ok(()), |signal| signal.withdraw_this(self.home))?;
                return Err(self.about(&target, halt));
            }
        };
        self.install(&target, request, now).map_err(|halt| self.about(&target, halt))
    }

    fn install(&self, target: &Target, request: &Request, now: Timestamp) -> Result<Outcome, Halt> {
        let failed = failed::lookup(self.home, &target.commit)?;
        self.patience(failed.as_ref(), request, now)?;
        if !request.now {
            self.policy(target, now)?;
        }
        if let Some(stopped) = self.stopped_at(target)? {
            return recover::go_on(self.rooms, stopped, request);
        }
        let attempts = failed.filter(|_| !request.retry).map_or(0, |f| f.attempts);
        if request.retry {
            failed::forget(self.home, &target.commit)?;
        }
        self.begin(target, attempts.saturating_add(1), request, now)
    }

    /// A refusal says what it is about.
    fn about(&self, target: &Target, halt: Halt) -> Halt {
        let installed = self.installed().unwrap_or_default();
        let facts = [
            ("channel", Value::from(target.channel.as_str())),
            ("from", self.label(target, installed.as_ref()).into()),
            ("to", target.version.clone().into()),
            ("from_commit", self.checkout.commit().as_str().into()),
            ("to_commit", target.commit.as_str().into()),
            ("tag", target.tag.clone().into()),
        ];
        facts.into_iter().fold(halt, |halt, (key, value)| halt.with(key, value))
    }

    fn nothing(&self, reason: Reason, message: String) -> Result<Outcome, Halt> {
        let stale = Status::read(self.home)?.is_some_and(|s| {
            matches!(s.status, Standing::Deferred | Standing::Blocked)
                || (s.status.is_under_way() && !s.is_running())
        });
        if stale {
            Status::new(Standing::Idle, message.clone()).because(reason).save(self.home)?;
        }
        Ok(Outcome::new(Exit::Done, "nothing", message).because(reason))
    }

    /// A transaction that stopped at this very target with `rollback: false`.
    fn stopped_at(&self, target: &Target) -> Result<Option<Journal>, Halt> {
        Ok(stopped::here(self.home, self.checkout)?.filter(|j| j.to_commit == target.commit))
    }

    fn patience(&self, failed: Option<&FailedTarget>, request: &Request, now: Timestamp) -> Result<(), Halt> {
        match plan::patience(failed, self.settings.max_attempts, request.retry, now) {
            Patience::Try => Ok(()),
            Patience::GivenUp(message) => Err(Halt::blocked(Reason::GivenUp, message)),
            Patience::BackOff(until, message) => {
                Err(Halt::deferred(Reason::BackingOff, message).with("next_try_at", clock::rfc3339(until)))
            }
        }
    }

    fn policy(&self, target: &Target, now: Timestamp) -> Result<(), Halt> {
        let hold = Hold::read(self.home)?;
        let (policy, computer) = (&self.settings.policy, &self.settings.computer);
        let mut activity = || sessions::probe(&self.settings.database, policy.idle, now);
        match policy::decide(policy, computer, target, hold.as_ref(), now, &mut activity) {
            None => Ok(()),
            Some(deferral) => {
                let until = deferral.until.map(clock::rfc3339);
                Err(Halt::deferred(deferral.reason, deferral.message).with("until", until))
            }
        }
    }

    fn begin(
        &self,
        target: &Target,
        attempt: u32,
        request: &Request,
        now: Timestamp,
    ) -> Result<Outcome, Halt> {
        if self.settings.policy.max_parallel > 0 {
            warn("deployment.max_parallel is not enforced yet; other computers may update at the same time");
        }
        let kept = stopped::put_back(self.rooms)?;
        let journal = Journal { kept, ..self.journal(target, attempt, request, now)? };
        let mut tx = Transaction::new(self.rooms, journal, false, progress_of(request))?;
        tx.enter(Phase::Fetching)?;
        drive::drive(&mut tx)
    }

    /// Everything that could refuse before the remote is asked. Where HEAD is and where it shall be.
    fn may_begin(&self, target: &Target) -> Result<(HeadPlace, HeadPlace), Halt> {
        migrate::readable(self.home)?;
        preflight::before_fetch(self.checkout, self.settings, target)
    }

    /// The first journal.
    fn journal(
        &self,
        target: &Target,
        attempt: u32,
        request: &Request,
        now: Timestamp,
    ) -> Result<Journal, Halt> {
        let (old_head, new_head) = self.may_begin(target)?;
        let version = self.installed()?;
        let from = self.label(target, version.as_ref());
        let own = ProcessMark::own();
        Ok(Journal {
            schema: 1,
            id: attempt_id(now),
            phase: Phase::Fetching,
            undo: None,
            awaiting_caller: false,
            caller_came: false,
            stopped: false,
            verdict: None,
            attempt,
            resumes: 0,
            undo_failures: 0,
            pid: own.pid,
            pid_started: own.started,
            step: None,
            foreign_locks: None,
            repo: self.checkout.top().to_owned(),
            channel: target.channel,
            from,
            to: target.version.clone(),
            from_commit: self.checkout.commit().clone(),
            to_commit: target.commit.clone(),
            tag: target.tag.clone(),
            older: request.allow_downgrade,
            since: version.map(|v| v.release()),
            old_head,
            new_head,
            branch_before: None,
            local_edits: vec![],
            snapshot: vec![],
            migrations: vec![],
            install_begun: false,
            restarts_begun: 0,
            restarts_back: 0,
            kept: vec![],
            kept_commits: None,
            cause: None,
            commands: Commands::of(self.settings, request.no_restart).masked(&self.rooms.redactor),
            started_at: now,
            phase_at: now,
            durations: std::collections::BTreeMap::new(),
            extra: serde_json::Map::new(),
        })
    }
}

/// Writes into the status file why a run did not begin, or how it was refused. What is known of the
/// same target's last attempt stays.
pub fn show_refusal(home: &Home, halt: &Halt) -> Result<(), Halt> {
    let standing = match halt.kind {
        Kind::Deferred | Kind::Unreachable => Standing::Deferred,
        Kind::Blocked => Standing::Blocked,
        Kind::Failed | Kind::RolledBack => Standing::Error,
        Kind::Busy | Kind::Invalid => return Ok(()),
    };
    // A run that broke off keeps the status that says how far it came; one that was asked to stop
    // before it began has found nothing out.
    if standing == Standing::Error && (halt.reason == Reason::Interrupted || home.journal().path().exists()) {
        return Ok(());
    }
    let text = |key: &str| halt.details.get(key).and_then(Value::as_str);
    let at = |key: &str| text(key).and_then(|t| t.parse::<Timestamp>().ok());
    let mut status = Status::new(standing, halt.message.clone()).because(halt.reason);
    status.channel = halt.details.get("channel").and_then(|v| serde_json::from_value(v.clone()).ok());
    status.from = text("from").map(str::to_owned);
    status.to = text("to").map(str::to_owned);
    status.from_commit = text("from_commit").and_then(CommitId::parse);
    status.to_commit = text("to_commit").and_then(CommitId::parse);
    status.next_try_at = at("next_try_at").or_else(|| at("until")).map(whole_seconds);
    if let Some(last) = Status::read(home)?.filter(|last| last.to_commit == status.to_commit) {
        status.attempt = last.attempt;
        status.started_at = last.started_at;
        status.error = last.error;
    }
    status.save(home)
}

fn progress_of(request: &Request) -> Progress {
    Progress::new(request.progress.unwrap_or(Mode::Silent))
}

/// Names an attempt; sorts by time.
fn attempt_id(now: Timestamp) -> String {
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}
