//! Tells the programs which commit they are built from, for `--version`.
//!
//! `TELECLAUDE_BUILD_COMMIT` names it for a build from an archive, empty for none; else git is
//! asked, if this folder is the top of a work tree. Cargo runs this again only when HEAD moves.
#![allow(clippy::disallowed_methods, reason = "a build script is not what is shipped")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// As many digits as the signal file shows.
const DIGITS: usize = 12;
const GIVEN: &str = "TELECLAUDE_BUILD_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={GIVEN}");
    let commit = match std::env::var(GIVEN) {
        Ok(given) => given,
        Err(_) => ask_git().unwrap_or_default(),
    };
    let is_id = (DIGITS..=64).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id && !commit.is_empty() {
        println!("cargo::error={GIVEN} must be a commit id of {DIGITS} or more hex digits, not {commit:?}");
        return;
    }
    println!("cargo::rustc-env=TELECLAUDE_COMMIT={}", commit.get(..DIGITS).unwrap_or_default());
}

/// The commit at HEAD. A folder inside somebody else's work tree has none of its own.
fn ask_git() -> Option<String> {
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    let here = std::env::current_dir().ok()?;
    if top.canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    watch();
    git(&["rev-parse", "--verify", "HEAD^{commit}"])
}

/// Names the files that change when HEAD moves: HEAD itself and its log, which a linked work tree
/// has for itself, then where the branch is kept. Only what exists: cargo takes a file that is
/// not there as changed, and would build again at every call.
fn watch() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let loose = branch.as_deref().and_then(place);
    let logged = watch_file(place("logs/HEAD"));
    watch_file(place("HEAD"));
    watch_file(place("reftable/tables.list"));
    if !watch_file(loose.clone()) {
        watch_file(place("packed-refs"));
        // A packed branch that moves gets a file of its own, which only a log would tell.
        if !logged {
            let folder = loose.as_deref().and_then(|file| file.ancestors().skip(1).find(|dir| dir.is_dir()));
            watch_file(folder.map(Path::to_owned));
        }
    }
}

/// Where git keeps something, in a linked work tree too.
fn place(name: &str) -> Option<PathBuf> {
    git(&["rev-parse", "--git-path", name]).map(PathBuf::from)
}

fn watch_file(path: Option<PathBuf>) -> bool {
    let Some(path) = path.filter(|path| path.exists()) else { return false };
    println!("cargo::rerun-if-changed={}", path.display());
    true
}

/// One line of git's, `None` where git is missing or says no.
fn git(words: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Set by a hook that builds, for another repository than this one.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    let output = git.args(words).output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}
