//! Copies of the files an update must be able to put back (`config.yml`, `.env`), in a private
//! folder of the state home, while a transaction is in progress.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
        entry.after = Some(fingerprint(fs::read(&entry.path).ok().as_deref()));
    }
}

fn fingerprint(content: Option<&[u8]>) -> String {
    let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
    let told = |content| Sha256::digest(content).iter().fold(String::new(), hex);
    content.map_or_else(|| "absent".to_owned(), told)
}

/// Puts every file back that is not as it was; a file that was not there is removed. What somebody
/// else changed meanwhile is kept beside it, under a name that ends in `keep_name`. Returns those.
pub fn restore(entries: &[SnapshotEntry], keep_name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for entry in entries {
        restore_link(entry)?;
        kept.extend(restore_one(entry, keep_name)?);
    }
    Ok(kept)
}

/// A file that was put in the link's place gives way.
fn restore_link(entry: &SnapshotEntry) -> anyhow::Result<()> {
    match &entry.link {
        Some((named, text)) if fs::read_link(named).ok().as_ref() != Some(text) => store::link(text, named),
        _ => Ok(()),
    }
}

fn restore_one(entry: &SnapshotEntry, keep_name: &str) -> anyhow::Result<Option<PathBuf>> {
    let was = match &entry.copy {
        Some(copy) => {
            Some(fs::read(copy).with_context(|| format!("cannot read the copy {}", copy.display()))?)
        }
        None => None,
    };
    let aside = with_suffix(&entry.path, keep_name);
    if entry.path.is_dir() {
        store::move_to(&entry.path, &aside)?;
        put(entry, was.as_deref())?;
        return Ok(Some(aside));
    }
    let now = fs::read(&entry.path).ok();
    // An unchanged file stays untouched: service managers watch some of them. What only a person
    // changed is theirs.
    if now == was || entry.after.as_ref() == Some(&fingerprint(was.as_deref())) {
        return Ok(None);
    }
    let of_migrations = entry.after.as_ref() == Some(&fingerprint(now.as_deref()));
    let kept = now.filter(|_| !of_migrations);
    if let Some(content) = &kept {
        store::replace(&aside, content, 0o600, true)?;
    }
    put(entry, was.as_deref())?;
    Ok(kept.map(|_| aside))
}

fn put(entry: &SnapshotEntry, was: Option<&[u8]>) -> anyhow::Result<()> {
    match was {
        Some(content) => store::replace(&entry.path, content, entry.mode, true),
        None => store::remove(&entry.path),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{suffix}"));
    name.into()
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
