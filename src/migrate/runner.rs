//! Runs what is pending, one script after the other, and records each.

use super::{MigrationId, Request, RunResult, Watcher};
use crate::home::Home;
use crate::outcome::Halt;

/// Runs what is pending.
pub fn run(_request: &Request<'_>, _watcher: &mut Watcher<'_>) -> Result<RunResult, Halt> {
    unimplemented!()
}

/// Asks `check()` of `ids` with the scripts that are in the tree now, and un-records those whose
/// `check()` no longer holds (or can no longer be asked). Returns the ids that were un-recorded.
pub fn recheck(
    _request: &Request<'_>,
    _ids: &[MigrationId],
    _watcher: &mut Watcher<'_>,
) -> Result<Vec<MigrationId>, Halt> {
    unimplemented!()
}

/// Ends a script that a killed run left running.
pub fn end_interrupted(_home: &Home) -> Result<(), Halt> {
    Ok(())
}
