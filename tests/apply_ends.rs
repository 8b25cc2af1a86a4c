//! How an attempt ends when something of the book-keeping cannot be done: what was decided stays
//! decided, is counted once, and comes to an end.

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use support::{Run, World};

/// Fails on the new version only.
const BAD: &str = "test ! -e new.txt";
/// A folder where the status file's lock belongs: nothing can be written there.
const NO_STATUS: &str = "rm -f $STATE/deploy_status.json.lock; mkdir -p $STATE/deploy_status.json.lock";

/// A world with an update whose steps are these lines of shell, which may name `$STATE`.
fn world(settings: &str, install: &str, health: &str) -> World {
    let mut world = World::new();
    let state = world.state().display().to_string();
    world.env("STATE", &state);
    let log = world.path("steps.log");
    let steps = [("install", install), ("restart", "true"), ("health", health)].map(|(step, recipe)| {
        world.write(&format!("{step}.sh"), &format!("echo {step} >> {}\n{recipe}\n", log.display()));
        format!(", {step}: [sh, {}]", world.path(&format!("{step}.sh")).display())
    });
    let steps = steps.concat();
    world.config(&format!("deployment: {{timeouts: {{health: 1s}}{settings}{steps}}}\n"));
    world.write("work/new.txt", "new");
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    world
}

fn apply(world: &World) -> Run {
    world.run("apply-update", &["--json"])
}

fn status(world: &World) -> String {
    world.state_file("deploy_status.json")["status"].as_str().unwrap_or_default().to_owned()
}

/// How often the one failed target failed.
fn failures(world: &World) -> u64 {
    let failed = world.state_file("failed_versions.json");
    let targets = failed["targets"].as_object().cloned().unwrap_or_default();
    targets.values().filter_map(|target| target["attempts"].as_u64()).sum()
}

fn is_over(world: &World) -> bool {
    world.state_file("apply_journal.json") == Value::Null
}

/// Puts a link in the history's place.
fn no_history(world: &World) {
    assert!(symlink(world.path("elsewhere"), world.state().join("deploy_history.jsonl")).is_ok());
}

#[test]
fn an_update_that_cannot_be_put_into_the_history_is_deployed_all_the_same() {
    let world = world("", "true", "true");
    no_history(&world);
    let run = apply(&world).exits(42).tells("updated", None);
    assert!(run.stderr.contains("deploy_history.jsonl") && run.stderr.contains("move it away"), "{run:#?}");
    assert_eq!((status(&world).as_str(), is_over(&world)), ("deployed", true));
    apply(&world).exits(0).tells("nothing", Some("no_signal"));
    assert_eq!(world.steps(), ["install", "restart", "health"]);
    assert!(!world.path("elsewhere").exists());
}

#[test]
fn a_failure_that_cannot_be_put_into_the_history_is_counted_once_and_ends() {
    let world = world("", BAD, "true");
    let before = world.head();
    no_history(&world);
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert!(run.stderr.contains("deploy_history.jsonl"), "{run:#?}");
    assert_eq!((status(&world).as_str(), is_over(&world), failures(&world)), ("rolled_back", true, 1));
    apply(&world).exits(0).tells("deferred", Some("backing_off"));
    assert_eq!((failures(&world), world.head()), (1, before));
}

#[test]
fn a_way_back_that_failed_is_told_without_a_history() {
    let world = world("", "exit 3", "true");
    no_history(&world);
    apply(&world).exits(1).tells("failed", Some("rollback_failed"));
    assert_eq!(world.state_file("deploy_status.json")["reason"], "rollback_failed");
}

#[test]
fn a_healthy_version_stays_however_long_its_end_cannot_be_written() {
    let world = world("", "true", NO_STATUS);
    for _ in 0..6 {
        apply(&world).exits(1).tells("failed", Some("io_error"));
        assert!(world.checkout().join("new.txt").exists() && !is_over(&world));
    }
    assert_eq!(world.steps(), ["install", "restart", "health"], "nothing of it is done again");
    fs::remove_dir(world.state().join("deploy_status.json.lock")).unwrap();
    apply(&world).exits(42).tells("updated", None);
    assert_eq!((status(&world).as_str(), is_over(&world), failures(&world)), ("deployed", true, 0));
    let history = world.read("home/.teleclaude/deploy_history.jsonl");
    assert_eq!(history.lines().count(), 1, "{history}");
}

