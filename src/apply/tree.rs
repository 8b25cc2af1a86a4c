//! Files and index between two commits. `advance` is the ordinary way: git's own two-way merge,
//! which refuses rather than overwrite. A settle plan brings the same files to either side from any
//! mixture of both that a kill, a full disk or a failed step left; git writes over whatever is in its
//! place, so that [`super::aside`] comes first. Neither looks at a file that is the same in both
//! commits, so local edits elsewhere stay as they are.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::checkout::Checkout;
use crate::sys::store;
use crate::version::CommitId;

/// Git's mode of a submodule entry; its files are not ours.
const GITLINK: &str = "160000";
/// Git's mode of a symbolic link.
pub const SYMLINK: &str = "120000";

/// One side of a changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Git's mode, six octal digits.
    pub mode: String,
    /// The blob.
    pub blob: String,
}

impl Side {
    /// A submodule, whose files are not ours.
    pub fn is_gitlink(&self) -> bool {
        self.mode == GITLINK
    }
}

/// A file that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the top level.
    pub path: PathBuf,
    /// Before; none: not there.
    pub old: Option<Side>,
    /// After; none: not there.
    pub new: Option<Side>,
}

impl Change {
    /// What it is on that side; none: not there.
    pub fn side(&self, goal: Goal) -> Option<&Side> {
        match goal {
            Goal::Old => self.old.as_ref(),
            Goal::New => self.new.as_ref(),
        }
    }

    /// Both sides, as far as it is there.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        [&self.old, &self.new].into_iter().flatten()
    }

    /// A submodule on either side.
    pub fn is_gitlink(&self) -> bool {
        self.sides().any(Side::is_gitlink)
    }
}

/// Which of the two commits the files shall be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The one before.
    Old,
    /// The one wanted.
    New,
}

/// The files that differ between two commits.
pub fn changes(checkout: &Checkout, old: &CommitId, new: &CommitId) -> anyhow::Result<Vec<Change>> {
    let arguments = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index"];
    let arguments = [&arguments[..], &[old.as_str(), new.as_str()]].concat();
    parse_raw(&checkout.git().output(&arguments)?)
}

/// `:oldmode newmode oldblob newblob status NUL path NUL …`. Source: git-diff-tree(1), raw output.
fn parse_raw(output: &[u8]) -> anyhow::Result<Vec<Change>> {
    let mut fields = output.split(|b| *b == 0).filter(|f| !f.is_empty());
    let mut found = Vec::new();
    while let Some(head) = fields.next() {
        let head = std::str::from_utf8(head).context("git's list of changes is not text")?;
        let words: Vec<&str> = head.trim_start_matches(':').split(' ').collect();
        let ([old_mode, new_mode, old_blob, new_blob, _], Some(path)) = (&words[..], fields.next()) else {
            bail!("git's list of changes has an unknown form: {head}");
        };
        let side = |mode: &str, blob: &str| {
            (mode != "000000").then(|| Side { mode: mode.to_owned(), blob: blob.to_owned() })
        };
        found.push(Change {
            path: PathBuf::from(OsStr::from_bytes(path)),
            old: side(old_mode, old_blob),
            new: side(new_mode, new_blob),
        });
    }
    Ok(found)
}

/// The command that takes files and index from one commit to another.
pub fn advance_command(from: &CommitId, to: &CommitId) -> [String; 5] {
    ["read-tree", "-m", "-u", from.as_str(), to.as_str()].map(str::to_owned)
}

/// One git command of bringing files to a side, with the paths it works on.
#[derive(Debug)]
pub struct SettleStep<'a> {
    words: Vec<String>,
    paths: Vec<&'a Change>,
    removes: bool,
}

/// The commands that bring every changed file, and its index entry, to `goal` (at `commit`) from
/// any mixture: first what is not there on that side goes, then what is there comes.
pub fn settle_plan<'a>(changes: &'a [Change], goal: Goal, commit: &CommitId) -> Vec<SettleStep<'a>> {
    let (there, gone): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|c| c.side(goal).is_some());
    let source = format!("--source={commit}");
    let steps = [
        // Where a folder of the goal is in place of a file, its entries go with it and come back below.
        (gone, vec!["rm", "--cached", "-r", "--quiet", "--ignore-unmatch"], true),
        (there, vec!["restore", &source, "--staged", "--worktree"], false),
    ];
    let some = steps.into_iter().filter(|(paths, ..)| !paths.is_empty());
    some.map(|(paths, words, removes)| SettleStep {
        words: words.into_iter().map(str::to_owned).collect(),
        paths,
        removes,
    })
    .collect()
}

impl SettleStep<'_> {
    /// Writes the list of paths, which may be too long for arguments.
    pub fn prepare(&self, list: &Path) -> anyhow::Result<()> {
        write_list(list, &self.paths)
    }

    /// Whether it puts files there, over whatever is in their place.
    pub fn writes(&self) -> bool {
        !self.removes
    }

    /// git's arguments.
    pub fn arguments(&self, list: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--literal-pathspecs".into()];
        arguments.extend(self.words.iter().map(OsString::from));
        let mut from_file = OsString::from("--pathspec-from-file=");
        from_file.push(list);
        arguments.push(from_file);
        arguments.push("--pathspec-file-nul".into());
        arguments
    }

    /// What git leaves to do: files that went from the index go from the folder.
    pub fn finish(&self, top: &Path) -> anyhow::Result<()> {
        let files = self.paths.iter().filter(|c| self.removes && !c.is_gitlink());
        files.into_iter().try_for_each(|c| remove_file(top, &c.path))
    }
}

fn write_list(list: &Path, changes: &[&Change]) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for change in changes {
        text.extend_from_slice(change.path.as_os_str().as_bytes());
        text.push(0);
    }
    store::replace(list, &text, 0o600, false)
}

fn remove_file(top: &Path, path: &Path) -> anyhow::Result<()> {
    if is_beyond_link(top, path) {
        return Ok(());
    }
    let file = top.join(path);
    // A folder in its place holds files of the other side, and a pipe or socket is somebody's.
    if !file.symlink_metadata().is_ok_and(|found| found.is_file() || found.is_symlink()) {
        return Ok(());
    }
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => {
            remove_empty_parents(top, path);
            Ok(())
        }
    }
}

/// Whether a folder above `path` is a link on this side: what lies there is not ours.
pub fn is_beyond_link(top: &Path, path: &Path) -> bool {
    let above = path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty());
    above.into_iter().any(|p| top.join(p).is_symlink())
}

fn remove_empty_parents(top: &Path, path: &Path) {
    for parent in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
        // Only an empty folder can be removed this way, which is the point.
        if fs::remove_dir(top.join(parent)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_changes_are_read_with_any_path() {
        let text = b":100644 000000 aa 00 D\0gone file\0:000000 120000 00 bb A\0new\nline\0";
        let found = parse_raw(text).unwrap();
        assert_eq!(found[0].path, Path::new("gone file"));
        assert!(found[0].new.is_none() && found[0].old.as_ref().unwrap().blob == "aa");
        assert_eq!(found[1].path, Path::new("new\nline"));
        assert!(found[1].old.is_none() && found[1].new.as_ref().unwrap().mode == SYMLINK);
        assert!(parse_raw(b":1 2 3\0x\0").is_err());
    }
}
