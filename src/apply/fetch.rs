//! Fetching exactly the target, and making sure that it is what the remote's owner offers.

use std::ffi::OsString;
use std::time::Duration;

use super::phase::Phase;
use super::signature::Signatures;
use super::transaction::{Stop, Transaction, git_words, patiently};
use crate::checkout::Checkout;
use crate::detect::history;
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::signal::Signal;
use crate::sys::git::{Git, complaint, was_locked_out, was_overtaken};
use crate::sys::process::{End, Finished, Invocation};
use crate::version::CommitId;

/// Where a tag is kept until it is known to be the right one.
const PRIVATE_REF: &str = "refs/teleclaude/update";

/// Options of every fetch: nothing but what is asked for.
const PLAIN: &[&str] =
    &["fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-prune"];

/// What git says when the fault is on this computer.
const OUR_FAULTS: &[&str] = &[
    "No space left on device",
    "insufficient permission",
    "Permission denied (os error",
    "Read-only file system",
    "unable to write",
    "cannot lock ref",
];

/// Runs the commands of a fetch.
pub trait Runner {
    /// Runs one, whatever its exit code.
    fn run(&mut self, command: &Invocation) -> Result<Finished, Stop>;
    /// The failure of one, where the fault is on this computer.
    fn failed(&self, words: &str, finished: &Finished) -> Stop;
}

impl Runner for Transaction<'_> {
    fn run(&mut self, command: &Invocation) -> Result<Finished, Stop> {
        self.run_git_on_record(Phase::Fetching.step(), command)
    }

    fn failed(&self, words: &str, finished: &Finished) -> Stop {
        Transaction::failed(self, Phase::Fetching, words, finished)
    }
}

/// What is to come here, and from where.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// The checkout.
    pub checkout: &'a Checkout,
    /// git for talking to the remote.
    pub network: &'a Git,
    /// Name of the remote.
    pub remote: &'a str,
    /// The branch alpha follows.
    pub branch: &'a str,
    /// alpha: the commits seen on that branch before.
    pub seen: &'a [CommitId],
    /// The commit wanted.
    pub to: &'a CommitId,
    /// Its tag; none: it is on the branch.
    pub tag: Option<&'a str>,
    /// The branch may go back to it.
    pub older: bool,
    /// How long one command may take.
    pub deadline: Duration,
    /// Where a signal is withdrawn that does not hold. `None`: only objects come, no ref and no
    /// file changes.
    pub home: Option<&'a Home>,
    /// Which signatures are required.
    pub signatures: &'a Signatures,
}

