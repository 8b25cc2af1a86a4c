//! `make demo` shows what it says, leaves nothing behind, and fails where a promise is not kept.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use support::{Run, World, binary};

/// The folder of the programs under test.
fn programs() -> PathBuf {
    binary("telec").parent().unwrap().to_owned()
}

/// Plays the demo with the programs of a folder; its own folder is made in `tmp`.
fn play(world: &World, programs: &Path) -> Run {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tmp = world.path("tmp");
    fs::create_dir_all(&tmp).unwrap();
    let mut demo = world.command("python3", root);
    demo.arg("demo/run.py").arg("--programs").arg(programs).env("TMPDIR", &tmp);
    demo.output().unwrap().into()
}

/// A folder with the real programs, but one of them replaced by a script.
fn with_fake(world: &World, name: &str, script: &str) -> PathBuf {
    let folder = world.path("fakes");
    fs::create_dir_all(&folder).unwrap();
    for real in ["version-watch", "apply-update", "run-migrations", "telec", "examples"] {
        symlink(programs().join(real), folder.join(real)).unwrap();
    }
    let fake = folder.join(name);
    fs::remove_file(&fake).unwrap();
    fs::write(&fake, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[track_caller]
fn leaves_nothing(world: &World) {
    let left: Vec<_> = fs::read_dir(world.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Each text comes after the one before it.
#[track_caller]
fn in_order(told: &str, texts: &[&str]) {
    let mut rest = told;
    for text in texts {
        let at = rest.find(text).unwrap_or_else(|| panic!("{text:?} does not follow in:\n{told}"));
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn a_release_is_found_and_applied() {
    let world = World::empty();
    let run = play(&world, &programs()).exits(0);
    in_order(
        &run.stdout,
        &[
            "Greeter v1.0.0",
            "$ version-watch",
            "(exit code 10)",
            "$ apply-update",
            "(exit code 42)",
            "greeter 1.1.0 (pid",
            "Greeter v1.1.0",
            "rolled_back (health_failed)",
            "Greeter v1.2.1",
            "All as promised",
        ],
    );
    // Told by a reader beside it, at its own pace.
    for told in ["deployed, 1.0.0 to 1.1.0", "rolled_back, 1.1.0 to 1.2.0", "deployed, 1.1.0 to 1.2.1"] {
        assert!(run.stdout.contains(told), "{told:?} is missing in:\n{}", run.stdout);
    }
    leaves_nothing(&world);
}

#[test]
fn it_fails_when_nothing_is_applied() {
    let world = World::empty();
    let programs = with_fake(&world, "apply-update", "exit 42");
    let run = play(&world, &programs).exits(1);
    assert!(run.stderr.contains("HEAD of the checkout"), "{run:#?}");
    leaves_nothing(&world);
}

#[test]
fn it_fails_when_nothing_is_found() {
    let world = World::empty();
    let programs = with_fake(&world, "version-watch", "echo up to date");
    let run = play(&world, &programs).exits(1);
    assert!(run.stderr.contains("exit code of version-watch"), "{run:#?}");
    leaves_nothing(&world);
}
