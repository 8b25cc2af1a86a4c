//! `--plan`: what an update would do and what stands against it, by the rules of the update itself.
//! Fetches objects; changes no file, no index, no ref and no state, takes no lock, begins nothing.

use serde_json::{Value, json};

use super::choice::{Choice, target_of};
use super::fetch::{Fetch, Runner};
use super::journal::Journal;
use super::phase::Phase;
use super::transaction::{Stop, failed_plainly, not_interrupted};
use super::tree::{self, Change};
use super::{Applier, Request, head, may_be_taken_up, preflight, ready, steps};
use crate::failed;
use crate::migrate::{self, MigrationId};
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::plan::Target;
use crate::project::Project;
use crate::sys::clock;
use crate::sys::process::{Finished, Invocation, Redactor};
use crate::version::CommitId;

/// Lines shown to people of each list.
const SHOWN: usize = 20;

/// What an update would do, and what stands against it.
#[derive(Debug)]
struct Outlook {
    target: Target,
    from: String,
    from_commit: CommitId,
    /// What will happen, as people read it.
    course: String,
    contents: Contents,
    blocked: Option<Halt>,
    deferred: Option<Halt>,
    local_edits: Vec<String>,
}

/// What lies between two commits.
#[derive(Debug, Default)]
struct Contents {
    /// Newest first.
    commits: Vec<(String, String)>,
    files: Vec<Change>,
    migrations: Vec<MigrationId>,
}

/// Tells what `apply-update` would do now.
pub fn show(applier: &Applier<'_>, request: &Request, journal: Option<Journal>) -> Result<Outcome, Halt> {
    if let Some(journal) = journal.filter(|j| !j.rests()) {
        return applier.unfinished(&journal, request).map(told);
    }
    match applier.choose(request)? {
        Choice::Nothing { reason, message, .. } => {
            Ok(Outcome::new(Exit::Done, "nothing", message).because(reason))
        }
        Choice::Refuse { target, halt, .. } => applier.look_at(target, Some(halt), request).map(told),
        Choice::Install(target) => applier.look_at(target, None, request).map(told),
    }
}

