//! A folder that is read from often: the way to it is walked once, its files are opened by name.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens it.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Puts the whole file `name` into `bytes`, in place of what is there. Its size is not asked
    /// first: room that is kept from the last file mostly is enough.
    pub fn read(&self, name: &str, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        bytes.clear();
        let file = File::from(openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        file.take(u64::MAX).read_to_end(bytes).map(drop)
    }
}
