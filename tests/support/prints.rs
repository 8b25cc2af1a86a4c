//! What a checkout and a state home are, byte for byte, so that "nothing was touched" can be said.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::World;

/// Every file, link and folder with its mode and content.
pub type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// Everything a refusal must leave as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prints {
    /// The working tree.
    pub tree: Tree,
    /// The index, as its bytes.
    pub index: Vec<u8>,
    /// HEAD, as its text.
    pub head: String,
    /// Branches.
    pub refs: String,
}

/// Takes the fingerprint of the checkout.
#[track_caller]
pub fn of(world: &World) -> Prints {
    let git = world.checkout().join(".git");
    Prints {
        tree: tree(&world.checkout()),
        index: fs::read(git.join("index")).unwrap(),
        head: fs::read_to_string(git.join("HEAD")).unwrap(),
        refs: world.git(&["for-each-ref", "refs/heads"]),
    }
}

impl Prints {
    /// Asserts that the checkout is as it was, and names what is not.
    #[track_caller]
    pub fn hold(&self, world: &World, case: &str) {
        let now = of(world);
        assert_same_tree(&self.tree, &now.tree, case);
        assert_eq!(self.head, now.head, "{case}: HEAD");
        assert_eq!(self.refs, now.refs, "{case}: branches");
        assert_eq!(self.index, now.index, "{case}: the index");
    }
}

/// Names the first paths that differ.
#[track_caller]
pub fn assert_same_tree(before: &Tree, now: &Tree, case: &str) {
    let all = before.keys().chain(now.keys());
    let differ: Vec<_> = all.filter(|path| before.get(*path) != now.get(*path)).collect();
    assert!(differ.is_empty(), "{case}: changed: {differ:?}");
}

/// A folder as it is, without `.git`.
pub fn tree(top: &Path) -> Tree {
    let mut found = Tree::new();
    collect(top, top, &mut found);
    found
}

fn collect(top: &Path, folder: &Path, found: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().to_owned();
        if name == Path::new(".git") {
            continue;
        }
        let facts = path.symlink_metadata().unwrap();
        let content = if facts.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if facts.is_dir() {
            collect(top, &path, found);
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(name, (facts.permissions().mode(), content));
    }
}
