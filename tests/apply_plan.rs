//! `apply-update --plan`: tells what an update would do, and touches nothing.
#![allow(clippy::disallowed_methods, reason = "tests write files and move folders")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{Run, World, prints};

const BETA: &str = "deployment: {channel: beta, source: tags}\n";

/// A plan that leaves checkout, refs and state home byte for byte as they are.
#[track_caller]
fn plan(world: &World, more: &[&str]) -> Run {
    let (checkout, state) = (prints::of(world), prints::tree(&world.path("home")));
    let all = world.git(&["for-each-ref"]);
    let run = world.run("apply-update", &[&["--plan", "--json"], more].concat());
    checkout.hold(world, "plan");
    prints::assert_same_tree(&state, &prints::tree(&world.path("home")), "the state home");
    assert_eq!(world.git(&["for-each-ref"]), all, "a plan leaves no refs");
    assert_eq!(world.steps(), Vec::<String>::new());
    run
}

fn watch(world: &World) {
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
}

/// A release with a file added, one modified, one deleted, and migrations.
fn world_with_release() -> (World, String) {
    let world = World::new();
    world.config(BETA);
    world.write("work/gone.txt", "gone");
    world.write("work/migrations/v1.0.0/001_done.py", "old");
    world.release("1.0.0");
    world.git(&["pull", "--quiet"]);
    world.git(&["fetch", "--quiet", "--tags"]);
    std::fs::remove_file(world.path("work/gone.txt")).unwrap();
    world.write("work/new ü.txt", "new");
    world.commit("first <subject> with \"marks\"");
    world.write("work/migrations/v1.1.0/002_b.py", "raise SystemExit(1)");
    world.write("work/migrations/v1.1.0/001_a.py", "raise SystemExit(1)");
    world.write("work/migrations/v1.2.0/001_later.py", "raise SystemExit(1)");
    let commit = world.release("1.1.0");
    watch(&world);
    (world, commit)
}

#[test]
fn a_plan_tells_commits_files_and_migrations() {
    let (world, commit) = world_with_release();
    let json = plan(&world, &[]).exits(0).tells("planned", None).json();
    assert_eq!((&json["to"], &json["to_commit"]), (&json!("1.1.0"), &json!(commit)));
    assert_eq!((&json["from"], &json["from_commit"]), (&json!("1.0.0"), &json!(world.head())));
    let subjects: Vec<_> = json["commits"].as_array().unwrap().iter().map(|c| &c["subject"]).collect();
    assert_eq!(subjects, ["release 1.1.0", "first <subject> with \"marks\""]);
    assert_eq!(json["commits"][0]["commit"], commit);
    assert_eq!(
        json["files"],
        json!([
            {"path": "gone.txt", "change": "deleted"},
            {"path": "migrations/v1.1.0/001_a.py", "change": "added"},
            {"path": "migrations/v1.1.0/002_b.py", "change": "added"},
            {"path": "migrations/v1.2.0/001_later.py", "change": "added"},
            {"path": "new ü.txt", "change": "added"},
            {"path": "pyproject.toml", "change": "modified"},
        ])
    );
    assert_eq!(json["migrations"], json!(["1.1.0/001_a.py", "1.1.0/002_b.py"]));
    assert_eq!((&json["blocked"], &json["deferred"]), (&Value::Null, &Value::Null));
    assert_eq!(json["local_edits"], json!([]));
    world.write(
        "home/.teleclaude/migration_state.json",
        r#"{"applied": ["1.0.0/001_done.py", "1.1.0/001_a.py"]}"#,
    );
    assert_eq!(plan(&world, &[]).json()["migrations"], json!(["1.1.0/002_b.py"]));
}

#[test]
fn on_alpha_the_range_comes_from_the_targets_project_file() {
    let world = World::new();
    world.config("deployment: {channel: alpha}\n");
    world.write("work/migrations/v1.1.0/001_a.py", "");
    world.write("work/migrations/v9.0.0/001_later.py", "");
    world.write("work/pyproject.toml", "[project]\nname = \"TeleClaude\"\nversion = \"1.1.0\"\n");
    let commit = world.commit("second");
    watch(&world);
    let json = plan(&world, &[]).exits(0).tells("planned", None).json();
    assert_eq!((&json["to_commit"], &json["to"]), (&json!(commit), &json!(&commit[..12])));
    assert_eq!(json["migrations"], json!(["1.1.0/001_a.py"]));
}

#[test]
fn with_nothing_to_do_there_is_no_plan() {
    let world = World::new();
    world.config(BETA);
    std::fs::create_dir_all(world.state()).unwrap();
    plan(&world, &[]).exits(0).tells("nothing", Some("no_signal"));
    std::fs::remove_dir(world.state()).unwrap();
    plan(&world, &[]).exits(0).tells("nothing", Some("no_signal"));
    assert!(!world.state().exists(), "a plan makes no state home");
    let (world, _) = world_with_release();
    // A signal that no longer holds stays for the run that withdraws it.
    world.config("deployment: {channel: alpha}\n");
    plan(&world, &[]).exits(0).tells("nothing", Some("stale_signal"));
}

