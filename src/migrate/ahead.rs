//! What a version that is not checked out yet would run: its list of files against the record.
//! Reads only, waits for no lock.

use super::select::{Range, select};
use super::state::State;
use super::tree::{FOLDER, Script};
use super::{MigrationId, book};
use crate::home::Home;
use crate::outcome::Halt;
use crate::version::Version;

/// The migrations that an update to `to` would run. `files` are the paths of the new version's
/// tree; `since` counts as done where no run is on record.
pub fn ahead<'a>(
    home: &Home,
    files: impl Iterator<Item = &'a str>,
    since: Option<&Version>,
    to: &Version,
) -> Result<Vec<MigrationId>, Halt> {
    let ids = files.filter_map(|path| MigrationId::parse(path.strip_prefix(FOLDER)?.strip_prefix("/v")?));
    let mut scripts: Vec<Script> = ids.map(|id| Script { path: id.to_string().into(), id }).collect();
    scripts.sort_by(|a, b| a.id.cmp(&b.id));
    let state = on_record(home, since.unwrap_or(to))?;
    Ok(select(&scripts, &state, &Range { from: None, to: to.clone() }).pending)
}

fn on_record(home: &Home, baseline: &Version) -> Result<State, Halt> {
    let stored = book::peek(&home.migration_state())?;
    let begun = stored.as_ref().is_some_and(|state| !state.is_virgin());
    let mut state = stored.unwrap_or_else(State::new);
    if begun {
        state.complete_older();
    } else {
        state.baseline = Some(baseline.clone());
    }
    Ok(state)
}
