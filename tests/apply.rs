//! `apply-update` end to end: real git, a fake make that logs, each channel.

mod support;

use serde_json::Value;
use support::World;

const ALL: [&str; 3] = ["install", "restart", "status"];

/// Watches and applies, as the cron job does.
fn watch_and_apply(world: &World) -> support::Run {
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    world.run("apply-update", &["--json"])
}

fn assert_deployed(world: &World, commit: &str, run: &support::Run) {
    assert_eq!(run.json()["to_commit"], commit, "{run:#?}");
    assert_eq!(world.head(), commit);
    assert_eq!(world.steps(), ALL);
    assert_eq!(world.state_file("update_available.json"), Value::Null, "the signal is removed");
    assert_eq!(world.state_file("apply_journal.json"), Value::Null, "the journal is removed");
    let status = world.state_file("deploy_status.json");
    assert_eq!(status["status"], "deployed", "{status:#}");
    assert_eq!(status["to_commit"], commit);
    let history = world.read("home/.teleclaude/deploy_history.jsonl");
    assert_eq!(history.lines().count(), 1, "one line an attempt: {history}");
}

#[test]
fn alpha_follows_the_branch() {
    let world = World::new();
    world.config("deployment:\n  channel: alpha\n");
    world.write("work/new.txt", "new");
    let commit = world.commit("second");
    let run = watch_and_apply(&world).exits(42).tells("updated", None);
    assert_deployed(&world, &commit, &run);
    assert_eq!(world.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    world.run("version-watch", &["--json"]).exits(0).tells("up_to_date", Some("up_to_date"));
    world.run("apply-update", &["--json"]).exits(0).tells("nothing", Some("no_signal"));
}

#[test]
fn beta_takes_the_highest_tag_detached() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    world.release("1.9.0");
    let commit = world.release("1.10.0");
    world.tag("nightly");
    let run = watch_and_apply(&world).exits(42).tells("updated", None);
    assert_deployed(&world, &commit, &run);
    assert_eq!(run.json()["to"], "1.10.0");
    assert_eq!(world.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    world.run("version-watch", &["--json"]).exits(0).tells("up_to_date", Some("up_to_date"));
}

#[test]
fn stable_takes_patches_of_its_minor_even_when_the_project_file_was_not_bumped() {
    let world = World::new();
    world.config("deployment: {channel: stable, source: tags, pinned_minor: 1.10}\n");
    world.release("1.10.0");
    let commit = world.commit("a fix, and nobody bumped the project file");
    world.tag("v1.10.1");
    world.release("1.11.0");
    let run = watch_and_apply(&world).exits(42).tells("updated", None);
    assert_deployed(&world, &commit, &run);
    world.run("version-watch", &["--json"]).exits(0).tells("up_to_date", Some("up_to_date"));
}

#[test]
fn migrations_run_between_checkout_and_install() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\nold: 1\n");
    let log = world.path("steps.log");
    let script = |name: &str| {
        format!(
            "import os\nlog = {log:?}\ndef check():\n    return os.path.exists(log) and '{name}' in open(log).read()\n\
             def migrate():\n    open(log, 'a').write('{name}\\n')\n    return True\n",
            log = log.display().to_string()
        )
    };
    world.write("work/migrations/v1.1.0/001_first.py", &script("first"));
    world.write("work/migrations/v1.1.0/002_second.py", &script("second"));
    world.write("work/migrations/v9.0.0/001_later.py", &script("later"));
    let commit = world.release("1.1.0");
    let run = watch_and_apply(&world).exits(42).tells("updated", None);
    assert_eq!(run.json()["to_commit"], commit);
    assert_eq!(world.steps(), ["first", "second", "install", "restart", "status"]);
    let state = world.state_file("migration_state.json");
    assert_eq!(state["schema"], 1, "{state:#}");
    assert_eq!(state["applied"], serde_json::json!(["1.1.0/001_first.py", "1.1.0/002_second.py"]));
}

#[test]
fn on_alpha_an_older_commit_is_installed_only_when_a_person_says_so() {
    let world = World::new();
    world.config("deployment: {channel: alpha}\n");
    let first = world.head();
    world.write("work/new.txt", "new");
    world.commit("second");
    watch_and_apply(&world).exits(42);
    world.run("apply-update", &["--json", "--to", &first]).exits(3).tells("blocked", Some("downgrade"));
    world.run("apply-update", &["--json", "--to", &first, "--allow-downgrade"]).exits(42);
    assert_eq!(
        (world.head(), world.git(&["symbolic-ref", "--short", "HEAD"])),
        (first.clone(), "main".into())
    );
    watch_and_apply(&world).exits(42);
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "my own"]);
    let run = world.run("apply-update", &["--json", "--to", &first, "--allow-downgrade"]);
    run.exits(3).tells("blocked", Some("local_commits"));
}

#[test]
fn on_beta_an_older_version_is_installed_only_when_a_person_says_so() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    let old = world.release("1.1.0");
    let new = world.release("1.2.0");
    watch_and_apply(&world).exits(42);
    world.run("apply-update", &["--json", "--to", "1.1.0"]).exits(3).tells("blocked", Some("downgrade"));
    assert_eq!(world.head(), new);
    world.run("apply-update", &["--json", "--to", "v1.1.0", "--allow-downgrade"]).exits(42);
    assert_eq!(world.head(), old);
    world.run("apply-update", &["--json", "--to", "1.1.0"]).exits(0).tells("nothing", Some("up_to_date"));
    world.run("apply-update", &["--json", "--to", "7.7.7"]).exits(1).tells("failed", Some("unknown_version"));
}
