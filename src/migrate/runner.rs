//! Runs what is pending, one script after the other, and records each. Chooses nothing: what is
//! pending is decided by `select`, how a script is run by `driver`.

use super::batch::Batch;
use super::book::{self, Book};
use super::driver::{DRIVER, Ended, Interpreter, Job};
use super::fingerprint::Reader;
use super::select::{Range, installed_after, select};
use super::state::State;
use super::tree::{Script, Tree, find};
use super::{LOCK_WAIT, MigrationId, Request, RunResult, Watcher, interpreter};
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::warning::warn;
use crate::version::Version;

/// Runs what is pending.
pub fn run(request: &Request<'_>, watcher: &mut Watcher<'_>) -> Result<RunResult, Halt> {
    let scripts = Tree::sound(request.checkout)?;
    let file = request.home.migration_state();
    if request.dry_run {
        let (fresh, mut state) = match book::peek(&file)? {
            Some(state) => (false, state),
            None => (true, State::new()),
        };
        return survey(request, &scripts, &mut state, fresh);
    }
    let mut book = Book::open(&file, request.lock_wait)?;
    let before = book.state.bounds();
    let fresh = book.fresh;
    let mut result = survey(request, &scripts, &mut book.state, fresh)?;
    if !result.pending.is_empty() {
        let mut python = start(request, watcher, DRIVER)?;
        if book.state.bounds() != before {
            // What counts as done is on record before anything is run upon it.
            book.write()?;
        }
        Batch { request, scripts: &scripts, book: &mut book, python: &mut python, watcher }.run(&mut result);
    }
    if result.failed.is_none() {
        book.state.installed = installed_after(&scripts, &book.state, &range(request));
    }
    finish(book, &before, result)
}

/// Asks `check()` of `ids` with the scripts that are in the tree now, and un-records those whose
/// `check()` no longer holds: false, failing, or not there to be asked. Un-recording one too many
/// costs a question at the next run, one too few loses a migration. Returns the un-recorded ids.
pub fn recheck(
    request: &Request<'_>,
    ids: &[MigrationId],
    watcher: &mut Watcher<'_>,
) -> Result<Vec<MigrationId>, Halt> {
    let scripts = Tree::read(request.checkout)?.scripts;
    let file = request.home.migration_state();
    let mut book = Book::open(&file, request.lock_wait)?;
    let before = book.state.clone();
    let asked: Vec<&MigrationId> = ids.iter().filter(|id| book.state.has(id)).collect();
    let mut gone = Vec::new();
    if !asked.is_empty() {
        let mut python = match start(request, watcher, DRIVER) {
            Err(halt) if halt.reason == Reason::NoPython => {
                warn(&format!(
                    "{halt}; what cannot be asked leaves the record, and is asked at the next run"
                ));
                None
            }
            started => Some(started?),
        };
        for id in asked {
            let script = find(&scripts, id);
            let holds = python.as_mut().map_or(Ok(false), |python| still_holds(request, python, script))?;
            if !holds {
                gone.push(id.clone());
            }
        }
    }
    for id in &gone {
        book.state.forget(&id.to_string());
    }
    if let Some(lowest) = gone.iter().map(MigrationId::version).min() {
        // That version is not done any more, so its scripts are not late when they are run again.
        let before_it = request.since.clone().filter(|since| since < lowest);
        let bound = before_it.unwrap_or_else(|| lowest.just_below());
        book.state.installed = book.state.installed.take().map(|installed| installed.min(bound));
    }
    if book.state != before {
        book.write()?;
    }
    book.close()?;
    Ok(gone)
}

/// Whether what is on record can be read. Changes nothing and waits for nobody.
pub fn readable(home: &Home) -> Result<(), Halt> {
    book::peek(&home.migration_state()).map(drop)
}

/// Ends a script that a killed run left running. A run that is alive is waited for, and is `busy`.
pub fn end_interrupted(home: &Home) -> Result<(), Halt> {
    Book::open(&home.migration_state(), LOCK_WAIT)?.close()
}

/// Starts the interpreter that the request means.
pub(super) fn start(
    request: &Request<'_>,
    watcher: &mut Watcher<'_>,
    program: &str,
) -> Result<Interpreter, Halt> {
    let python = interpreter::choose(request.checkout, request.python.as_deref());
    let announce = watcher.announce.as_mut().map(|announce| &mut **announce as _);
    Interpreter::start(&python, request.checkout, program, announce)
}

