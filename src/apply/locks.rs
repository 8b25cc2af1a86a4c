//! Lock files that a git of ours left in `.git` when it was ended. What was there before that git began
//! is somebody else's and stays, whatever the clock says; so does everything where no git of ours was
//! ended.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::checkout::Checkout;
use crate::sys::store;

/// A short git command of the user is over within this time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looked at this often.
const PAUSE: Duration = Duration::from_millis(25);

/// The lock files of the index, HEAD and refs that are there now, by their names within `.git`.
pub fn present(checkout: &Checkout) -> Vec<String> {
    let folder = checkout.git_dir();
    let mut names: Vec<String> = all(folder).iter().map(|lock| name(folder, lock)).collect();
    names.sort();
    names
}

/// Removes what a git of ours that was ended left locked: what was not there `before` it began, and is
/// still there when a living owner would have finished.
pub fn remove_left(checkout: &Checkout, before: &[String]) -> anyhow::Result<()> {
    let folder = checkout.git_dir();
    let mut left = all(folder);
    left.retain(|lock| !before.contains(&name(folder, lock)));
    let until = Instant::now() + PATIENCE;
    while !left.is_empty() && Instant::now() < until {
        std::thread::sleep(PAUSE);
        left.retain(|lock| lock.exists());
    }
    left.iter().try_for_each(|lock| store::remove(lock))
}

fn name(folder: &Path, lock: &Path) -> String {
    lock.strip_prefix(folder).unwrap_or(lock).to_string_lossy().into_owned()
}

fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, 0, &mut found);
    for inner in ["refs", "logs"] {
        collect(&folder.join(inner), usize::MAX, &mut found);
    }
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
