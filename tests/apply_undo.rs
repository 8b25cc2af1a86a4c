//! Every failing step: order of commands, end state, status, history, exit code.

mod support;

use serde_json::Value;
use support::{Run, World};

/// A world whose next commit breaks one target of the Makefile.
fn world_with_broken(target: &str) -> (World, String) {
    let world = World::new();
    world.config("deployment:\n  timeouts: {health: 1s}\n");
    world.write("work/new.txt", "new");
    let makefile = world.read("work/Makefile");
    let broken = makefile.replace(&format!("@echo {target} done"), "@echo broken here; exit 3");
    assert_ne!(makefile, broken);
    world.write("work/Makefile", &broken);
    world.commit("breaks");
    world.run("version-watch", &[]).exits(0);
    let before = world.head();
    (world, before)
}

fn assert_undone(world: &World, before: &str, run: Run, step: &str, reason: &str) {
    let run = run.exits(1).tells("rolled_back", Some(reason));
    assert_eq!(run.json()["error"]["step"], step, "{run:#?}");
    assert_eq!(world.head(), before);
    assert_eq!(world.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    assert_eq!(world.git(&["status", "--porcelain"]), "");
    assert!(!world.checkout().join("new.txt").exists());
    let status = world.state_file("deploy_status.json");
    assert_eq!(status["status"], "rolled_back", "{status:#}");
    assert_eq!(status["error"]["step"], step, "{status:#}");
    assert_eq!(status["reason"], reason);
    assert!(status["next_try_at"].is_string(), "{status:#}");
    let history = world.read("home/.teleclaude/deploy_history.jsonl");
    assert_eq!(history.lines().count(), 1, "{history}");
    let line: Value = serde_json::from_str(history.lines().next().unwrap()).unwrap();
    assert_eq!(line["outcome"], "rolled_back");
    assert_eq!(line["reason"], reason);
    assert_eq!(world.state_file("apply_journal.json"), Value::Null);
    assert!(!world.state().join("apply_journal.snapshot").exists());
    assert!(!world.state_file("update_available.json").is_null(), "the signal stays for the next try");
    world.run("apply-update", &["--json"]).exits(0).tells("deferred", Some("backing_off"));
}

#[test]
fn a_failed_install_goes_back_and_installs_the_old_version() {
    let (world, before) = world_with_broken("install");
    let run = world.run("apply-update", &["--json"]);
    let json = run.json();
    assert_eq!(json["error"]["exit"], 2, "{json:#}");
    assert!(json["error"]["tail"].as_str().unwrap().contains("broken here"), "{json:#}");
    assert!(std::fs::read_to_string(json["error"]["log"].as_str().unwrap()).unwrap().contains("broken here"));
    assert_undone(&world, &before, run, "install", "install_failed");
    assert_eq!(world.steps(), ["install", "install"], "the daemon is not touched");
}

#[test]
fn a_failed_restart_goes_back_and_restarts_the_old_version() {
    let (world, before) = world_with_broken("restart");
    let run = world.run("apply-update", &["--json"]);
    assert_undone(&world, &before, run, "restart", "restart_failed");
    assert_eq!(world.steps(), ["install", "restart", "install", "restart", "status"]);
}

#[test]
fn a_failed_health_check_goes_back_and_restarts_the_old_version() {
    let (world, before) = world_with_broken("status");
    let run = world.run("apply-update", &["--json"]);
    assert_undone(&world, &before, run, "verify", "health_failed");
    let steps = world.steps();
    assert_eq!(steps[..2], ["install", "restart"], "{steps:?}");
    assert_eq!(steps[steps.len() - 3..], ["install", "restart", "status"], "{steps:?}");
}

#[test]
fn a_failed_way_back_is_loud_and_tried_again() {
    let (world, before) = world_with_broken("install");
    world.write("steps.log.fail-install", "");
    let run = world.run("apply-update", &["--json"]).exits(1).tells("failed", Some("rollback_failed"));
    assert!(run.json()["message"].as_str().unwrap().contains("git switch main"), "{run:#?}");
    let status = world.state_file("deploy_status.json");
    assert_eq!((&status["status"], &status["reason"]), (&"error".into(), &"rollback_failed".into()));
    assert!(!world.state_file("apply_journal.json").is_null(), "the journal stays");
    std::fs::remove_file(world.path("steps.log.fail-install")).unwrap();
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(world.head(), before);
    assert_eq!(world.state_file("apply_journal.json"), Value::Null);
}

#[test]
fn without_rollback_it_stops_where_it_is_and_goes_on_from_there() {
    let (world, _) = world_with_broken("install");
    world.config("deployment: {rollback: false}\n");
    let run = world.run("apply-update", &["--json"]).exits(1).tells("failed", Some("install_failed"));
    let target = run.json()["to_commit"].as_str().unwrap().to_owned();
    assert_eq!(world.head(), target);
    world.run("apply-update", &["--json"]).exits(0).tells("deferred", Some("backing_off"));
    let mended = world.read("checkout/Makefile").replace("@echo broken here; exit 3", "@echo mended");
    world.write("checkout/Makefile", &mended);
    world.run("apply-update", &["--json", "--retry"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "install", "restart", "status"]);
    assert_eq!(world.state_file("deploy_status.json")["status"], "deployed");
}

#[test]
fn a_target_is_given_up_after_max_attempts_and_retried_on_request() {
    let (world, _) = world_with_broken("install");
    world.config("deployment: {max_attempts: 1}\n");
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some("given_up"));
    assert_eq!(world.state_file("deploy_status.json")["status"], "blocked");
    world.run("apply-update", &["--json", "--now"]).exits(3).tells("blocked", Some("given_up"));
    world.run("apply-update", &["--json", "--retry"]).exits(1).tells("rolled_back", Some("install_failed"));
    let good = world.read("work/Makefile").replace("@echo broken here; exit 3", "@echo install done");
    world.write("work/Makefile", &good);
    world.commit("mended");
    world.run("version-watch", &[]).exits(0);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
}

