//! Discovery: which scripts the checkout has, in order, and every fault of the tree at once.
//! Reads folders and files; changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::MigrationId;
use super::result::count;
use crate::outcome::{Halt, Reason};
use crate::version::Version;

/// The folder in the checkout.
pub const FOLDER: &str = "migrations";

/// A script that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its id.
    pub id: MigrationId,
    /// Where it is.
    pub path: PathBuf,
}

/// Something in the tree that is almost a migration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Relative to the checkout.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// What the tree holds.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// In the order in which they run.
    pub scripts: Vec<Script>,
    /// Every fault.
    pub faults: Vec<Fault>,
}

impl Tree {
    /// Reads `migrations/` of a checkout; a checkout without one has no scripts.
    pub fn read(checkout: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        for entry in entries_of(&checkout.join(FOLDER), &mut tree, FOLDER)? {
            tree.look_at_version(checkout, &entry.file_name())?;
        }
        tree.scripts.sort_by(|a, b| a.id.cmp(&b.id));
        tree.find_doubles();
        tree.faults.sort();
        Ok(tree)
    }

    /// The scripts of a tree that has no faults.
    pub fn sound(checkout: &Path) -> Result<Vec<Script>, Halt> {
        let tree = Self::read(checkout)?;
        if tree.faults.is_empty() { Ok(tree.scripts) } else { Err(invalid(&tree.faults)) }
    }

    fn look_at_version(&mut self, checkout: &Path, name: &OsStr) -> anyhow::Result<()> {
        let text = name.to_string_lossy();
        let place = format!("{FOLDER}/{text}");
        let path = checkout.join(FOLDER).join(name);
        if text.starts_with(char::is_numeric) && is_almost_script(&text) {
            self.fault(&place, "a script belongs into a folder of a version (v1.2.3)");
            return Ok(());
        }
        let Some(version) = version_of(&text) else {
            if is_almost_version(&text) {
                self.fault(
                    &place,
                    "a folder of a version is named v{major}.{minor}.{patch}, without leading zeros",
                );
            }
            return Ok(());
        };
        if !path.is_dir() {
            self.fault(&place, "it is named like a version and is not a folder");
            return Ok(());
        }
        for entry in entries_of(&path, self, &place)? {
            self.look_at_script(&entry, &place, &version);
        }
        Ok(())
    }

    fn look_at_script(&mut self, entry: &DirEntry, place: &str, version: &Version) {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        match name.to_str().and_then(|file| MigrationId::new(version.clone(), file)) {
            Some(id) if is_file(entry) => self.scripts.push(Script { id, path: entry.path() }),
            Some(_) => self.fault(&format!("{place}/{text}"), "it is named like a script and is not a file"),
            None if is_almost_script(&text) => self.fault(
                &format!("{place}/{text}"),
                "a script is named NNN_description.py: three digits, then letters, digits and _ (a helper begins with _)",
            ),
            None => {}
        }
    }

    fn find_doubles(&mut self) {
        let mut by_number: BTreeMap<(&Version, &str), Vec<&MigrationId>> = BTreeMap::new();
        for script in &self.scripts {
            by_number.entry((script.id.version(), script.id.number())).or_default().push(&script.id);
        }
        let doubles: Vec<Fault> = by_number
            .into_values()
            .filter(|ids| ids.len() > 1)
            .flatten()
            .map(|id| Fault {
                path: format!("{FOLDER}/v{id}"),
                problem: format!("number {} is there twice in version {}", id.number(), id.version()),
            })
            .collect();
        self.faults.extend(doubles);
    }

    fn fault(&mut self, path: &str, problem: &str) {
        // A name may hold a line end, or what a terminal obeys.
        let shown = path.replace(char::is_control, "\u{fffd}");
        self.faults.push(Fault { path: shown, problem: problem.to_owned() });
    }
}

/// The folder mostly tells by itself; only a link has to be followed.
fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file()) || entry.path().is_file()
}

/// What is in a folder; nothing when it is not there, a fault when it is not a folder.
fn entries_of(dir: &Path, tree: &mut Tree, place: &str) -> anyhow::Result<Vec<DirEntry>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && !dir.is_symlink() => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            tree.fault(place, "it is a link that leads nowhere");
            return Ok(Vec::new());
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            tree.fault(place, "it is not a folder");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    };
    let entries: std::io::Result<Vec<_>> = entries.collect();
    entries.with_context(|| format!("cannot read {}", dir.display()))
}

fn version_of(name: &str) -> Option<Version> {
    Version::parse_release(name.strip_prefix('v')?).filter(|version| format!("v{version}") == name)
}

/// `1.2.3`, `v1.2`, `V1.2.3`, `v01.2.3`, `v1.2.3-rc1`, `v１.2.3`… but not `vendor` or `2024`.
fn is_almost_version(name: &str) -> bool {
    let name = name.trim();
    let rest = name.trim_start_matches(['v', 'V', '-', '_', ' ', '.']);
    let marked = name.starts_with(['v', 'V']) || rest.contains('.');
    marked && rest.starts_with(char::is_numeric)
}

