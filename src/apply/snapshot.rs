//! Copies of the files an update must be able to put back (`config.yml`, `.env`), in a private
//! folder of the state home, while a transaction is in progress.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::home::{Home, make_private_dir};
use crate::sys::store;

/// One file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// Where it belongs, links resolved.
    pub path: PathBuf,
    /// Its copy; none: there was no such file.
    pub copy: Option<PathBuf>,
    /// Its permission bits.
    pub mode: u32,
}

/// Copies `files` (relative ones belong to `top`). Older copies are replaced.
pub fn take(home: &Home, top: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<SnapshotEntry>> {
    let folder = home.snapshot();
    discard(home)?;
    make_private_dir(&folder)?;
    let copies =
        files.iter().enumerate().map(|(n, file)| take_one(&folder.join(n.to_string()), &top.join(file)));
    copies.collect()
}

fn take_one(copy: &Path, path: &Path) -> anyhow::Result<SnapshotEntry> {
    // A link stays a link: what it points at is what changes.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Looked at before it is opened: a FIFO would be waited on for ever.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        anyhow::bail!("cannot copy {} before the migrations: it is no regular file", path.display());
    }
    match fs::read(&path) {
        Ok(content) => {
            store::replace(copy, &content, 0o600, true)?;
            let mode = fs::metadata(&path).map_or(0o600, |m| m.permissions().mode() & 0o7777);
            Ok(SnapshotEntry { path, copy: Some(copy.to_owned()), mode })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(SnapshotEntry { path, copy: None, mode: 0 }),
        Err(error) => {
            Err(error).with_context(|| format!("cannot copy {} before the migrations", path.display()))
        }
    }
}

/// Puts every file back that is not as it was. A file that was not there is removed.
pub fn restore(entries: &[SnapshotEntry]) -> anyhow::Result<()> {
    entries.iter().try_for_each(restore_one)
}

fn restore_one(entry: &SnapshotEntry) -> anyhow::Result<()> {
    let Some(copy) = &entry.copy else { return store::remove(&entry.path) };
    let was = fs::read(copy).with_context(|| format!("cannot read the copy {}", copy.display()))?;
    // An unchanged file stays untouched: service managers watch some of them.
    if fs::read(&entry.path).is_ok_and(|now| now == was) {
        return Ok(());
    }
    store::replace(&entry.path, &was, entry.mode, true)
}

/// Removes the copies; the transaction is over.
pub fn discard(home: &Home) -> anyhow::Result<()> {
    match fs::remove_dir_all(home.snapshot()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", home.snapshot().display()))
        }
        _ => Ok(()),
    }
}