#[test]
fn with_exit_code_the_next_run_verifies() {
    let world = World::new();
    world.config("deployment: {restart: exit-code}\n");
    world.write("work/new.txt", "new");
    let commit = world.commit("second");
    world.run("version-watch", &[]).exits(0);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install"]);
    assert_eq!(world.state_file("deploy_status.json")["status"], "restarting");
    world.run("apply-update", &["--json"]).exits(0).tells("nothing", Some("verified"));
    assert_eq!(world.steps(), ["install", "status"]);
    assert_eq!(world.state_file("deploy_status.json")["status"], "deployed");
    assert_eq!(world.head(), commit);
}

#[test]
fn with_exit_code_an_unhealthy_version_is_undone_by_the_next_run() {
    let (world, before) = world_with_broken("status");
    world.run("apply-update", &["--json", "--no-restart"]).exits(42).tells("updated", None);
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!(world.head(), before);
}

#[test]
fn a_failed_migration_puts_the_snapshot_back_and_the_record_follows_what_holds() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\nold: 1\n");
    let config = world.path("checkout/config.yml");
    let script = |body: &str| format!("CONFIG = {:?}\n{body}", config.display().to_string());
    world.write(
        "work/migrations/v1.1.0/001_config.py",
        &script(
            "def check():\n    return 'new: 2' in open(CONFIG).read()\n\
             def migrate():\n    open(CONFIG, 'a').write('new: 2\\n')\n    return True\n",
        ),
    );
    let mark = world.path("mark");
    world.write(
        "work/migrations/v1.1.0/002_elsewhere.py",
        &format!(
            "import os\nMARK = {:?}\ndef check():\n    return os.path.exists(MARK)\n\
             def migrate():\n    open(MARK, 'w').close()\n    return True\n",
            mark.display().to_string()
        ),
    );
    world.write(
        "work/migrations/v1.1.0/003_bad.py",
        "def check():\n    return False\ndef migrate():\n    return 1 / 0\n",
    );
    world.release("1.1.0");
    let before = (world.head(), world.read("checkout/config.yml"));
    world.run("version-watch", &[]).exits(0);
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("migration_failed"));
    assert!(run.json()["error"]["message"].as_str().unwrap().contains("003_bad.py"), "{run:#?}");
    assert_eq!((world.head(), world.read("checkout/config.yml")), before);
    assert_eq!(world.steps(), Vec::<String>::new(), "install had not begun");
    let state = world.state_file("migration_state.json");
    assert_eq!(state["applied"], serde_json::json!(["1.1.0/002_elsewhere.py"]), "{state:#}");
    assert_eq!(world.state_file("deploy_status.json")["status"], "rolled_back");
}
