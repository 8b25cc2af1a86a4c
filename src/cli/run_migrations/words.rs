//! The subcommands of `run-migrations`: flags → a call of the migration room → outcome.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Rooms;
use super::flags::{LintFlags, ManifestFlags, NewFlags, StatusFlags, Word};
use crate::cli::common::{Common, finish};
use crate::home::Home;
use crate::migrate::lint::{self, Finding, Level};
use crate::migrate::manage::Change;
use crate::migrate::tree::Tree;
use crate::migrate::{LOCK_WAIT, new, status};
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};

/// Runs a subcommand; `outer` are the flags in front of it.
pub(super) fn run(outer: &Common, word: &Word) -> ExitCode {
    let inner = match word {
        Word::Status(flags) => flags.common(),
        Word::Lint(flags) => flags.common(),
        Word::New(flags) => flags.common(),
        Word::Mark(flags) => flags.common(),
        Word::Unmark(flags) => flags.common(),
        Word::Accept(flags) => flags.common(),
        Word::Manifest(flags) => flags.common(),
    };
    let common = Common {
        repo: inner.repo.or_else(|| outer.repo.clone()),
        json: inner.json || outer.json,
        quiet: inner.quiet || outer.quiet,
        verbose: inner.verbose || outer.verbose,
    };
    let done = Rooms::open(&common).and_then(|rooms| outcome(&rooms, word));
    finish(&common, done)
}

fn outcome(rooms: &Rooms, word: &Word) -> Result<Outcome, Halt> {
    let change = |id, reason: &Option<String>, action: fn(&Change<'_>) -> Result<Outcome, Halt>| {
        Home::open(&rooms.env)?;
        action(&Change {
            checkout: rooms.checkout.top(),
            commit: rooms.checkout.commit(),
            home: &rooms.home,
            id,
            reason: reason.as_deref(),
            wait: LOCK_WAIT,
        })
    };
    match word {
        Word::Status(flags) => status(rooms, flags),
        Word::Lint(flags) => lint(rooms, flags),
        Word::New(flags) => new(rooms, flags),
        Word::Mark(flags) => change(&flags.id, &flags.reason, |c| c.mark()),
        Word::Unmark(flags) => change(&flags.id, &flags.reason, |c| c.unmark()),
        Word::Accept(flags) => change(&flags.id, &flags.reason, |c| c.accept()),
        Word::Manifest(flags) => manifest(rooms, flags),
    }
}

fn status(rooms: &Rooms, flags: &StatusFlags) -> Result<Outcome, Halt> {
    status::status(rooms.checkout.top(), &rooms.home, rooms.version().as_ref(), flags.exit_code)
}

fn lint(rooms: &Rooms, flags: &LintFlags) -> Result<Outcome, Halt> {
    let python = rooms.python(flags.python.as_deref())?;
    let (scripts, findings) = lint::findings(rooms.checkout.top(), rooms.checkout.git(), python.as_deref())?;
    let mut outcome = match findings.len() {
        0 => Outcome::new(Exit::Done, "ok", format!("nothing to say about {scripts} scripts")),
        n => Outcome::new(Exit::Blocked, "blocked", format!("{n} findings in {scripts} scripts"))
            .because(Reason::LintFindings),
    };
    outcome.lines = findings.iter().map(line_of).collect();
    Ok(outcome.with("scripts", scripts).with("findings", json!(findings)))
}

fn line_of(finding: &Finding) -> String {
    let level = if finding.level == Level::Error { "error" } else { "warning" };
    let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {level}: {}", finding.path, finding.message)
}

fn new(rooms: &Rooms, flags: &NewFlags) -> Result<Outcome, Halt> {
    let version = match &flags.for_version {
        Some(version) => version.clone(),
        None => {
            let own = rooms.version().ok_or_else(|| {
                let message = "the checkout's files tell no version: say it with --for";
                Halt::new(Kind::Invalid, Reason::UnknownVersion, message)
            })?;
            let tags = rooms.checkout.git().text(&["tag", "--list"])?;
            new::default_version(&own, &tags.lines().map(str::to_owned).collect::<Vec<_>>())
        }
    };
    let (id, path) = new::create(rooms.checkout.top(), &version, &flags.name)?;
    let message = format!("{} is ready to be written", path.display());
    Ok(Outcome::new(Exit::Done, "ok", message)
        .with("id", id.to_string())
        .with("path", path.display().to_string()))
}

fn manifest(rooms: &Rooms, flags: &ManifestFlags) -> Result<Outcome, Halt> {
    let mut scripts = Tree::sound(rooms.checkout.top())?;
    scripts.retain(|script| {
        let version = script.id.version();
        flags.from.as_ref().is_none_or(|from| version > from)
            && flags.to.as_ref().is_none_or(|to| version <= to)
    });
    let python = rooms.python(flags.python.as_deref())?;
    let readings = lint::read(rooms.checkout.top(), python.as_deref(), &scripts)?;
    let mut entries: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    for (script, reading) in scripts.iter().zip(readings) {
        let sha256 = script.fingerprint()?;
        lines.push(format!("{sha256}  {}  {}", script.id, reading.doc.as_deref().unwrap_or("-")));
        entries.push(json!({"id": script.id.to_string(), "sha256": sha256, "description": reading.doc}));
    }
    let word = if entries.is_empty() { "nothing" } else { "ok" };
    let message = format!("{} scripts", entries.len());
    let mut outcome = Outcome::new(Exit::Done, word, message)
        .with("from", flags.from.as_ref().map(ToString::to_string))
        .with("to", flags.to.as_ref().map(ToString::to_string))
        .with("migrations", entries);
    outcome.lines = lines;
    Ok(outcome)
}