/// A Python file, or something numbered that was meant to be one; what editors and merges leave
/// behind is neither.
fn is_almost_script(name: &str) -> bool {
    const LEFTOVERS: &[&str] = &["~", ".bak", ".orig", ".rej", ".swp", ".pyc", ".tmp"];
    let lower = name.trim().to_lowercase();
    if lower.starts_with(['.', '_', '#']) || LEFTOVERS.iter().any(|end| lower.ends_with(end)) {
        return false;
    }
    // What an update keeps of a person's edits, beside the file.
    if lower.contains(".kept-") {
        return false;
    }
    let numbered = lower.starts_with(char::is_numeric);
    lower.ends_with(".py") || (numbered && (lower.contains(".py") || !lower.contains('.')))
}

fn invalid(faults: &[Fault]) -> Halt {
    let told: Vec<String> = faults.iter().map(|f| format!("{}: {}", f.path, f.problem)).collect();
    let offenders: Vec<_> =
        faults.iter().map(|f| serde_json::json!({"path": f.path, "problem": f.problem})).collect();
    let things = count(faults.len()).replace("migration", "thing");
    let message =
        format!("{things} in {FOLDER}/ must be put right before anything runs: {}", told.join("; "));
    Halt::blocked(Reason::InvalidTree, message).with("offenders", offenders)
}

/// The script of an id, among scripts in order.
pub(super) fn find<'a>(scripts: &'a [Script], id: &MigrationId) -> Option<&'a Script> {
    scripts.binary_search_by(|script| script.id.cmp(id)).ok().map(|at| &scripts[at])
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_almost_right_are_told_from_strangers() {
        for (name, almost) in [
            ("1.2.3", true),
            ("v1.2", true),
            ("V1.2.3", true),
            ("v01.2.3", true),
            ("v1.2.3-rc.1", true),
            ("v1.2.3.4", true),
            ("v1", true),
            ("v1.2.99999999999999999999", true),
            ("v\u{ff11}.2.3", true),
            ("v\u{661}.\u{662}.\u{663}", true),
            ("\u{ff11}.2.3", true),
            ("vendor", false),
            ("v-next", false),
            ("2024-notes", false),
            ("__pycache__", false),
            ("README.md", false),
        ] {
            assert_eq!(is_almost_version(name), almost, "{name}");
            assert_eq!(version_of(name), None, "{name}");
        }
        for (name, almost) in [
            ("1_a.py", true),
            ("001-a.py", true),
            ("001_a.PY", true),
            ("001_a.py ", true),
            ("add_column.py", true),
            ("001_a", true),
            ("001_a.py.txt", true),
            ("001_a.pyw", true),
            ("__init__.py", false),
            ("_helpers.py", false),
            (".001_a.py.swp", false),
            ("001_a.py~", false),
            ("001_a.py.orig", false),
            ("001_a.py.kept-20261124T130000Z-7", false),
            ("001_a.sql", false),
            ("notes.md", false),
        ] {
            assert_eq!(is_almost_script(name), almost, "{name}");
        }
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "migrations/v1.1.0/001_a.py",
            "migrations/v1.1.0/001_b.py",
            "migrations/v1.01.0/001_a.py",
            "migrations/v1.2.0/1_a.py",
            "migrations/v1.2.0/002_dir.py/x",
            "migrations/v1.2.0/003_good.py",
            "migrations/v1.10.0/001_good.py",
            "migrations/001_lost.py",
            "migrations/v2.0.0",
            "migrations/__init__.py",
            "migrations/v1.2.0/__pycache__/x.pyc",
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let tree = Tree::read(dir.path()).unwrap();
        let faults: Vec<_> = tree.faults.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            faults,
            [
                "migrations/001_lost.py",
                "migrations/v1.01.0",
                "migrations/v1.1.0/001_a.py",
                "migrations/v1.1.0/001_b.py",
                "migrations/v1.2.0/002_dir.py",
                "migrations/v1.2.0/1_a.py",
                "migrations/v2.0.0",
            ]
        );
        let ids: Vec<_> = tree.scripts.iter().map(|s| s.id.to_string()).collect();
        assert_eq!(ids, ["1.1.0/001_a.py", "1.1.0/001_b.py", "1.2.0/003_good.py", "1.10.0/001_good.py"]);
        assert_eq!(Tree::sound(dir.path()).unwrap_err().reason, Reason::InvalidTree);
    }

    #[test]
    fn no_folder_is_no_scripts() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Tree::sound(dir.path()).unwrap().is_empty());
        let folder = dir.path().join("migrations");
        std::fs::write(&folder, "").unwrap();
        assert!(Tree::sound(dir.path()).is_err());
        // A folder that is mounted or linked and not there now is not one without scripts.
        std::fs::remove_file(&folder).unwrap();
        std::os::unix::fs::symlink("nowhere", &folder).unwrap();
        assert!(Tree::sound(dir.path()).is_err());
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_shown_harmlessly() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("migrations/v1.2.0")).unwrap();
        std::fs::write(dir.path().join("migrations/v1.2.0/001_\u{1b}[2J\n.py"), "").unwrap();
        let faults = Tree::read(dir.path()).unwrap().faults;
        assert_eq!(faults[0].path, "migrations/v1.2.0/001_\u{fffd}[2J\u{fffd}.py");
    }
}
