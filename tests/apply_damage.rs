//! Damaged and newer state files, and a state home that cannot be written: nothing is lost, and the
//! exit code says what a person has to do.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::World;

const DAMAGED: &str = "{\"schema\": 1, \"torn";
const NEWER: &str = "{\"schema\": 2, \"from\": \"the future\"}";

fn world_with_update() -> World {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    world.write(
        "work/migrations/v1.1.0/001_a.py",
        "def check():\n    return True\ndef migrate():\n    return True\n",
    );
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    world
}

#[test]
fn a_file_that_cannot_be_rebuilt_is_refused_unharmed() {
    let strict = [
        "apply_journal.json",
        "failed_versions.json",
        "hold.json",
        "migration_state.json",
        "update_available.json",
    ];
    for name in strict {
        for (content, reason) in [(DAMAGED, "state_damaged"), (NEWER, "state_newer")] {
            let world = world_with_update();
            let before = (world.head(), world.git(&["status", "--porcelain", "--ignored"]));
            world.write(&format!("home/.teleclaude/{name}"), content);
            let run = world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some(reason));
            assert!(run.json()["message"].as_str().unwrap().contains(name), "{run:#?}");
            assert_eq!(world.read(&format!("home/.teleclaude/{name}")), content, "{name}");
            assert_eq!((world.head(), world.git(&["status", "--porcelain", "--ignored"])), before);
            assert_eq!(world.steps(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_status_that_is_damaged_or_newer_is_moved_aside_and_the_update_goes_on() {
    for content in [DAMAGED, NEWER] {
        let world = world_with_update();
        world.write("home/.teleclaude/deploy_status.json", content);
        let run = world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
        assert!(run.stderr.contains("moved aside"), "{run:#?}");
        assert_eq!(world.state_file("deploy_status.json")["status"], "deployed");
        assert_eq!(world.read("home/.teleclaude/deploy_status.json.damaged"), content);
    }
}

#[test]
fn a_state_home_that_cannot_be_there_stops_before_anything_changes() {
    let mut world = world_with_update();
    let before = world.head();
    world.write("file", "");
    let under_a_file = world.path("file/state");
    world.env("TELECLAUDE_HOME", under_a_file.to_str().unwrap());
    let run = world.run("apply-update", &["--json"]).exits(1).tells("failed", Some("io_error"));
    assert!(run.json()["message"].as_str().unwrap().contains("file/state"), "{run:#?}");
    assert_eq!((world.head(), world.steps()), (before, vec![]));
}

#[test]
fn a_state_home_that_cannot_be_written_stops_before_anything_changes() {
    let world = world_with_update();
    let before = world.head();
    let signal = world.read("home/.teleclaude/update_available.json");
    // A folder in place of each lock file binds root as well, which modes do not.
    fs::remove_file(world.state().join("apply-update.lock")).ok();
    fs::create_dir(world.state().join("apply_journal.json.lock")).unwrap();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o500)).unwrap();
    let run = world.run("apply-update", &["--json"]);
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o700)).unwrap();
    run.exits(1).tells("failed", Some("io_error"));
    assert_eq!((world.head(), world.steps()), (before, vec![]));
    assert_eq!(world.read("home/.teleclaude/update_available.json"), signal);
    fs::remove_dir(world.state().join("apply_journal.json.lock")).unwrap();
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
}