impl Applier<'_> {
    fn look_at(&self, target: Target, refusal: Option<Halt>, request: &Request) -> Result<Outlook, Halt> {
        let installed = self.installed()?;
        let mut outlook = Outlook {
            from: self.label(&target, installed.as_ref()),
            from_commit: self.checkout.commit().clone(),
            course: format!("{} would be installed", target.version),
            contents: Contents::default(),
            blocked: refusal,
            deferred: None,
            local_edits: vec![],
            target,
        };
        self.ask_patience(&mut outlook, request)?;
        match self.stopped_at(&outlook.target)? {
            Some(stopped) => {
                outlook.course = format!("{} would go on from {}", stopped.to, stopped.phase.step());
                outlook.from_commit = stopped.from_commit;
                outlook.from = stopped.from;
            }
            None => self.ask_checkout(&mut outlook, request)?,
        }
        self.look_into(&mut outlook)?;
        Ok(outlook)
    }

    /// Earlier failures and policy, in the order of the update.
    fn ask_patience(&self, outlook: &mut Outlook, request: &Request) -> Result<(), Halt> {
        let now = clock::now();
        let failed = failed::lookup(self.home, &outlook.target.commit)?;
        outlook.note(self.patience(failed.as_ref(), request, now))?;
        if request.now { Ok(()) } else { outlook.note(self.policy(&outlook.target, now)) }
    }

    /// Everything that could refuse the update. It is fetched in any case, so that what is in it can
    /// be told.
    fn ask_checkout(&self, outlook: &mut Outlook, request: &Request) -> Result<(), Halt> {
        let before = self.may_begin(&outlook.target);
        let no_remote = matches!(&before, Err(halt) if halt.reason == Reason::MissingRemote);
        let old_head = head::place(self.checkout);
        outlook.note(before.map(drop))?;
        if no_remote {
            return Ok(());
        }
        let fetch = Fetch {
            checkout: self.checkout,
            network: &self.rooms.network,
            seen: &self.rooms.seen,
            remote: &self.rooms.remote,
            branch: &self.rooms.branch,
            to: &outlook.target.commit,
            tag: outlook.target.tag.as_deref(),
            older: request.allow_downgrade,
            deadline: self.settings.timeouts.fetch,
            home: None,
            signatures: &self.rooms.signatures,
        };
        let made = ready::make(&fetch, &old_head, &mut Unrecorded(&self.rooms.redactor));
        let made = made.map_err(|stop| match stop {
            Stop::Refused(halt) | Stop::Broken(halt) => halt,
            Stop::Failed(cause) => Halt::failed(Reason::FetchFailed, cause.message),
        });
        outlook.note(made.map(drop))
    }

    /// What is between the two commits, as far as it is here.
    fn look_into(&self, outlook: &mut Outlook) -> Result<(), Halt> {
        let (from, to) = (&outlook.from_commit, &outlook.target.commit);
        if !self.checkout.has(to)? || !self.checkout.has(from)? {
            return Ok(());
        }
        let files = tree::changes(self.checkout, from, to)?;
        outlook.local_edits = preflight::names(&preflight::sorted_edits(self.checkout, &files)?.1);
        let commits = self.commits(from, to)?;
        let migrations = match self.migrations(&outlook.target) {
            Err(halt) if halt.kind == Kind::Blocked => {
                outlook.note(Err(halt))?;
                Vec::new()
            }
            found => found?,
        };
        outlook.contents = Contents { commits, files, migrations };
        Ok(())
    }

    fn commits(&self, from: &CommitId, to: &CommitId) -> Result<Vec<(String, String)>, Halt> {
        let range = format!("{from}..{to}");
        let arguments = ["log", "-z", "--no-show-signature", "--no-patch", "--format=%H %s", &range, "--"];
        let output = self.checkout.git().output(&arguments)?;
        let text = String::from_utf8_lossy(&output);
        let lines =
            text.split('\0').filter_map(|line| line.trim().split_once(' ').or(Some((line.trim(), ""))));
        Ok(lines.filter(|l| !l.0.is_empty()).map(|(c, s)| (c.to_owned(), s.to_owned())).collect())
    }

    /// Those of the target's tree that are in range and not on record.
    fn migrations(&self, target: &Target) -> Result<Vec<MigrationId>, Halt> {
        let git = self.checkout.git();
        let project = || {
            Project::from_files(|file| {
                let shown = git.run(&["cat-file", "blob", &format!("{}:{file}", target.commit)]).ok()?;
                shown.end.success().then(|| String::from_utf8_lossy(&shown.stdout).into_owned())
            })
        };
        let Some(to) = steps::migrations_up_to(target.channel, &target.version, project) else {
            return Ok(vec![]);
        };
        let arguments = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", target.commit.as_str()];
        let output = git.output(&[&arguments[..], &["--", "migrations/"]].concat())?;
        let text = String::from_utf8_lossy(&output);
        let since = self.installed()?.map(|v| v.release());
        migrate::ahead(self.home, text.split('\0'), since.as_ref(), &to)
    }

    /// A transaction that has begun, by a program that runs or one that died.
    fn unfinished(&self, journal: &Journal, request: &Request) -> Result<Outlook, Halt> {
        let running = journal.owner().is_alive();
        let course = match (running, journal.undo, journal.awaiting_caller) {
            (true, ..) => format!("{} is being installed now", journal.to),
            _ if journal.verdict.is_some() => {
                format!("how the update to {} ended would be put on record", journal.to)
            }
            (_, Some(_), _) => format!("going back from {} would be completed", journal.to),
            (_, _, true) => format!("{} would be verified after its restart", journal.to),
            _ => format!("the interrupted update to {} would be taken up", journal.to),
        };
        let mut outlook = Outlook {
            target: target_of(journal),
            from: journal.from.clone(),
            from_commit: journal.from_commit.clone(),
            course,
            contents: Contents::default(),
            blocked: None,
            deferred: running.then(|| Halt::busy("another apply-update is at work")),
            local_edits: vec![],
        };
        outlook.note(may_be_taken_up(self.home, self.checkout, journal, request.retry))?;
        self.look_into(&mut outlook)?;
        outlook.local_edits.clone_from(&journal.local_edits);
        Ok(outlook)
    }
}

impl Outlook {
    /// Keeps the first thing that blocks and the first that defers; anything else ends the look.
    fn note(&mut self, asked: Result<(), Halt>) -> Result<(), Halt> {
        let Err(halt) = asked else { return Ok(()) };
        let place = match halt.kind {
            Kind::Blocked => &mut self.blocked,
            Kind::Deferred | Kind::Busy => &mut self.deferred,
            _ => return Err(halt),
        };
        place.get_or_insert(halt);
        Ok(())
    }