#[test]
fn a_failure_is_counted_once_however_long_its_end_cannot_be_written() {
    let world = world("", "true", &format!("{BAD} || exit 1\n{NO_STATUS}"));
    let before = world.head();
    for _ in 0..6 {
        apply(&world).exits(1).tells("failed", Some("io_error"));
        assert_eq!((failures(&world), is_over(&world)), (1, false));
    }
    let steps = world.steps();
    fs::remove_dir(world.state().join("deploy_status.json.lock")).unwrap();
    apply(&world).exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!((status(&world).as_str(), is_over(&world), failures(&world)), ("rolled_back", true, 1));
    assert_eq!((world.head(), world.steps()), (before, steps));
    let history = world.read("home/.teleclaude/deploy_history.jsonl");
    assert_eq!(history.lines().count(), 1, "{history}");
}

#[test]
fn an_attempt_that_stopped_is_counted_once_and_can_go_on() {
    let world = world(", rollback: false", "true", &format!("{BAD} || exit 1"));
    world.write("health.sh", &format!("{NO_STATUS}\nexit 1\n"));
    for _ in 0..3 {
        apply(&world).exits(1).tells("failed", Some("io_error"));
        assert_eq!(failures(&world), 1);
    }
    fs::remove_dir(world.state().join("deploy_status.json.lock")).unwrap();
    apply(&world).exits(1).tells("failed", Some("health_failed"));
    apply(&world).exits(0).tells("deferred", Some("backing_off"));
    assert_eq!(failures(&world), 1);
    world.write("health.sh", "true");
    world.run("apply-update", &["--json", "--retry"]).exits(42).tells("updated", None);
    assert_eq!((status(&world).as_str(), is_over(&world), failures(&world)), ("deployed", true, 0));
}

#[test]
fn a_signal_that_cannot_be_withdrawn_does_not_hold_up_the_end() {
    let no_signal = "rm -f $STATE/update_available.json.lock; mkdir $STATE/update_available.json.lock";
    let world = world("", "true", no_signal);
    let run = apply(&world).exits(42).tells("updated", None);
    assert!(run.stderr.contains("update_available.json"), "{run:#?}");
    fs::remove_dir(world.state().join("update_available.json.lock")).unwrap();
    apply(&world).exits(0).tells("nothing", Some("up_to_date"));
    assert!(world.state_file("update_available.json").is_null());
}

#[test]
fn left_overs_that_cannot_be_tidied_are_a_warning() {
    let no_room = "rm -rf $STATE/apply_journal.snapshot $STATE/logs; : > $STATE/apply_journal.snapshot";
    let world = world("", "true", no_room);
    let run = apply(&world).exits(42).tells("updated", None);
    assert!(run.stderr.contains("apply_journal.snapshot") && run.stderr.contains("logs"), "{run:#?}");
    assert_eq!((status(&world).as_str(), is_over(&world)), ("deployed", true));
    apply(&world).exits(0).tells("nothing", Some("no_signal"));
    assert_eq!(status(&world), "deployed");
}

#[test]
fn a_way_back_that_this_computer_refuses_is_loud_and_has_an_end() {
    let no_list = "test ! -e new.txt || { mkdir -p $STATE/apply_journal.paths/x; exit 3; }";
    let world = world(", max_attempts: 2", no_list, "true");
    let before = world.head();
    for _ in 0..2 {
        let run = apply(&world).exits(1).tells("failed", Some("rollback_failed"));
        assert!(run.json()["message"].as_str().unwrap().contains("git switch main"), "{run:#?}");
        assert_eq!(status(&world), "error");
    }
    apply(&world).exits(3).tells("blocked", Some("rollback_failed"));
    fs::remove_dir_all(world.state().join("apply_journal.paths")).unwrap();
    let run = world.run("apply-update", &["--json", "--retry"]).exits(1);
    assert_eq!((world.head(), failures(&world)), (before, 1));
    run.tells("rolled_back", Some("install_failed"));
}
