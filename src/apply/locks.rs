//! Lock files that a killed git left in `.git`. Only those are removed that are younger than the
//! transaction whose git was ended, and only after a while in which a living owner would finish.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::checkout::Checkout;
use crate::sys::store;

/// A short git command of the user is over within this time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looked at this often.
const PAUSE: Duration = Duration::from_millis(25);
/// File systems round times.
const ROUNDING: Duration = Duration::from_secs(2);

/// Removes what a killed git of the transaction that began at `since` left locked.
pub fn remove_stale(checkout: &Checkout, since: Timestamp) -> anyhow::Result<()> {
    let since = SystemTime::from(since);
    let mut left = young_locks(checkout.git_dir(), since);
    let until = Instant::now() + PATIENCE;
    while !left.is_empty() && Instant::now() < until {
        std::thread::sleep(PAUSE);
        left.retain(|lock| lock.exists());
    }
    left.iter().try_for_each(|lock| store::remove(lock))
}

/// Lock files of the index, HEAD and refs, changed since then.
fn young_locks(git_dir: &Path, since: SystemTime) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(git_dir, 0, &mut found);
    for folder in ["refs", "logs"] {
        collect(&git_dir.join(folder), usize::MAX, &mut found);
    }
    let young =
        |lock: &PathBuf| lock.metadata().and_then(|m| m.modified()).is_ok_and(|at| at + ROUNDING >= since);
    found.retain(young);
    found
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "lock") {
            found.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect(&path, depth - 1, found);
        }
    }
}