impl Fetch<'_> {
    /// Brings the target's objects here and checks that the remote has it where the signal says.
    pub fn bring(&self, runner: &mut dyn Runner) -> Result<(), Stop> {
        match self.tag {
            None => self.bring_branch(runner)?,
            Some(tag) => self.bring_tag(tag, runner)?,
        }
        self.signatures.check_commit(self.checkout, self.to).map_err(Stop::Refused)
    }

    fn bring_branch(&self, runner: &mut dyn Runner) -> Result<(), Stop> {
        let (remote, branch) = (self.remote, self.branch);
        let tracking = match self.home {
            Some(_) => format!("refs/remotes/{remote}/{branch}"),
            None => look_ref(),
        };
        // An empty refmap: the ref named here and no other.
        let spec = format!("+refs/heads/{branch}:{tracking}");
        self.git(runner, &["--refmap=", remote, &spec], Reason::BranchMissing)?;
        let tip = self.checkout.git().text(&["rev-parse", "--verify", &format!("{tracking}^{{commit}}")])?;
        if self.home.is_none() {
            self.update_ref(runner, &["-d", &tracking])?;
        }
        let tip = CommitId::parse(&tip).ok_or_else(|| anyhow::anyhow!("{tracking} is no commit"))?;
        self.still_on_branch(&tip)?;
        self.continues(self.checkout, self.seen, &tip)
    }

    /// The branch continues what was seen there before: what a look could not know.
    fn continues(&self, checkout: &Checkout, seen: &[CommitId], tip: &CommitId) -> Result<(), Stop> {
        let name = format!("{}/{}", self.remote, self.branch);
        let Some(found) = history::confirm(checkout, seen, &name, tip)? else { return Ok(()) };
        Err(self.withdraw(found.reason, found.message))
    }

    /// The same once the history is here that a shallow clone lacked.
    pub fn continues_at_last(&self) -> Result<(), Stop> {
        let now = Checkout::open(self.checkout.top())?;
        // What was seen after the target says nothing about the target.
        let before = self.seen.iter().position(|c| c == self.to).unwrap_or(self.seen.len());
        self.continues(&now, &self.seen[..before], self.to)
    }

    fn still_on_branch(&self, tip: &CommitId) -> Result<(), Stop> {
        let (checkout, to) = (self.checkout, self.to);
        let known = checkout.has(to)?;
        if known && checkout.is_ancestor(to, tip)? {
            return Ok(());
        }
        // Where the target never came here: it was ahead of HEAD, and the branch is not any more.
        let back = if known { to } else { checkout.commit() };
        let (reason, what) = if checkout.is_ancestor(tip, back)? {
            (Reason::RolledBackRemote, "went back behind")
        } else {
            (Reason::Diverged, "no longer contains")
        };
        let (remote, branch) = (self.remote, self.branch);
        Err(self.withdraw(
            reason,
            not_followed(&format!("{remote}'s {branch} (now {}) {what} {}", tip.short(), to.short())),
        ))
    }

    fn bring_tag(&self, tag: &str, runner: &mut dyn Runner) -> Result<(), Stop> {
        let name = format!("refs/tags/{tag}");
        let private = self.home.map_or_else(look_ref, |_| PRIVATE_REF.to_owned());
        self.git(runner, &["--refmap=", self.remote, &format!("+{name}:{private}")], Reason::TagMissing)?;
        let git = self.checkout.git();
        let object = git.text(&["rev-parse", "--verify", &private])?;
        let commit = git.run(&["rev-parse", "--verify", "--quiet", &format!("{private}^{{commit}}")])?;
        let here = git.run(&["rev-parse", "--verify", "--quiet", &name])?;
        let text = |finished: &Finished| String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        let (commit, here) = (text(&commit), text(&here));
        let signed = || self.signatures.check_tag(self.checkout, tag, &object).map_err(Stop::Refused);
        let verdict = self.same_tag(tag, &commit, &object, &here).and_then(|()| signed());
        if verdict.is_ok() && here.is_empty() && self.home.is_some() {
            self.update_ref(runner, &[&name, &object])?;
        }
        self.update_ref(runner, &["-d", &private])?;
        verdict
    }

    fn same_tag(&self, tag: &str, commit: &str, object: &str, here: &str) -> Result<(), Stop> {
        let (remote, to) = (self.remote, self.to);
        if commit != to.as_str() {
            let now = if commit.is_empty() { "at no commit" } else { &format!("at {commit}") };
            return Err(self.withdraw(
                Reason::TagMoved,
                not_followed(&format!("{remote}'s tag {tag} is now {now}, not at {to}")),
            ));
        }
        if !here.is_empty() && here != object {
            let what =
                format!("the tag {tag} here is not {remote}'s ('git tag -d {tag}' removes the one here)");
            return Err(self.withdraw(Reason::TagMoved, not_followed(&what)));
        }
        Ok(())
    }

    fn update_ref(&self, runner: &mut dyn Runner, arguments: &[&str]) -> Result<(), Stop> {
        let words: Vec<OsString> = ["update-ref"].iter().chain(arguments).map(OsString::from).collect();
        let finished = runner.run(&self.checkout.git().command(&words))?;
        if finished.end.success() { Ok(()) } else { Err(runner.failed(&git_words(&words), &finished)) }
    }

    /// The history that a shallow clone lacks.
    pub fn deepen(&self, runner: &mut dyn Runner) -> Result<(), Stop> {
        let remote = self.remote;
        let branch = format!("refs/heads/{}", self.branch);
        match self.git(runner, &["--unshallow", "--refmap=", remote, &branch], Reason::Shallow) {
            Err(Stop::Refused(halt)) => Err(Stop::Refused(self.shallow(&halt.message))),
            other => other,
        }
    }

    /// Whether history is cut off here, now.
    pub fn still_cut_off(&self) -> Result<bool, Stop> {
        Ok(self.checkout.git().text(&["rev-parse", "--is-shallow-repository"])? == "true")
    }

    /// The refusal of an update whose history is not to be had.
    pub fn shallow(&self, why: &str) -> Halt {
        let remote = self.remote;
        let message = format!(
            "history that the update needs is cut off here and cannot be fetched ({why}); bring it with 'git fetch --unshallow {remote}'"
        );
        Halt::blocked(Reason::Shallow, message)
    }

    fn git(&self, runner: &mut dyn Runner, arguments: &[&str], missing: Reason) -> Result<(), Stop> {
        let words: Vec<OsString> = PLAIN.iter().chain(arguments).map(OsString::from).collect();
        let command = self.network.command(&words).deadline(self.deadline);
        // Somebody may fetch the very same at the same time.
        let finished = patiently(|| runner.run(&command), |f| was_locked_out(f) || was_overtaken(f))?;
        if finished.end.success() {
            return Ok(());
        }
        let Some(reason) = refusal(&finished, missing) else {
            return Err(runner.failed(&git_words(&words), &finished));
        };
        let said = complaint(&finished.tail);
        let hint = if reason == Reason::BranchMissing { " (the branch is deployment.branch)" } else { "" };
        let message =
            format!("cannot fetch from {}: {said}{hint}; it is tried again at the next run", self.remote);
        Err(Stop::Refused(Halt::unreachable(reason, message)))
    }

    /// The offer does not hold: the signal goes, a person decides.
    fn withdraw(&self, reason: Reason, message: String) -> Stop {
        if let Some(Err(halt)) = self.home.map(Signal::withdraw) {
            return Stop::Broken(halt);
        }
        Stop::Refused(Halt::blocked(reason, message))
    }
}

fn not_followed(what: &str) -> String {
    format!("{what}; it is not followed, look at the remote's history")
}

/// Where a look keeps what it fetched while it looks; others may look at the same time.
fn look_ref() -> String {
    format!("refs/teleclaude/look-{}", std::process::id())
}

/// Why the remote could not be asked; `None`: the fault is on this computer.
fn refusal(finished: &Finished, missing: Reason) -> Option<Reason> {
    match finished.end {
        End::Deadline => Some(Reason::Timeout),
        _ if finished.tail.contains("couldn't find remote ref") => Some(missing),
        _ if OUR_FAULTS.iter().any(|fault| finished.tail.contains(fault)) => None,
        _ => Some(Reason::Unreachable),
    }
}
