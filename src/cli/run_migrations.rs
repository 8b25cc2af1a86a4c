//! `run-migrations`: flags → a request to the migration room → outcome.

mod flags;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use self::flags::Flags;
use super::common::{Common, finish, on_terminal, parse, version_line};
use crate::apply::progress::{Mode, Progress};
use crate::checkout::Checkout;
use crate::config::Settings;
use crate::detect::passwords_in_config;
use crate::home::Home;
use crate::migrate::{self, Event, LOCK_WAIT, Request, RunResult, Watcher};
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::project::Project;
use crate::report::logs::RunLogs;
use crate::sys::clock;
use crate::sys::env::Environment;
use crate::version::Version;

/// Runs the program.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let flags: Flags = match parse("run-migrations", &arguments) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let outer = flags.common();
    if flags.version {
        return finish(&outer, Ok(Outcome::new(Exit::Done, "ok", version_line("run-migrations"))));
    }
    match &flags.word {
        None => finish(&outer, migrate(&outer, &flags).map_err(with_all_keys)),
        Some(word) => words::run(&outer, word),
    }
}

/// The rooms that every word needs. Nothing is created.
struct Rooms {
    env: Environment,
    checkout: Checkout,
    settings: Settings,
    home: Home,
}

impl Rooms {
    fn open(common: &Common) -> Result<Self, Halt> {
        let env = Environment::capture();
        let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
        let settings = Settings::load(&checkout, &env)?;
        let home = Home::locate(&env)?;
        Ok(Self { env, checkout, settings, home })
    }

    /// The version in the checkout's files, without a prerelease part: its migrations belong to
    /// the release that is being made.
    fn version(&self) -> Option<Version> {
        Project::read(self.checkout.top()).version.map(|version| version.release())
    }

    fn python(&self, flag: Option<&str>) -> Result<Option<PathBuf>, Halt> {
        match flag.map(PathBuf::from) {
            // What is typed is relative to where it is typed, what is configured to the checkout.
            Some(python) if python.components().count() > 1 => std::path::absolute(&python)
                .map(Some)
                .map_err(|error| Halt::invalid(format!("--python {}: {error}", python.display()))),
            Some(python) => Ok(Some(python)),
            None => Ok(self.settings.python.clone()),
        }
    }
}

fn migrate(common: &Common, flags: &Flags) -> Result<Outcome, Halt> {
    let rooms = Rooms::open(common)?;
    if !flags.dry_run {
        Home::open(&rooms.env)?;
    }
    let result = start(common, flags, &rooms)?;
    let mut outcome = result.outcome();
    if flags.exit_code && outcome.exit == Exit::Done && !result.pending.is_empty() {
        outcome.exit = Exit::Available;
    }
    Ok(outcome)
}

fn start(common: &Common, flags: &Flags, rooms: &Rooms) -> Result<RunResult, Halt> {
    let own = rooms.version();
    let to = flags.to.clone().or_else(|| own.clone()).ok_or_else(no_version)?;
    let redactor = rooms.settings.redactor.and(passwords_in_config(&rooms.checkout));
    let logs = RunLogs::plan(&rooms.home, clock::now(), "run-migrations");
    let request = Request {
        checkout: rooms.checkout.top(),
        commit: Some(rooms.checkout.commit()),
        home: &rooms.home,
        from: flags.from.clone(),
        installed: own.unwrap_or_else(|| to.clone()),
        to,
        since: None,
        python: rooms.python(flags.python.as_deref())?,
        timeout: flags.timeout.unwrap_or(rooms.settings.timeouts.migrate),
        lock_wait: flags.lock_timeout.unwrap_or(LOCK_WAIT),
        redactor: &redactor,
        logs: &logs,
        strict: flags.strict,
        dry_run: flags.dry_run,
    };
    let mut progress = Progress::new(mode(common));
    let mut tell = |event: Event<'_>| show(&mut progress, event);
    let result = migrate::run(&request, &mut Watcher { tell: &mut tell, announce: None });
    progress.close();
    result
}

fn mode(common: &Common) -> Mode {
    match (common.quiet, common.verbose, on_terminal()) {
        (true, ..) => Mode::Silent,
        (false, _, true) => Mode::Live,
        (false, true, false) => Mode::Lines,
        (false, false, false) => Mode::Silent,
    }
}

fn show(progress: &mut Progress, event: Event<'_>) {
    match event {
        Event::Begins { id, nth, of } => progress.phase(&format!("[{nth}/{of}] {id}")),
        Event::Goes { elapsed, line, .. } => progress.tick(elapsed, line),
        Event::Done { .. } => {}
    }
}

fn no_version() -> Halt {
    Halt::new(
        Kind::Invalid,
        Reason::UnknownVersion,
        "the checkout's files (pyproject.toml, Cargo.toml, package.json) tell no version: say it with --to",
    )
}

/// A run that did not begin has the same keys in its JSON as one that did.
fn with_all_keys(halt: Halt) -> Halt {
    let mut halt = halt;
    for key in ["from", "to", "failed"] {
        halt.details.entry(key).or_insert(serde_json::Value::Null);
    }
    for key in ["ran", "skipped", "pending", "late", "drift", "missing"] {
        halt.details.entry(key).or_insert_with(|| serde_json::Value::Array(Vec::new()));
    }
    halt
}