fn range(request: &Request<'_>) -> Range {
    Range { from: request.from.clone(), to: request.to.clone() }
}

/// Everything that can be said before anything is run. Makes explicit in `state` what counts as
/// done; `fresh`: there was no state.
fn survey(
    request: &Request<'_>,
    scripts: &[Script],
    state: &mut State,
    fresh: bool,
) -> Result<RunResult, Halt> {
    let first = if fresh || state.is_virgin() { first_baseline(request) } else { None };
    match &first {
        Some(baseline) => {
            state.baseline = Some(baseline.clone());
            state.installed = Some(baseline.clone());
        }
        None => state.complete_older(),
    }
    let adopts = first.is_some() && request.from.is_none() && request.since.is_none();
    let mut range = range(request);
    if adopts {
        // Whatever `to` is: the first run ever only takes note of where this computer stands.
        range.to = request.installed.clone().min(range.to);
    }
    let selection = select(scripts, state, &range);
    let result = RunResult {
        from: request.from.clone(),
        to: request.to.clone(),
        ran: Vec::new(),
        skipped: selection.done,
        pending: selection.pending,
        late: selection.late,
        drift: drift(scripts, state)?,
        missing: selection.missing,
        first_baseline: first,
        adopted: adopts,
        failed: None,
        dry_run: request.dry_run,
    };
    if request.strict && !result.drift.is_empty() {
        return Err(refuse_drift(&result));
    }
    Ok(result)
}

/// What counts as done when no run was ever recorded. A range that leads backwards says nothing.
fn first_baseline(request: &Request<'_>) -> Option<Version> {
    match (&request.from, &request.since) {
        (Some(from), _) => Some(from.clone()).filter(|from| *from <= request.to),
        (None, Some(since)) => Some(since.clone()),
        (None, None) => Some(request.installed.clone()),
    }
}

/// The scripts whose text is another than when they came on record.
pub(super) fn drift(scripts: &[Script], state: &State) -> anyhow::Result<Vec<MigrationId>> {
    let mut changed = Vec::new();
    let mut reader = Reader::default();
    let known = state.fingerprints();
    for script in scripts {
        if let Some(sha256) = known.get(script.id.as_str())
            && *sha256 != reader.fingerprint(script)?
        {
            changed.push(script.id.clone());
        }
    }
    Ok(changed)
}

fn refuse_drift(result: &RunResult) -> Halt {
    let ids: Vec<String> = result.drift.iter().map(ToString::to_string).collect();
    let message = format!(
        "changed after they were applied: {}; put them back, or 'run-migrations accept ID' each; nothing was run",
        ids.join(", ")
    );
    let halt = Halt::blocked(Reason::Drift, message);
    result.body().into_iter().fold(halt, |halt, (key, value)| halt.with(&key, value))
}

/// `before` are the bounds as they were found; every script that went on record is stored already.
fn finish(
    mut book: Book<'_>,
    before: &(Option<Version>, Option<Version>),
    mut result: RunResult,
) -> Result<RunResult, Halt> {
    let ran_nothing = result.ran.is_empty() && result.failed.is_none();
    let stored = if book.state.bounds() == *before { Ok(()) } else { book.write() };
    match stored.and_then(|()| book.close()) {
        Err(halt) if result.failed.is_none() && ran_nothing => Err(halt),
        // What ran is on record, in the file or in the journal; the next run puts them together.
        Err(halt) => {
            warn(&halt.message);
            Ok(result)
        }
        Ok(()) => {
            result.missing.sort();
            Ok(result)
        }
    }
}

fn still_holds(
    request: &Request<'_>,
    python: &mut Interpreter,
    script: Option<&Script>,
) -> Result<bool, Halt> {
    let Some(script) = script else { return Ok(false) };
    let job = Job { script, timeout: request.timeout, only_check: true };
    let mut hooks = super::driver::Hooks {
        ready: &mut |_| Ok(()),
        intend: &mut |_| Ok(()),
        log: &mut |_| {},
        tick: &mut || {},
    };
    match python.run(job, &mut hooks)? {
        Ended::Held => Ok(true),
        Ended::Done | Ended::Failed(..) => Ok(false),
        Ended::Interrupted(_, number) => {
            Err(Halt::failed(Reason::Interrupted, format!("stopped by signal {number}; run it again")))
        }
    }
}
