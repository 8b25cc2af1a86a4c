//! What is on record, for people and programs. Waits for no lock and changes nothing.

use std::path::Path;

use serde_json::json;

use super::result::count;
use super::select::{Range, select};
use super::state::State;
use super::tree::Tree;
use super::{MigrationId, book, runner};
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome};
use crate::version::Version;

/// Where a checkout stands; `to` is the version its files have.
pub fn status(checkout: &Path, home: &Home, to: Option<&Version>, exit_code: bool) -> Result<Outcome, Halt> {
    let scripts = Tree::sound(checkout)?;
    let stored = book::peek(&home.migration_state())?;
    let begun = stored.as_ref().is_some_and(|state| !state.is_virgin());
    let mut state = stored.unwrap_or_else(State::new);
    if begun {
        state.complete_older();
    } else {
        // The first run will take this as its baseline.
        state.baseline = to.cloned();
    }
    let range = to.map(|to| Range { from: None, to: to.clone() });
    let selection = range.map(|range| select(&scripts, &state, &range)).unwrap_or_default();
    let drift = runner::drift(&scripts, &state)?;
    let ids = |ids: &[MigrationId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let message = match (begun, selection.pending.len()) {
        (false, _) => {
            "no run is on record yet: the first one records the checkout's version as baseline".to_owned()
        }
        (true, 0) => format!("{} on record, none pending", count(state.applied.len())),
        (true, n) => {
            format!("{} on record, {n} pending: run-migrations runs them", count(state.applied.len()))
        }
    };
    let exit = if exit_code && !selection.pending.is_empty() { Exit::Available } else { Exit::Done };
    let mut outcome = Outcome::new(exit, "ok", message)
        .with("version", to.map(ToString::to_string))
        .with("baseline", state.baseline.as_ref().filter(|_| begun).map(ToString::to_string))
        .with("installed", state.installed.as_ref().map(ToString::to_string))
        .with("applied", state.applied.iter().cloned().collect::<Vec<_>>())
        .with("records", json!(state.records))
        .with("pending", ids(&selection.pending))
        .with("late", ids(&selection.late))
        .with("drift", ids(&drift))
        .with("missing", selection.missing.clone())
        .with("intent", json!(state.intent));
    outcome.lines = lines(&state, &selection.pending, &selection.late, &drift, &selection.missing);
    Ok(outcome)
}

fn lines(
    state: &State,
    pending: &[MigrationId],
    late: &[MigrationId],
    drift: &[MigrationId],
    missing: &[String],
) -> Vec<String> {
    let shown = |version: &Option<Version>| version.as_ref().map_or("-".to_owned(), ToString::to_string);
    let mut lines =
        vec![format!("  baseline {}, installed {}", shown(&state.baseline), shown(&state.installed))];
    for (word, ids) in [("pending", pending), ("late", late), ("drift", drift)] {
        lines.extend(ids.iter().map(|id| format!("  {word:<8} {id}")));
    }
    lines.extend(missing.iter().map(|id| format!("  {:<8} {id}", "missing")));
    lines.extend(
        state.intent.iter().map(|intent| format!("  {:<8} {} since {}", "begun", intent.id, intent.since)),
    );
    lines
}
