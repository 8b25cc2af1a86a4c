//! `migration_state.json`: what the host's earlier tool wrote, what other programs keep in it, what
//! is damaged; two runs at once; a run inside an update.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use scripts::{add, effects, fresh, ids, migrate, put, script, state, world};
use serde_json::{Value, json};
use support::{Run, World};

const B: &str = "1.1.0/001_b.py";
const D: &str = "1.2.0/002_d.py";
const E: &str = "1.2.0/010_e.py";
const STATE: &str = "home/.teleclaude/migration_state.json";

#[track_caller]
fn wait_for(path: &Path) {
    let until = Instant::now() + Duration::from_secs(30);
    while !path.exists() {
        assert!(Instant::now() < until, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `run-migrations --json` in the background.
fn start(world: &World, arguments: &[&str]) -> Child {
    let mut program = world.program("run-migrations");
    program.arg("--json").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().unwrap()
}

fn end(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

/// A script that says it is there, and goes on when it may.
fn gated(world: &World, name: &str) -> String {
    let lines = format!(
        "import time\nPath({:?}).touch()\nwhile not Path({:?}).exists(): time.sleep(0.005)",
        world.path("begun").to_str().unwrap(),
        world.path("go").to_str().unwrap()
    );
    script(world, name, &lines)
}

#[test]
fn a_file_of_the_earlier_tool_is_honoured() {
    let world = fresh();
    state(&world, include_str!("fixtures/migration-state-applied-only.json"));
    add(&world, &["1.0.0/001_a.py", B, "1.1.0/002_c.py", D]);
    let run = migrate(&world, &[]).exits(0).tells("ok", None).json();
    assert_eq!(ids(&run["ran"]), ["1.1.0/002_c.py", D], "what is on record and what lies below it is done");
    let state = world.state_file("migration_state.json");
    assert_eq!(state["applied"], json!([B, "1.1.0/002_c.py", "1.1.5/001_gone.py", D]));
    assert_eq!(state["schema"], 1);
}

#[test]
fn a_file_of_the_earlier_tool_stays_valid_for_it() {
    let world = fresh();
    state(&world, r#"{"applied": ["1.1.0/001_b.py"]}"#);
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    // What the earlier tool asks of the file: an object whose `applied` is a list of strings.
    assert_eq!(ids(&world.state_file("migration_state.json")["applied"]), [B, D]);
}

#[test]
fn keys_of_others_survive() {
    let world = fresh();
    let record = json!({"status": "applied", "theirs": [1, {"x": null}]});
    let before =
        json!({"schema": 1, "baseline": "1.0.0", "applied": [B], "records": {B: record}, "note": "keep me"});
    state(&world, &before.to_string());
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0).tells("ok", None);
    migrate(&world, &["mark", "1.2.0/002_d.py"]).exits(0);
    let after = world.state_file("migration_state.json");
    assert_eq!(after["note"], "keep me");
    assert_eq!(after["records"][B]["theirs"], json!([1, {"x": null}]));
    assert_eq!(ids(&after["applied"]), [B, D]);
}

#[test]
fn a_damaged_or_newer_file_is_refused_unharmed() {
    let damaged = Some("state_damaged");
    for (text, reason) in [
        ("", damaged),
        ("{", damaged),
        ("[]", damaged),
        (r#"{"applied": "all"}"#, damaged),
        (r#"{"applied": [1]}"#, damaged),
        (r#"{"applied": [], "baseline": "x"}"#, damaged),
        (r#"{"applied": []}{}"#, damaged),
        (r#"{"schema": 2, "applied": {"new": "shape"}}"#, Some("state_newer")),
    ] {
        let world = fresh();
        state(&world, text);
        add(&world, &[B, D]);
        for arguments in [
            &["--from", "1.0.0"][..],
            &["--dry-run"],
            &["status"],
            &["mark", B],
            &["unmark", B],
            &["accept", B],
        ] {
            migrate(&world, arguments).exits(3).tells("blocked", reason);
        }
        assert_eq!(world.read(STATE), text);
        assert_eq!(effects(&world), "");
    }
}

#[test]
fn the_file_is_private_and_the_folder_too() {
    let world = fresh();
    add(&world, &[B]);
    migrate(&world, &["--from", "1.0.0"]).exits(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.state()), 0o700);
    assert_eq!(mode(&world.path(STATE)), 0o600);
}

#[test]
fn of_two_runs_at_once_each_script_runs_once() {
    let world = world();
    let all: Vec<String> = (1..=12).map(|n| format!("1.2.0/{n:03}_{}.py", char::from(b'a' + n))).collect();
    add(&world, &all.iter().map(String::as_str).collect::<Vec<_>>());
    put(&world, B, &gated(&world, "B"));
    let first = start(&world, &[]);
    wait_for(&world.path("begun"));
    let others = [start(&world, &["--lock-timeout", "60"]), start(&world, &["--lock-timeout", "60"])];
    let busy = migrate(&world, &["--lock-timeout", "0.2"]).exits(75).tells("busy", Some("locked")).json();
    assert_eq!(busy["ran"], json!([]));
    // Readers wait for nobody.
    assert_eq!(migrate(&world, &["status"]).exits(0).json()["intent"]["id"], B);
    migrate(&world, &["--dry-run"]).exits(0).tells("planned", None);
    fs::write(world.path("go"), "").unwrap();
    assert_eq!(ids(&end(first).exits(0).tells("ok", None).json()["ran"]).len(), 13);
    for other in others {
        end(other).exits(0).tells("nothing", None);
    }
    assert_eq!(effects(&world), "Bbcdefghijklm");
}

#[test]
fn a_hook_of_make_install_neither_waits_nor_fails_inside_an_update() {
    let world = World::new();
    let program = support::binary("run-migrations");
    let makefile = world.read("work/Makefile").replace(
        "install:\n",
        &format!(
            "install:\n\t@{} --repo . --json --lock-timeout 0 > {}\n",
            program.display(),
            world.path("hook").display()
        ),
    );
    world.write("work/Makefile", &makefile);
    world.commit("a hook");
    world.git(&["pull", "--quiet"]);
    state(&world, r#"{"schema": 1, "applied": [], "baseline": "1.0.0"}"#);
    world.write("work/migrations/v1.1.0/001_b.py", &script(&world, "b", ""));
    world.release("1.1.0");
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "restart", "status"]);
    let hook: Value = serde_json::from_str(&world.read("hook")).unwrap();
    assert_eq!((hook["outcome"].as_str(), ids(&hook["skipped"])), (Some("nothing"), vec![B]));
    assert_eq!(effects(&world), "b");

    // By hand: after a pull, `make install` brings the computer up to date.
    world.write("work/migrations/v1.2.0/002_d.py", &script(&world, "d", ""));
    world.release("1.2.0");
    world.git(&["pull", "--quiet"]);
    let made = world.command("make", &world.checkout()).arg("install").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(effects(&world), "bd");
}

#[test]
fn a_run_that_is_asked_to_stop_ends_its_script_and_can_be_resumed() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let world = world();
        add(&world, &[B, E]);
        put(&world, D, &gated(&world, "d"));
        let child = start(&world, &[]);
        wait_for(&world.path("begun"));
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        let run = end(child).exits(1).tells("failed", Some("interrupted")).json();
        assert_eq!(
            (run["failed"]["id"].as_str(), ids(&run["ran"]), ids(&run["pending"])),
            (Some(D), vec![B], vec![D, E])
        );
        fs::write(world.path("go"), "").unwrap();
        let next = migrate(&world, &[]).exits(0).tells("ok", None).json();
        assert_eq!(ids(&next["ran"]), [D, E], "{signal:?}");
        assert_eq!(effects(&world), "bde");
    }
}

#[test]
fn after_a_kill_check_says_what_the_interrupted_one_counts_as() {
    for (effect, status) in [("d\n", "recovered"), ("", "applied")] {
        let world = world();
        add(&world, &[B, E]);
        put(&world, D, &gated(&world, "d"));
        let mut child = start(&world, &[]);
        wait_for(&world.path("begun"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(world.state_file("migration_state.json")["intent"]["id"], D);
        world.write("effects.log", &format!("b\n{effect}"));
        fs::write(world.path("go"), "").unwrap();
        migrate(&world, &[]).exits(0).tells("ok", None);
        let state = world.state_file("migration_state.json");
        assert_eq!((state["records"][D]["status"].as_str(), &state["intent"]), (Some(status), &Value::Null));
        assert_eq!(effects(&world), "bde");
    }
}
