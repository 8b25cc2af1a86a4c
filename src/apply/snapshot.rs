//! Copies of the files an update must be able to put back (`config.yml`, `.env`), in a private
//! folder of the state home, while a transaction is in progress.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::aside;
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
    /// The link that led there, where one did, and its text.
    #[serde(default)]
    pub link: Option<(PathBuf, PathBuf)>,
    /// What it was when the migrations had ended; none: they did not come to an end.
    #[serde(default)]
    pub after: Option<String>,
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
    let link = fs::read_link(path).ok().map(|text| (path.to_owned(), text));
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Looked at before it is opened: a FIFO would be waited on for ever.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        anyhow::bail!("cannot copy {} before the migrations: it is no regular file", path.display());
    }
    match fs::read(&path) {
        Ok(content) => {
            store::replace(copy, &content, 0o600, true)?;
            let mode = fs::metadata(&path).map_or(0o600, |m| m.permissions().mode() & 0o7777);
            Ok(SnapshotEntry { path, copy: Some(copy.to_owned()), mode, link, after: None })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(SnapshotEntry { path, copy: None, mode: 0, link, after: None })
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot copy {} before the migrations", path.display()))
        }
    }
}

/// Remembers what the migrations left, to tell it from what somebody changes later.
pub fn note_after(entries: &mut [SnapshotEntry]) {
    for entry in entries {
        entry.after = Some(seen(entry));
    }
}

/// What is there in place of what was, and would be lost when that is put back.
#[derive(Debug, Default)]
pub struct AtRisk {
    /// Files, to be copied: a daemon may read one at any moment.
    pub files: Vec<PathBuf>,
    /// Anything else, to be moved.
    pub others: Vec<PathBuf>,
}

/// The files that migrations may have changed, which fit the version that is undone. What only others
/// changed is theirs and stays. `began`: whether any migration did.
pub fn to_put_back(entries: &[SnapshotEntry], began: bool) -> anyhow::Result<Vec<SnapshotEntry>> {
    let mut found = Vec::new();
    for entry in entries.iter().filter(|_| began) {
        let was = fingerprint(content_before(entry)?.as_deref());
        if seen(entry) != was && entry.after.as_ref() != Some(&was) {
            found.push(entry.clone());
        }
    }
    Ok(found)
}

/// What is not byte for byte as it was. Nobody can tell whether a migration alone wrote it: while one
/// runs, its checkout stays its owner's.
pub fn at_risk(entries: &[SnapshotEntry]) -> anyhow::Result<AtRisk> {
    let mut risk = AtRisk::default();
    for entry in entries {
        let was = content_before(entry)?;
        for place in std::iter::once(&entry.path).chain(replaced_link(entry)) {
            let Ok(facts) = place.symlink_metadata() else { continue };
            match content(place).filter(|_| facts.is_file()) {
                None => risk.others.push(place.clone()),
                now if now == was => {}
                Some(_) => risk.files.push(place.clone()),
            }
        }
    }
    Ok(risk)
}

/// Copies a file beside itself. Attempts that end alike leave one copy.
pub fn copy_beside(path: &Path, keep_name: &str) -> anyhow::Result<PathBuf> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(copy) = earlier_copy(path, &content) {
        return Ok(copy);
    }
    let aside = aside::free_name(path, keep_name);
    store::replace(&aside, &content, 0o600, true)?;
    Ok(aside)
}

fn earlier_copy(path: &Path, wanted: &[u8]) -> Option<PathBuf> {
    let mut start = path.file_name()?.to_owned();
    start.push(".kept-");
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    let ours = entries.filter(|e| e.file_name().as_bytes().starts_with(start.as_bytes()));
    let mut same = ours.filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    same.find(|e| content(&e.path()).is_some_and(|found| found == wanted)).map(|e| e.path())
}

/// Puts these back as they were; a file that was not there is removed.
pub fn restore(entries: &[SnapshotEntry]) -> anyhow::Result<()> {
    for entry in entries {
        if let (Some(named), Some((_, text))) = (replaced_link(entry), &entry.link) {
            store::link(text, named)?;
        }
        let was = content_before(entry)?;
        // An unchanged file stays untouched: service managers watch some of them.
        if content(&entry.path) != was {
            put(entry, was.as_deref())?;
        }
    }
    Ok(())
}

fn put(entry: &SnapshotEntry, was: Option<&[u8]>) -> anyhow::Result<()> {
    match was {
        Some(content) => store::replace(&entry.path, content, entry.mode, true),
        None => store::remove(&entry.path),
    }
}

/// Where the link was, when it is not that link any more.
fn replaced_link(entry: &SnapshotEntry) -> Option<&PathBuf> {
    let (named, text) = entry.link.as_ref()?;
    (fs::read_link(named).ok().as_ref() != Some(text)).then_some(named)
}

fn content_before(entry: &SnapshotEntry) -> anyhow::Result<Option<Vec<u8>>> {
    let read =
        |copy: &PathBuf| fs::read(copy).with_context(|| format!("cannot read the copy {}", copy.display()));
    entry.copy.as_ref().map(read).transpose()
}

/// The content of a regular file; a FIFO would be waited on for ever.
fn content(path: &Path) -> Option<Vec<u8>> {
    path.metadata().ok().filter(|found| found.is_file())?;
    fs::read(path).ok()
}

/// What is there now, and in the place of a link that is not that link any more.
fn seen(entry: &SnapshotEntry) -> String {
    let there = fingerprint(content(&entry.path).as_deref());
    match replaced_link(entry) {
        Some(named) => format!("{there} {}", fingerprint(content(named).as_deref())),
        None => there,
    }
}

fn fingerprint(content: Option<&[u8]>) -> String {
    let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
    let told = |content| Sha256::digest(content).iter().fold(String::new(), hex);
    content.map_or_else(|| "absent".to_owned(), told)
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
