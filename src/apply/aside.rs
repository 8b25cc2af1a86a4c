//! What somebody else put where the update works: told apart from what belongs to either version, and
//! given a free name beside itself. Looks only; who moves it notes that in the journal first.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::tree::{Change, Goal, SYMLINK, Side, is_beyond_link};
use crate::checkout::Checkout;

/// Paths given to one git command as arguments.
const BATCH: usize = 200;

/// Bytes in a name, on the file systems in use.
const LONGEST_NAME: usize = 255;

/// A name beside `path` that nothing has: what was kept before under the same name stays.
pub fn free_name(path: &Path, keep_name: &str) -> PathBuf {
    let named = |suffix: &str| {
        let end = format!(".{keep_name}{suffix}");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let room = LONGEST_NAME.saturating_sub(end.len());
        if path.file_name().is_some_and(|name| name.len() <= room) {
            let mut whole = path.as_os_str().to_owned();
            whole.push(end);
            return PathBuf::from(whole);
        }
        // Its beginning tells what it is.
        let cut = (0..=room).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        path.with_file_name(format!("{}{end}", &name[..cut]))
    };
    let further = (2_u32..).map(|n| named(&format!("-{n}")));
    let mut names = std::iter::once(named("")).chain(further);
    names.find(|name| name.symlink_metadata().is_err()).unwrap_or_else(|| named(""))
}

/// Changed files and links that are neither side, nor the beginning of one, as a kill leaves it.
pub fn edited(checkout: &Checkout, changes: &[Change]) -> anyhow::Result<Vec<PathBuf>> {
    let top = checkout.top();
    let (mut files, mut found) = (Vec::new(), Vec::new());
    for change in changes.iter().filter(|c| !c.is_gitlink() && !is_beyond_link(top, &c.path)) {
        let path = top.join(&change.path);
        let Ok(facts) = path.symlink_metadata() else { continue };
        if facts.is_symlink() && is_foreign_link(checkout, change)? {
            found.push(path);
        } else if facts.is_file() {
            files.push(change);
        }
    }
    // What cannot be read cannot be told apart.
    let (files, unreadable): (Vec<&Change>, Vec<&Change>) =
        files.into_iter().partition(|c| File::open(top.join(&c.path)).is_ok());
    found.extend(unreadable.iter().map(|c| top.join(&c.path)));
    for batch in files.chunks(BATCH) {
        let blobs = hash_files(checkout, batch)?;
        for (change, blob) in batch.iter().zip(blobs) {
            if !change.sides().any(|s| s.blob == blob) && !is_beginning_of_a_side(checkout, change)? {
                found.push(top.join(&change.path));
            }
        }
    }
    Ok(found)
}

/// What stands where `goal` has a file, once all that is ours and not of that side is gone. git would
/// remove a folder there with everything in it, and a file where a folder must be.
pub fn in_the_way(top: &Path, changes: &[Change], goal: Goal) -> BTreeSet<PathBuf> {
    let files = changes.iter().filter(|c| c.side(goal).is_some_and(|s| !s.is_gitlink()));
    files.filter_map(|c| obstacle(top, &c.path)).collect()
}

fn obstacle(top: &Path, path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
    above.reverse();
    for folder in above {
        let place = top.join(folder);
        // Where there is nothing, there is nothing below either.
        if !place.symlink_metadata().ok()?.is_dir() {
            return Some(place);
        }
    }
    let place = top.join(path);
    let facts = place.symlink_metadata().ok()?;
    (is_odd(&facts) || (facts.is_dir() && holds_anything(&place))).then_some(place)
}

/// A pipe, a socket, a device.
fn is_odd(facts: &Metadata) -> bool {
    !(facts.is_file() || facts.is_symlink() || facts.is_dir())
}

/// Empty folders are nothing; one that cannot be looked into may hold anything.
fn holds_anything(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else { return true };
    entries.any(|entry| {
        entry.map_or(true, |e| !e.file_type().is_ok_and(|t| t.is_dir()) || holds_anything(&e.path()))
    })
}

/// A link has no content but its target.
fn is_foreign_link(checkout: &Checkout, change: &Change) -> anyhow::Result<bool> {
    let target = fs::read_link(checkout.top().join(&change.path))
        .with_context(|| format!("cannot read the link {}", change.path.display()))?;
    for side in change.sides().filter(|s| s.mode == SYMLINK) {
        if checkout.git().output(&["cat-file", "blob", &side.blob])? == target.as_os_str().as_bytes() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The blobs these files would be, with the checkout's own filters and line ends.
fn hash_files(checkout: &Checkout, batch: &[&Change]) -> anyhow::Result<Vec<String>> {
    let mut arguments: Vec<OsString> = vec!["hash-object".into(), "--".into()];
    arguments.extend(batch.iter().map(|c| c.path.as_os_str().to_owned()));
    let text = checkout.git().text(&arguments)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Whether a kill cut the file short while git was writing it.
fn is_beginning_of_a_side(checkout: &Checkout, change: &Change) -> anyhow::Result<bool> {
    let content = fs::read(checkout.top().join(&change.path))
        .with_context(|| format!("cannot read {}", change.path.display()))?;
    for Side { blob, .. } in change.sides() {
        let mut path = OsString::from("--path=");
        path.push(&change.path);
        let arguments: [OsString; 4] = ["cat-file".into(), "--filters".into(), path, blob.into()];
        if checkout.git().output(&arguments)?.starts_with(&content) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_so_that_the_kept_one_is_no_longer_than_allowed() {
        for name in ["a.txt".to_owned(), "a".repeat(255), "ä".repeat(127)] {
            let free = free_name(&Path::new("/nowhere").join(&name), "kept-20261124T130000Z-4711");
            let kept = free.file_name().unwrap().to_str().unwrap();
            assert!(kept.len() <= 255 && kept.ends_with(".kept-20261124T130000Z-4711"), "{kept}");
            assert!(kept.starts_with(&name.chars().take(5).collect::<String>()), "{kept}");
        }
    }
}
