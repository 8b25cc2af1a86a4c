//! `telec update status`, `history`, `hold` and `resume`: what they say about the files, and that they
//! neither wait nor repair.
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::World;

const UNTIL: &str = "2999-01-01T00:00:00Z";

// Status.

fn status_of(world: &World) -> Value {
    world.run("telec", &["update", "status", "--json"]).exits(0).json()
}

fn save_status(world: &World, status: &Value) {
    world.write("home/.teleclaude/deploy_status.json", &status.to_string());
}

#[test]
fn status_without_a_file() {
    let world = World::empty();
    let json = status_of(&world);
    assert_eq!((&json["outcome"], &json["status"]), (&json!("ok"), &json!("idle")));
    assert_eq!(json["message"], "no update has been tried on this computer yet");
    assert_eq!(
        (&json["running"], &json["available"], &json["hold"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
}

#[test]
fn status_has_the_keys_of_the_file() {
    let world = World::empty();
    let file = json!({
        "schema": 1, "status": "rolled_back", "channel": "beta", "from": "1.2.0", "to": "1.3.0",
        "from_commit": "a".repeat(40), "to_commit": "b".repeat(40), "attempt": 2, "pid": null,
        "started_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-01T00:01:00Z",
        "timestamp": 1_893_456_060.5, "reason": "install_failed", "message": "the install failed",
        "error": {"step": "installing", "command": "make install", "exit": 2, "log": "/l/x.log", "tail": "no space"},
        "next_try_at": "2030-01-01T00:06:00Z", "of_somebody_else": [1],
    });
    save_status(&world, &file);
    let json = status_of(&world);
    for (key, value) in file.as_object().unwrap() {
        assert_eq!(&json[key], value, "{key}");
    }
    assert_eq!(json["outcome"], "ok");
    let people = world.run("telec", &["update", "status"]).exits(0).stdout;
    for part in [
        "the install failed\n",
        "rolled_back (install_failed)",
        "1.2.0 -> 1.3.0",
        "make install",
        "/l/x.log",
        "00:06:00Z",
    ] {
        assert!(people.contains(part), "{part}: {people}");
    }
}

#[test]
fn a_run_that_died_is_told_and_a_live_one_is_running() {
    let world = World::empty();
    let mut child = world.command("/bin/sh", Path::new("/")).args(["-c", "exit 0"]).spawn().unwrap();
    child.wait().unwrap();
    let installing = |pid: u32, started: Value| json!({"schema": 1, "status": "installing", "to": "1.3.0", "pid": pid, "pid_started": started, "message": "installing"});
    save_status(&world, &installing(child.id(), json!("long ago")));
    let json = status_of(&world);
    assert_eq!((&json["running"], &json["reason"]), (&json!(false), &json!("interrupted")));
    assert_eq!(
        json["message"],
        "the update to 1.3.0 was interrupted while installing, its program is gone: run 'telec update' to finish or undo it"
    );
    // A process of that number that began at another time is another one.
    save_status(&world, &installing(std::process::id(), json!("long ago")));
    assert_eq!(status_of(&world)["running"], false);
    // Where the start was not recorded, the number has to do.
    save_status(&world, &installing(std::process::id(), Value::Null));
    let json = status_of(&world);
    assert_eq!(
        (&json["running"], &json["reason"], &json["message"]),
        (&json!(true), &Value::Null, &json!("installing"))
    );
}

#[test]
fn waiting_for_the_callers_restart_is_no_death() {
    let world = World::empty();
    save_status(
        &world,
        &json!({"schema": 1, "status": "restarting", "pid": null, "message": "restart the daemon"}),
    );
    assert_eq!(status_of(&world)["message"], "restart the daemon");
}

#[test]
fn status_shows_what_is_on_offer_and_neither_waits_nor_repairs() {
    let world = World::empty();
    world.write("home/.teleclaude/deploy_status.json", "{ torn");
    world.write(
        "home/.teleclaude/update_available.json",
        &json!({
            "schema": 1, "current": "1.2.0", "available": "1.3.0", "channel": "beta", "tag": "v1.3.0",
            "current_commit": "a".repeat(40), "available_commit": "b".repeat(40), "repo": "/c", "source": "tags",
            "detected_at": "2030-01-01T00:00:00Z", "published_at": null, "release_url": null,
        })
        .to_string(),
    );
    // Somebody holds every lock there is.
    let locks: Vec<fs::File> = ["deploy_status.json", "update_available.json", "hold.json"]
        .iter()
        .map(|name| {
            let file = fs::File::create(world.state().join(format!("{name}.lock"))).unwrap();
            file.lock().unwrap();
            file
        })
        .collect();
    let json = status_of(&world);
    assert_eq!(json["available"]["available"], "1.3.0");
    assert!(json["message"].as_str().unwrap().contains("deploy_status.json cannot be read"), "{json}");
    assert_eq!(world.read("home/.teleclaude/deploy_status.json"), "{ torn");
    drop(locks);
}

// History.

fn attempt(number: u64) -> Value {
    json!({
        "schema": 1, "started_at": "2030-01-01T00:00:00Z", "finished_at": "2030-01-01T00:01:30Z", "channel": "beta",
        "from": "1.2.0", "to": "1.3.0", "from_commit": "a".repeat(40), "to_commit": "b".repeat(40),
        "attempt": number, "outcome": "updated", "reason": null, "message": "in place", "error": null,
        "migrations": ["1.3.0/001_x.py"], "phases": [{"phase": "fetching", "ms": 12}],
    })
}

#[test]
fn history_shows_the_last_attempts_and_passes_over_bad_lines() {
    let world = World::empty();
    let none = world.run("telec", &["update", "history", "--json"]).exits(0).tells("ok", None).json();
    assert_eq!(none["attempts"], json!([]));
    let mut lines: Vec<String> = (1..=30).map(|number| attempt(number).to_string()).collect();
    lines.insert(5, "{ torn".to_owned());
    lines.insert(9, attempt(0).to_string().replace("\"schema\":1", "\"schema\":2"));
    world.write("home/.teleclaude/deploy_history.jsonl", &(lines.join("\n") + "\n"));
    let of = |arguments: &[&str]| -> Vec<u64> {
        let run = world.run("telec", &[&["update", "history", "--json"], arguments].concat()).exits(0);
        let json = run.json();
        assert_eq!(json["unreadable"], 2);
        json["attempts"].as_array().unwrap().iter().map(|a| a["attempt"].as_u64().unwrap()).collect()
    };
    assert_eq!(of(&["-n", "3"]), [28, 29, 30]);
    assert_eq!(of(&["-n0"]), [0; 0]);
    assert_eq!(of(&[]), (11..=30).collect::<Vec<_>>());
    assert_eq!(of(&["-n", "999"]), (1..=30).collect::<Vec<_>>());
    let json = world.run("telec", &["update", "history", "-n1", "--json"]).json();
    assert_eq!(json["attempts"][0], attempt(30));
    let people = world.run("telec", &["update", "history", "-n", "1"]).exits(0).stdout;
    assert!(
        people.contains("2030-01-01T00:00:00Z  beta  1.2.0 -> 1.3.0  updated (attempt 30, 90 s): in place"),
        "{people}"
    );
    assert!(people.contains("2 lines of deploy_history.jsonl cannot be read"), "{people}");
}

// Hold and resume.

#[test]
fn hold_and_resume() {
    let world = World::empty();
    world.write("home/.teleclaude/hold.json", r#"{"of_somebody_else": 1}"#);
    let run = world.run("telec", &["update", "hold", "--until", UNTIL, "--reason", "a \"demo\"", "--json"]);
    let json = run.exits(0).tells("ok", None).json();
    assert_eq!(json["message"], format!("updates are held until {UNTIL} (a \"demo\")"));
    let file = world.state_file("hold.json");
    assert_eq!(
        (&file["schema"], &file["until"], &file["reason"]),
        (&json!(1), &json!(UNTIL), &json!("a \"demo\""))
    );
    assert_eq!(file["of_somebody_else"], 1);
    assert_eq!(fs::metadata(world.state().join("hold.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(status_of(&world)["hold"]["until"], UNTIL);
    assert!(world.run("telec", &["update", "status"]).stdout.contains("updates are held until"));

    world.run("telec", &["update", "resume", "--json"]).exits(0).tells("ok", None);
    assert_eq!(world.state_file("hold.json"), Value::Null);
    assert_eq!(status_of(&world)["hold"], Value::Null);
    world.run("telec", &["update", "resume", "--json"]).exits(0).tells("nothing", None);
}

#[test]
fn hold_without_end_and_one_that_has_run_out() {
    let world = World::empty();
    let run = world.run("telec", &["update", "hold"]).exits(0);
    assert_eq!(run.stdout, "updates are held until 'telec update resume'\n");
    assert_eq!(world.state_file("hold.json")["until"], Value::Null);
    world.write("home/.teleclaude/hold.json", r#"{"schema": 1, "until": "2001-01-01T00:00:00Z"}"#);
    assert_eq!(status_of(&world)["hold"], Value::Null);
    world.run("telec", &["update", "resume", "--json"]).exits(0).tells("nothing", None);
}

#[test]
fn a_time_of_day_is_in_the_computers_zone() {
    let world = World::new();
    world.config("computer: {name: a, timezone: America/New_York}\n");
    let run = world.run("telec", &["update", "hold", "--until", "2999-07-01 08:00", "--json"]).exits(0);
    assert_eq!(run.json()["hold"]["until"], "2999-07-01T12:00:00Z");
}

#[test]
fn a_damaged_or_newer_hold_is_refused_unharmed() {
    for (content, reason) in [("{ torn", "state_damaged"), (r#"{"schema": 2}"#, "state_newer")] {
        let world = World::empty();
        world.write("home/.teleclaude/hold.json", content);
        for word in ["hold", "resume", "status"] {
            world.run("telec", &["update", word, "--json"]).exits(3).tells("blocked", Some(reason));
            assert_eq!(world.read("home/.teleclaude/hold.json"), content, "{word}");
        }
    }
}
