//! `version-watch` on alpha: the remote's branch, through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::Value;
use support::{Run, World};

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn signal(world: &World) -> Value {
    world.state_file("update_available.json")
}

/// The origin's branch as another person would move it.
fn push(world: &World, what: &str) {
    let work = world.path("work");
    world.git_in(&work, &["push", "--quiet", "--force", "origin", &format!("{what}:refs/heads/main")]);
}

#[test]
fn nothing_new_says_so_and_writes_no_signal() {
    let world = World::new();
    let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(run.json()["current_commit"], world.head());
    assert_eq!(run.json()["signal"], Value::Null);
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn a_new_commit_is_signalled_exactly() {
    let world = World::new();
    let before = world.head();
    let commit = world.commit("second");
    let run = watch(&world).exits(0).tells("available", None);
    let (json, signal) = (run.json(), signal(&world));
    for told in [&json, &signal] {
        assert_eq!(told["current"], before[..12]);
        assert_eq!(told["available"], commit[..12]);
        assert_eq!(told["current_commit"], before);
        assert_eq!(told["available_commit"], commit);
        assert_eq!(told["tag"], Value::Null);
        assert_eq!(told["source"], "branch");
        assert_eq!(told["channel"], "alpha");
        assert_eq!(told["published_at"], Value::Null);
    }
    assert_eq!(signal["schema"], 1);
    assert_eq!(signal["repo"], world.checkout().to_str().unwrap());
    assert_eq!(json["signal"], world.state().join("update_available.json").to_str().unwrap());
    assert_eq!(world.run("version-watch", &["--exit-code"]).code, 10);
}

#[test]
fn a_second_look_keeps_the_time_of_the_first_and_a_newer_commit_replaces_it() {
    let world = World::new();
    world.commit("second");
    watch(&world).exits(0);
    let path = world.state().join("update_available.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut first: Value = serde_json::from_str(&text).unwrap();
    first["detected_at"] = "2020-01-01T00:00:00Z".into();
    first["mine"] = 7.into();
    std::fs::write(&path, first.to_string()).unwrap();
    watch(&world).exits(0);
    assert_eq!(signal(&world)["detected_at"], "2020-01-01T00:00:00Z");
    first["detected_at"] = "2999-01-01T00:00:00Z".into();
    std::fs::write(&path, first.to_string()).unwrap();
    world.run("version-watch", &[]).exits(0);
    assert!(signal(&world)["detected_at"].as_str().unwrap() < "2999", "a clock was wrong");
    assert_eq!(signal(&world)["mine"], 7);
    let third = world.commit("third");
    watch(&world).exits(0);
    assert_eq!(signal(&world)["available_commit"], third);
    assert_ne!(signal(&world)["detected_at"], "2020-01-01T00:00:00Z");
}

#[test]
fn a_signal_goes_when_its_commit_is_installed() {
    let world = World::new();
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    world.git(&["pull", "--quiet", "--ff-only"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn local_commits_ahead_are_no_reason_for_an_update() {
    let world = World::new();
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "local"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn local_and_remote_commits_apart_are_blocked_where_it_can_be_known() {
    let world = World::new();
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "local"]);
    world.commit("remote");
    watch(&world).exits(0).tells("available", None);
    world.git(&["fetch", "--quiet"]);
    let run = watch(&world).exits(3).tells("blocked", Some("diverged"));
    assert!(run.json()["message"].as_str().unwrap().contains("rebase"), "{run:#?}");
    assert_eq!(signal(&world), Value::Null, "what no longer holds is withdrawn");
}

#[test]
fn a_branch_that_went_back_is_blocked_until_it_goes_on() {
    let world = World::new();
    let first = world.head();
    let second = world.commit("second");
    world.git(&["pull", "--quiet", "--ff-only"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    push(&world, &first);
    for _ in 0..2 {
        let run = watch(&world).exits(3).tells("blocked", Some("rolled_back_remote"));
        assert!(run.json()["message"].as_str().unwrap().contains(&second[..12]), "{run:#?}");
    }
    push(&world, &second);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    world.commit("third");
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn a_branch_that_went_back_before_the_first_look_is_known_from_the_clone() {
    let world = World::new();
    let first = world.head();
    world.commit("second");
    world.git(&["pull", "--quiet", "--ff-only"]);
    push(&world, &first);
    watch(&world).exits(3).tells("blocked", Some("rolled_back_remote"));
}

#[test]
fn a_person_accepts_a_branch_that_went_back_by_checking_it_out() {
    let world = World::new();
    let first = world.head();
    world.commit("second");
    world.git(&["pull", "--quiet", "--ff-only"]);
    watch(&world).exits(0);
    push(&world, &first);
    let run = watch(&world).exits(3).tells("blocked", Some("rolled_back_remote"));
    let command = format!("git -C {} reset --keep {first}", world.checkout().display());
    assert!(run.json()["message"].as_str().unwrap().contains(&command), "{run:#?}");
    world.git(&["reset", "--keep", "--quiet", &first]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    world.git_in(&world.path("work"), &["reset", "--quiet", "--hard", &first]);
    world.commit("another second");
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn a_rewritten_branch_is_blocked_and_its_signal_withdrawn() {
    let world = World::new();
    let work = world.path("work");
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    world.git_in(&work, &["commit", "--quiet", "--amend", "--allow-empty", "-m", "second, rewritten"]);
    push(&world, "HEAD");
    // Neither commit is here: only a fetch can tell.
    watch(&world).exits(0).tells("available", None);
    world.git(&["fetch", "--quiet"]);
    watch(&world).exits(3).tells("blocked", Some("diverged"));
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn a_rewrite_of_what_is_installed_is_blocked() {
    let world = World::new();
    let work = world.path("work");
    world.commit("second");
    world.git(&["pull", "--quiet", "--ff-only"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    world.git_in(&work, &["commit", "--quiet", "--amend", "--allow-empty", "-m", "second, rewritten"]);
    push(&world, "HEAD");
    world.git(&["fetch", "--quiet"]);
    watch(&world).exits(3).tells("blocked", Some("diverged"));
}

#[test]
fn a_branch_whose_name_ends_the_same_is_not_followed() {
    let world = World::new();
    let work = world.path("work");
    world.git_in(&work, &["commit", "--quiet", "--allow-empty", "-m", "decoy"]);
    world.git_in(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/x/refs/heads/main"]);
    world.git_in(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/a/main"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
}

#[test]
fn a_branch_that_is_not_there_is_an_error_and_the_signal_stays() {
    let world = World::new();
    world.commit("second");
    watch(&world).exits(0);
    let before = signal(&world);
    world.config("deployment: {branch: nowhere}\n");
    watch(&world).exits(1).tells("failed", Some("branch_missing"));
    assert_eq!(signal(&world), before);
}

#[test]
fn a_remote_that_is_away_is_no_answer_and_the_signal_stays() {
    let world = World::new();
    world.commit("second");
    watch(&world).exits(0);
    let before = signal(&world);
    std::fs::rename(world.path("origin"), world.path("gone")).unwrap();
    let run = watch(&world).exits(75).tells("unreachable", Some("unreachable"));
    assert_eq!(run.json()["signal"], world.state().join("update_available.json").to_str().unwrap());
    watch(&world).exits(75);
    assert_eq!(world.state_file("version_watch.json")["failures"], 2);
    assert_eq!(signal(&world), before);
    std::fs::rename(world.path("gone"), world.path("origin")).unwrap();
    watch(&world).exits(0).tells("available", None);
    assert_eq!(world.state_file("version_watch.json")["failures"], 0);
}

#[test]
fn a_remote_that_git_does_not_know_is_blocked() {
    let world = World::new();
    world.config("deployment: {remote: upstream}\n");
    let run = watch(&world).exits(3).tells("blocked", Some("missing_remote"));
    assert!(run.json()["message"].as_str().unwrap().contains("git remote add upstream"), "{run:#?}");
}

#[test]
fn a_linked_worktree_is_refused() {
    let world = World::new();
    let linked = world.path("linked");
    world.git(&["worktree", "add", "--quiet", "--detach", linked.to_str().unwrap()]);
    let run = world.run("version-watch", &["--json", "--repo", linked.to_str().unwrap()]);
    run.exits(3).tells("blocked", Some("linked_worktree"));
}
