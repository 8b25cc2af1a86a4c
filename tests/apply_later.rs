//! What a later run makes of what an earlier one left: stopped where it failed, killed again and again,
//! or with the restart left to its caller.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::Value;
use support::{Run, World};

/// A world with a release on signal, whose install, restart and status can each run a script.
fn world(settings: &str) -> World {
    let world = World::new();
    world.config(&format!("deployment: {{channel: beta, source: tags, {settings}}}\n"));
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    world
}

fn apply(world: &World, flags: &[&str]) -> Run {
    world.run("apply-update", &[&["--json"], flags].concat())
}

/// Runs it until a run is not killed; how many were, and that one.
fn until_not_killed(world: &World) -> (usize, Run) {
    let mut killed = 0;
    loop {
        let run = apply(world, &[]);
        if run.code != -1 {
            return (killed, run);
        }
        killed += 1;
        assert!(killed < 10, "it never ends");
    }
}

fn failures(world: &World) -> usize {
    let all = world.state_file("failed_versions.json");
    all["targets"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, t)| t["attempts"].as_u64().unwrap() as usize)
        .sum()
}

#[test]
fn a_restart_that_fails_is_tried_again_by_every_attempt() {
    let world = world("rollback: false, max_attempts: 9");
    world.write("steps.log.fail-restart", "");
    for attempt in 1..=4 {
        let flags: &[&str] = if attempt == 1 { &[] } else { &["--retry"] };
        apply(&world, flags).exits(1).tells("failed", Some("restart_failed"));
        let restarts = world.steps().iter().filter(|step| *step == "restart").count();
        assert_eq!(restarts, attempt);
    }
    std::fs::remove_file(world.path("steps.log.fail-restart")).unwrap();
    apply(&world, &["--retry"]).exits(42).tells("updated", None);
    assert_eq!(world.steps().last().unwrap(), "status");
}

#[test]
fn what_stopped_goes_on_with_the_commands_that_were_put_right() {
    let world = world("rollback: false, restart: [no-such-program]");
    let failed = apply(&world, &[]).exits(1).tells("failed", Some("restart_failed"));
    let next = failed.json()["next_try_at"].clone();
    assert!(next.is_string());
    assert_eq!(world.state_file("deploy_status.json")["next_try_at"], next);
    world.config("deployment: {channel: beta, source: tags, rollback: false}\n");
    apply(&world, &["--retry"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "restart", "status"]);
}

#[test]
fn what_stopped_can_still_be_undone() {
    let fails_once = "restart: [sh, -c, '! rm $HOME/bad']";
    let world = world(&format!("rollback: false, {fails_once}"));
    let before = world.head();
    world.write("home/bad", "");
    apply(&world, &[]).exits(1).tells("failed", Some("restart_failed"));
    world.config(&format!("deployment: {{channel: beta, source: tags, {fails_once}}}\n"));
    world.write("home/bad", "");
    apply(&world, &["--retry"]).exits(1).tells("rolled_back", Some("restart_failed"));
    assert_eq!(world.head(), before);
    assert_eq!(world.state_file("apply_journal.json"), Value::Null);
}

#[test]
fn an_update_that_kills_every_run_stops_and_is_counted() {
    let world = world("rollback: false, install: [sh, -c, 'kill -9 $PPID']");
    let (killed, run) = until_not_killed(&world);
    assert!((1..6).contains(&killed), "{killed}");
    run.exits(1).tells("failed", Some("install_failed"));
    assert_eq!(failures(&world), 1);
    assert_eq!(world.state_file("deploy_status.json")["status"], "error");
    apply(&world, &[]).exits(0).tells("deferred", Some("backing_off"));
}

#[test]
fn a_check_that_kills_every_run_is_undone_where_the_caller_restarts() {
    let world = world("restart: exit-code, health: [sh, -c, 'kill -9 $PPID']");
    let before = world.head();
    apply(&world, &[]).exits(42).tells("updated", None);
    let (killed, run) = until_not_killed(&world);
    assert!((1..6).contains(&killed), "{killed}");
    run.exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!(world.head(), before);
    assert_eq!(failures(&world), 1);
    assert_eq!(world.state_file("deploy_status.json")["status"], "rolled_back");
}

#[test]
fn the_restart_is_left_to_the_caller_for_one_run() {
    let world = world("health: ['false'], timeouts: {health: 1s}");
    apply(&world, &["--no-restart"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install"]);
    let run = apply(&world, &[]).exits(1);
    assert_eq!(world.steps(), ["install", "install", "restart"], "the previous version runs: {run:#?}");
}

#[test]
fn who_restarts_by_exit_code_is_told_when_the_previous_version_wants_it() {
    let world = world("restart: exit-code, health: ['false'], timeouts: {health: 1s}");
    apply(&world, &[]).exits(42).tells("updated", None);
    let run = apply(&world, &[]).exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!(run.json()["restart_needed"], true);
    assert!(run.json()["message"].as_str().unwrap().contains("restart the daemon"), "{run:#?}");
}

#[test]
fn an_invalid_configuration_does_not_hide_that_a_restart_is_due() {
    let world = world(
        "restart: exit-code, install: [sh, -c, 'test -e $HOME/once || { touch $HOME/once; kill -9 $PPID; }']",
    );
    assert_eq!(apply(&world, &[]).code, -1);
    world.config("deployment: {chanel: beta}\n");
    let run = apply(&world, &[]).exits(42).tells("updated", None);
    assert!(run.stderr.contains("chanel"), "{run:#?}");
    apply(&world, &[]).exits(0).tells("nothing", Some("verified"));
    apply(&world, &[]).exits(2);
}
