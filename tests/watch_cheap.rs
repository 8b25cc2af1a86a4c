//! What an idle check costs, by count: processes through a git that logs, requests through the
//! stand-in for the API, files that change in the checkout and in the state home.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests write files")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use support::World;
use support::api::Api;

const TOKEN: &str = "ghp_thisIsNoRealToken0123456789";

/// The first words of the git commands that an idle check on alpha makes: the checkout, the
/// remote's address with the ssh command, the remote.
const ALPHA: &[&str] = &["rev-parse", "config", "ls-remote"];
/// The same on beta: the checkout, the address, its version tags. The API answers the rest.
const BETA: &[&str] = &["rev-parse", "config", "tag"];

/// A world whose git writes down each command.
fn world() -> World {
    let mut world = World::new();
    let real = world.command("sh", Path::new("/")).args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let log = world.path("git.log");
    world.write(
        "bin/git",
        &format!("#!/bin/sh\necho \"$*\" >> '{}'\nexec '{}' \"$@\"\n", log.display(), real.trim()),
    );
    std::fs::set_permissions(world.path("bin/git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    world.env("PATH", &path);
    world
}

fn beta(api: &Api) -> World {
    let world = world();
    world.config(&format!("deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\"}}\n", api.url()));
    world.release("1.1.0");
    world.git(&["pull", "--quiet", "--ff-only", "--tags"]);
    api.release("v1.1.0");
    world
}

/// Everything about every file and folder below one, but when it was read.
fn print_of(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        let told =
            format!("{} {:o} {}.{} {content:?}", meta.ino(), meta.mode(), meta.mtime(), meta.mtime_nsec());
        found.insert(path, told);
    }
    found
}

fn changed(before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let those = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    those.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect()
}

/// One idle check: exactly these git commands, nothing written but the watcher's memory.
#[track_caller]
fn idle(world: &World, commands: &[&str]) {
    std::fs::remove_file(world.path("git.log")).ok();
    let (checkout, state) = (print_of(&world.checkout()), print_of(&world.state()));
    world.run("version-watch", &["--json"]).exits(0).tells("up_to_date", Some("up_to_date"));
    let log = world.read("git.log");
    let words: Vec<_> = log
        .lines()
        .map(|line| line.split_whitespace().find(|w| !w.starts_with('-') && !w.contains('=')).unwrap_or(line))
        .collect();
    assert_eq!(words, commands, "{log}");
    assert_eq!(changed(&checkout, &print_of(&world.checkout())), Vec::<String>::new());
    // The folder itself has its time from the one file that was renamed into it.
    let written = changed(&state, &print_of(&world.state()));
    assert_eq!(written, [".teleclaude", "version_watch.json"]);
}

#[test]
fn an_idle_check_on_alpha_is_one_question() {
    let world = world();
    world.run("version-watch", &[]).exits(0);
    for _ in 0..3 {
        idle(&world, ALPHA);
    }
    // What is here and not there, or checked out as a tag, costs a look at the local history.
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "mine"]);
    idle(&world, &[ALPHA, &["cat-file", "cat-file", "merge-base", "merge-base"]].concat());
}

#[test]
fn an_idle_check_with_a_token_is_one_request_answered_304_and_free() {
    let api = Api::start();
    let mut world = beta(&api);
    world.env("GITHUB_TOKEN", TOKEN);
    api.accept_token(TOKEN).quota(5000, 3600);
    world.run("version-watch", &[]).exits(0);
    for _ in 0..3 {
        let before = api.requests().len();
        idle(&world, BETA);
        let asked: Vec<_> = api.requests()[before..].iter().map(|r| r.status).collect();
        assert_eq!(asked, [304]);
    }
    let remaining = &world.state_file("version_watch.json")["api"]["remaining"];
    assert_eq!(remaining, 4999, "only the first one was counted");
}

#[test]
fn an_idle_check_without_a_token_is_one_request_or_one_question_to_git() {
    let api = Api::start();
    let world = beta(&api);
    api.quota(60, 3600);
    world.run("version-watch", &[]).exits(0);
    let before = api.requests().len();
    idle(&world, BETA);
    assert_eq!(api.requests()[before..].iter().map(|r| r.status).collect::<Vec<_>>(), [304]);
    // Near the limit.
    api.quota(3, 3600);
    world.run("version-watch", &[]).exits(0);
    let before = api.requests().len();
    idle(&world, &[BETA, &["ls-remote"]].concat());
    assert_eq!(api.requests().len(), before);
}

#[test]
fn an_update_that_waits_costs_no_more_each_time() {
    let world = world();
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let signal = print_of(&world.state().join("update_available.json"));
    for _ in 0..2 {
        std::fs::remove_file(world.path("git.log")).unwrap();
        let checkout = print_of(&world.checkout());
        world.run("version-watch", &["--json"]).exits(0).tells("available", None);
        let log = world.read("git.log");
        assert_eq!(log.lines().filter(|l| l.contains(" ls-remote ")).count(), 1, "{log}");
        assert!(!log.contains(" fetch "), "{log}");
        assert!(log.lines().count() <= 6, "{log}");
        assert_eq!(changed(&checkout, &print_of(&world.checkout())), Vec::<String>::new());
    }
    assert_eq!(print_of(&world.state().join("update_available.json")), signal, "written once");
}