    fn message(&self) -> String {
        let Contents { commits, files, migrations } = &self.contents;
        let what = [(commits.len(), "commit"), (files.len(), "file"), (migrations.len(), "migration")];
        let what = what.map(|(n, word)| format!("{n} {word}{}", if n == 1 { "" } else { "s" })).join(", ");
        let course = format!("{} ({} now; {what})", self.course, self.from);
        match (&self.blocked, &self.deferred) {
            (Some(halt), _) => format!("{course}, but this stands against it: {halt}"),
            (None, Some(halt)) => format!("{course}, but not yet: {halt}"),
            (None, None) => course,
        }
    }

    fn lines(&self) -> Vec<String> {
        let Contents { commits, files, migrations } = &self.contents;
        let commits = commits.iter().map(|(id, subject)| format!("{} {subject}", &id[..id.len().min(10)]));
        let files = files.iter().map(|c| format!("{:<8} {}", kind(c), c.path.display()));
        let mut lines = Vec::new();
        list(&mut lines, "Commits:", commits.collect());
        list(&mut lines, "Files:", files.collect());
        list(&mut lines, "Migrations:", migrations.iter().map(ToString::to_string).collect());
        list(&mut lines, "Local edits, left alone:", self.local_edits.clone());
        lines
    }
}

fn told(outlook: Outlook) -> Outcome {
    let mut outcome = Outcome::new(Exit::Done, "planned", outlook.message());
    outcome.reason = outlook.blocked.as_ref().or(outlook.deferred.as_ref()).map(|halt| halt.reason);
    outcome.lines = outlook.lines();
    let Contents { commits, files, migrations } = &outlook.contents;
    let commits: Vec<Value> =
        commits.iter().map(|(id, subject)| json!({"commit": id, "subject": subject})).collect();
    let files: Vec<Value> =
        files.iter().map(|c| json!({"path": c.path.display().to_string(), "change": kind(c)})).collect();
    let migrations: Vec<String> = migrations.iter().map(ToString::to_string).collect();
    outcome
        .with("channel", outlook.target.channel.as_str())
        .with("from", outlook.from)
        .with("to", outlook.target.version)
        .with("from_commit", outlook.from_commit.as_str())
        .with("to_commit", outlook.target.commit.as_str())
        .with("tag", outlook.target.tag)
        .with("commits", commits)
        .with("files", files)
        .with("migrations", migrations)
        .with("blocked", outlook.blocked.as_ref().map(blocked))
        .with("deferred", outlook.deferred.as_ref().map(deferred))
        .with("local_edits", outlook.local_edits)
}

fn blocked(halt: &Halt) -> Value {
    let files = halt.details.get("files").cloned().unwrap_or_else(|| json!([]));
    json!({"reason": halt.reason.code(), "message": halt.message, "files": files})
}

fn deferred(halt: &Halt) -> Value {
    let until = halt.details.get("until").or_else(|| halt.details.get("next_try_at"));
    json!({"reason": halt.reason.code(), "message": halt.message, "until": until})
}

fn kind(change: &Change) -> &'static str {
    match (&change.old, &change.new) {
        (None, _) => "added",
        (_, None) => "deleted",
        _ => "modified",
    }
}

fn list(lines: &mut Vec<String>, title: &str, items: Vec<String>) {
    if items.is_empty() {
        return;
    }
    let more = items.len().saturating_sub(SHOWN);
    lines.push(title.to_owned());
    lines.extend(items.into_iter().take(SHOWN).map(|item| format!("  {item}")));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
}

/// Runs git without a journal and without a log: there is nothing to take up afterwards.
struct Unrecorded<'a>(&'a Redactor);

impl Runner for Unrecorded<'_> {
    fn run(&mut self, command: &Invocation) -> Result<Finished, Stop> {
        not_interrupted(Phase::Fetching.step(), command.capture_announced(None, self.0)?)
    }

    fn failed(&self, words: &str, finished: &Finished) -> Stop {
        let said = finished.tail.lines().last().unwrap_or("it said nothing");
        failed_plainly(Phase::Fetching, format!("'{words}' ended with {}: {said}", finished.end))
    }
}