#[test]
fn what_blocks_is_told_with_its_files() {
    let (world, _) = world_with_release();
    world.write("checkout/Makefile", "mine, apart\n");
    world.write("checkout/pyproject.toml", "mine\n");
    let json = plan(&world, &[]).exits(0).tells("planned", Some("dirty_overlap")).json();
    assert_eq!(json["blocked"]["reason"], "dirty_overlap");
    assert_eq!(json["blocked"]["files"], json!(["pyproject.toml"]));
    assert_eq!(json["local_edits"], json!(["Makefile"]));
    assert_eq!(json["files"].as_array().unwrap().len(), 6, "{json:#}");
    let real = world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some("dirty_overlap")).json();
    assert_eq!(real["message"], json["blocked"]["message"], "one set of rules");
}

#[test]
fn what_blocks_before_the_fetch_does_not_hide_the_contents() {
    let (world, commit) = world_with_release();
    world.git(&["switch", "--quiet", "-c", "topic"]);
    let json = plan(&world, &[]).exits(0).tells("planned", Some("wrong_branch")).json();
    assert_eq!(json["commits"][0]["commit"], commit);
    world.git(&["switch", "--quiet", "main"]);
    world.git(&["remote", "rename", "origin", "elsewhere"]);
    let json = plan(&world, &[]).exits(0).tells("planned", Some("missing_remote")).json();
    assert_eq!(json["blocked"]["files"], json!([]));
}

#[test]
fn a_remote_that_cannot_be_asked_is_unreachable() {
    let (world, _) = world_with_release();
    std::fs::rename(world.path("origin"), world.path("away")).unwrap();
    plan(&world, &[]).exits(75).tells("unreachable", Some("unreachable"));
}

#[test]
fn what_defers_is_told_with_its_time() {
    let (world, _) = world_with_release();
    world.run("telec", &["update", "hold", "--until", "2099-01-01T00:00:00Z", "--reason", "demo"]).exits(0);
    let json = plan(&world, &[]).exits(0).tells("planned", Some("hold")).json();
    assert_eq!(json["deferred"]["until"], "2099-01-01T00:00:00Z");
    assert!(json["deferred"]["message"].as_str().unwrap().contains("demo"), "{json:#}");
    assert_eq!(json["blocked"], Value::Null);
    plan(&world, &["--now"]).exits(0).tells("planned", None);
}

#[test]
fn earlier_failures_defer_and_then_block() {
    let (world, _) = world_with_release();
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("migration_failed"));
    let json = plan(&world, &[]).exits(0).tells("planned", Some("backing_off")).json();
    assert!(json["deferred"]["until"].is_string(), "{json:#}");
    assert_eq!(json["blocked"], Value::Null);
    world.config("deployment: {channel: beta, source: tags, max_attempts: 1}\n");
    let json = plan(&world, &[]).exits(0).tells("planned", Some("given_up")).json();
    assert_eq!(json["blocked"]["reason"], "given_up");
    plan(&world, &["--retry"]).exits(0).tells("planned", None);
}

#[test]
fn what_a_dead_run_left_comes_first() {
    let world = World::new();
    world.write("work/new.txt", "new");
    let commit = world.commit("second");
    watch(&world);
    world.write("steps.log.fail-install", "");
    world.run("apply-update", &["--json"]).exits(1).tells("failed", Some("rollback_failed"));
    std::fs::remove_file(world.path("steps.log")).unwrap();
    let json = plan(&world, &[]).exits(0).tells("planned", None).json();
    assert!(json["message"].as_str().unwrap().contains("going back from"), "{json:#}");
    assert_eq!(json["commits"], json!([{"commit": commit, "subject": "second"}]));
    world.config("deployment: {max_attempts: 1}\n");
    let journal = world.state_file("apply_journal.json");
    let mut tired = journal.clone();
    tired["undo_failures"] = 99.into();
    world.write("home/.teleclaude/apply_journal.json", &tired.to_string());
    plan(&world, &[]).exits(0).tells("planned", Some("rollback_failed"));
    world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some("rollback_failed"));
}

#[test]
fn a_downgrade_is_told_and_planned_with_the_flag() {
    let (world, _) = world_with_release();
    world.git(&["fetch", "--quiet", "--tags"]);
    world.git(&["checkout", "--quiet", "--detach", "v1.1.0"]);
    plan(&world, &["--to", "1.0.0"]).exits(0).tells("planned", Some("downgrade"));
    let json = plan(&world, &["--to", "1.0.0", "--allow-downgrade"]).exits(0).tells("planned", None).json();
    assert_eq!(json["commits"], json!([]), "nothing new in it");
    assert_eq!(json["files"].as_array().unwrap().len(), 6);
}

#[test]
fn people_see_the_first_twenty_of_each() {
    let world = World::new();
    world.config("deployment: {channel: alpha}\n");
    for n in 0..25 {
        world.write(&format!("work/file-{n:02}.txt"), "x");
    }
    world.commit("many files");
    watch(&world);
    let run = world.run("telec", &["update", "plan"]).exits(0);
    assert!(run.stdout.contains("1 commit, 25 files, 0 migrations"), "{run:#?}");
    assert!(run.stdout.contains("added    file-19.txt\n  and 5 more\n"), "{run:#?}");
    assert!(!run.stdout.contains("file-20.txt"), "{run:#?}");
}

#[test]
fn a_running_update_does_not_stop_a_plan() {
    let (world, _) = world_with_release();
    let file = std::fs::File::create(world.state().join("apply-update.lock")).unwrap();
    fs2::FileExt::lock_exclusive(&file).unwrap();
    world.run("apply-update", &["--json"]).exits(75).tells("busy", Some("locked"));
    plan(&world, &[]).exits(0).tells("planned", None);
}
