//! The Makefile and its scripts: every target is listed, and what is missing is named.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Run, World};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where PATH has a program.
fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on PATH"))
}

/// `scripts/need` as somebody who is not root, on a machine that has only these programs.
fn need(there: &[&str], wanted: &[&str]) -> Run {
    let world = World::empty();
    let path = world.path("bin");
    fs::create_dir(&path).unwrap();
    for name in ["sh", "sed", "awk", "cut", "dirname"].iter().chain(there) {
        symlink(which(name), path.join(name)).unwrap();
    }
    world.write("bin/id", "#!/bin/sh\necho 1000\n");
    fs::set_permissions(path.join("id"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut need = world.command("sh", root());
    need.arg("scripts/need").args(wanted).env("PATH", &path);
    need.output().unwrap().into()
}

#[test]
fn what_is_there_is_needed_in_silence() {
    let run = need(&["git"], &["git"]).exits(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[test]
fn everything_missing_is_named_at_once() {
    let run = need(&[], &["cargo", "cc", "git", "python3"]).exits(1);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told.len(), 4, "{run:#?}");
    for (line, what) in told.iter().zip(["Rust 1.", "C compiler", "git", "Python 3."]) {
        assert!(line.starts_with("missing: ") && line.contains(what), "{line:?} does not name {what:?}");
    }
}

#[test]
fn help_lists_every_target() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    let run: Run = Command::new("make").current_dir(root()).output().unwrap().into();
    let help = run.exits(0).stdout;
    for target in phony.split_whitespace().filter(|target| *target != "help") {
        assert!(help.contains(&format!("make {target} ")), "{target} is not in:\n{help}");
    }
}
