//! Files that another program wrote, onto the disk. What we write ourselves is synced by `store`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::io::Errno;

use super::{failpoint, plain};

/// From so many files on, a call for each costs more than one for the whole file system.
const MANY: usize = 200;

/// Makes `files`, and the folders they are in, durable; all of them are below `top` and on its file
/// system. Linux has one call for a whole file system: of 2,000 new files it takes 0.5 s where a call
/// each takes 5 s. It waits for what others wrote, too, so that few files are better off without.
pub fn flush(top: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    failpoint::pass(&format!("durable.flush {}", top.display()))?;
    if files.len() < MANY {
        return one_by_one(top, files);
    }
    let syncing = || format!("cannot sync {}", top.display());
    match whole_file_system(&File::open(top).with_context(syncing)?) {
        Err(Errno::NOSYS) => one_by_one(top, files),
        other => other.with_context(syncing),
    }
}

#[cfg(target_os = "linux")]
fn whole_file_system(folder: &File) -> Result<(), Errno> {
    rustix::fs::syncfs(folder)
}

#[cfg(not(target_os = "linux"))]
fn whole_file_system(_folder: &File) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

fn one_by_one(top: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut folders: Vec<&Path> = files.iter().flat_map(|f| f.ancestors().skip(1)).collect();
    folders.retain(|folder| folder.starts_with(top));
    folders.sort_unstable();
    folders.dedup();
    // A link is in its folder; what else cannot be opened is not ours, or is gone.
    let opened = files.iter().filter_map(|file| plain::options().read(true).open(file).ok());
    for file in opened.chain(folders.iter().filter_map(|folder| File::open(folder).ok())) {
        rustix::fs::fsync(&file).with_context(|| format!("cannot sync the files of {}", top.display()))?;
    }
    // Where fsync ends at the drive's own memory (macOS), this goes through it, once.
    let last = File::open(top).and_then(|folder| folder.sync_all());
    last.with_context(|| format!("cannot sync {}", top.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_links_and_what_is_gone_are_flushed_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let file = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink("nowhere", file("a/link")).unwrap();
        File::options().create_new(true).write(true).open(file("a/b/file")).unwrap();
        let files = [file("a/b/file"), file("a/link"), file("gone/file")];
        one_by_one(dir.path(), &files).unwrap();
        let many: Vec<PathBuf> = files.iter().cycle().take(MANY).cloned().collect();
        flush(dir.path(), &many).unwrap();
        assert!(flush(&file("gone"), &files).is_err());
    }
}
