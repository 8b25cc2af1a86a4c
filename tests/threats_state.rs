//! State files that somebody else wrote, or put something in the place of: nothing hangs, nothing
//! panics, and nothing is installed but what the remote offers now.

#![recursion_limit = "256"]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Run, World};

/// Far more than any run here takes.
const LIMIT: Duration = Duration::from_secs(40);

/// Runs a program that must come to an end.
#[track_caller]
fn run_within(world: &World, program: &str, arguments: &[&str]) -> Run {
    let mut command = world.program(program);
    let mut child =
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let until = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("{program} {arguments:?} hangs: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let run: Run = child.wait_with_output().unwrap().into();
    assert!(run.code >= 0 && run.code != 101 && !run.stderr.contains("panicked"), "{run:#?}");
    run
}

/// A checkout with an update signalled for `channel`, and the signal.
fn signalled(channel: &str) -> (World, Value) {
    let world = World::new();
    world.config(&format!("deployment: {{{channel}, source: tags}}\n"));
    world.release("1.1.0");
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    let signal = world.state_file("update_available.json");
    (world, signal)
}

fn publish(world: &World, signal: &Value) {
    world.write("home/.teleclaude/update_available.json", &signal.to_string());
}

/// Applies and asserts the answer, and that nothing was installed.
#[track_caller]
fn refused(world: &World, what: &str, exit: i32, outcome: &str, reason: &str) -> Run {
    let before = world.head();
    let run = run_within(world, "apply-update", &["--json"]);
    assert_eq!(run.code, exit, "{what}: {run:#?}");
    assert_eq!(world.head(), before, "{what}");
    assert_eq!(world.steps(), Vec::<String>::new(), "{what}");
    run.tells(outcome, Some(reason))
}

#[test]
fn a_signal_for_what_the_branch_does_not_have_is_refused() {
    let (world, signal) = signalled("channel: alpha");
    let only_here = {
        world.git(&["switch", "--quiet", "-c", "aside"]);
        world.git(&["commit", "--quiet", "--allow-empty", "-m", "of nobody"]);
        let commit = world.head();
        world.git(&["switch", "--quiet", "main"]);
        commit
    };
    for (what, commit) in [("nowhere", "0123456789abcdef0123456789abcdef01234567"), ("only here", &only_here)]
    {
        let mut forged = signal.clone();
        forged["available"] = commit[..12].into();
        forged["available_commit"] = commit.into();
        publish(&world, &forged);
        refused(&world, what, 3, "blocked", "diverged");
        assert_eq!(world.state_file("update_available.json"), Value::Null, "{what}: withdrawn");
    }
}

#[test]
fn a_signal_for_an_older_commit_is_refused() {
    let world = World::new();
    world.config("deployment: {channel: alpha}\n");
    let old = world.head();
    world.commit("second");
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    let mut signal = world.state_file("update_available.json");
    // Nothing but the commit that is installed says that the other one is older.
    world.git(&["pull", "--quiet"]);
    world.git(&["checkout", "--quiet", "--detach"]);
    world.git(&["branch", "--quiet", "-D", "main"]);
    signal["available"] = old[..12].into();
    signal["available_commit"] = old.into();
    publish(&world, &signal);
    refused(&world, "older", 3, "blocked", "downgrade");
}

#[test]
fn a_signal_whose_tag_is_not_that_commit_is_refused() {
    let (world, signal) = signalled("channel: beta");
    let other = world.commit("not released");
    world.git(&["fetch", "--quiet", "origin"]);
    let mut forged = signal.clone();
    forged["available_commit"] = other.into();
    publish(&world, &forged);
    refused(&world, "another commit", 3, "blocked", "tag_moved");
    assert_eq!(world.state_file("update_available.json"), Value::Null, "withdrawn");
    let mut forged = signal.clone();
    forged["available"] = "9.9.9".into();
    forged["tag"] = "v9.9.9".into();
    publish(&world, &forged);
    refused(&world, "a tag that is not there", 75, "unreachable", "tag_missing");
}

#[test]
fn a_signal_that_does_not_fit_the_settings_is_not_followed() {
    for (channel, key, value) in [
        ("channel: alpha", "repo", json!("/srv/other")),
        ("channel: alpha", "channel", json!("beta")),
        ("channel: alpha", "available", json!("9.9.9")),
        ("channel: alpha", "tag", json!("v1.1.0")),
        ("channel: beta", "channel", json!("stable")),
        ("channel: beta", "available", json!("9.9.9")),
        ("channel: beta", "tag", json!("v1.0.9")),
        ("channel: beta", "tag", Value::Null),
        ("channel: stable, pinned_minor: '1.1'", "repo", json!("/srv/other")),
    ] {
        let (world, mut signal) = signalled(channel);
        signal[key] = value.clone();
        publish(&world, &signal);
        refused(&world, &format!("{channel}: {key} is {value}"), 0, "nothing", "stale_signal");
    }
    let (world, mut signal) = signalled("channel: beta");
    world.tag("v1.2.0-rc.1");
    signal["available"] = "1.2.0-rc.1".into();
    signal["tag"] = "v1.2.0-rc.1".into();
    signal["available_commit"] = world.git_in(&world.path("work"), &["rev-parse", "HEAD"]).into();
    publish(&world, &signal);
    refused(&world, "a prerelease", 0, "nothing", "stale_signal");
    let (world, mut signal) = signalled("channel: stable, pinned_minor: '1.1'");
    let commit = world.release("1.2.0");
    signal["available"] = "1.2.0".into();
    signal["tag"] = "v1.2.0".into();
    signal["available_commit"] = commit.into();
    publish(&world, &signal);
    refused(&world, "another minor", 0, "nothing", "stale_signal");
}

#[test]
fn what_is_no_signal_reaches_no_command() {
    let (world, signal) = signalled("channel: beta");
    for (key, value) in [
        ("tag", json!("--upload-pack=touch pwned")),
        ("tag", json!("v1.1.0:refs/heads/main")),
        ("tag", json!("v1.1.0\n")),
        ("tag", json!("../heads/main")),
        ("available", json!("\u{1b}[2J")),
        ("current", json!("")),
        ("available_commit", json!("abc")),
        ("available_commit", json!("A".repeat(40))),
        ("available_commit", json!(format!("{}\n", "a".repeat(40)))),
        ("current_commit", json!("HEAD")),
        ("channel", json!("gamma")),
        ("repo", json!("checkout")),
        ("source", json!("me")),
        ("release_url", json!("javascript:x")),
        ("detected_at", json!("yesterday")),
        ("schema", json!("1")),
    ] {
        let mut forged = signal.clone();
        forged[key] = value.clone();
        publish(&world, &forged);
        refused(&world, &format!("{key} is {value}"), 3, "blocked", "state_damaged");
        assert_eq!(world.state_file("update_available.json"), forged, "unharmed");
    }
    assert!(!world.path("checkout/pwned").exists());
}

/// Something in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Pipe,
    Link,
    Folder,
    Huge,
    Deep,
}

const ODD: &[Odd] = &[Odd::Pipe, Odd::Link, Odd::Folder, Odd::Huge, Odd::Deep];

fn put(world: &World, path: &Path, odd: Odd) {
    let aside = world.path("aside.json");
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(_) => fs::write(&aside, "{\"schema\": 1}").unwrap(),
    }
    match odd {
        Odd::Pipe => assert!(world.command("mkfifo", &world.path("")).arg(path).status().unwrap().success()),
        Odd::Link => symlink(&aside, path).unwrap(),
        Odd::Folder => fs::create_dir(path).unwrap(),
        Odd::Huge => File::create(path).unwrap().set_len(1 << 30).unwrap(),
        Odd::Deep => fs::write(path, "[".repeat(1 << 20)).unwrap(),
    }
}

#[test]
fn nothing_but_a_plain_file_of_a_sensible_size_is_read() {
    for odd in ODD {
        for (file, program) in [
            ("update_available.json", "apply-update"),
            ("update_available.json", "version-watch"),
            ("apply_journal.json", "apply-update"),
            ("failed_versions.json", "apply-update"),
            ("hold.json", "apply-update"),
            ("migration_state.json", "run-migrations"),
        ] {
            let (world, _) = signalled("channel: alpha");
            put(&world, &world.state().join(file), *odd);
            let before = world.head();
            let run = run_within(&world, program, &["--json"]).exits(3);
            let run = run.tells("blocked", Some("state_damaged"));
            let why = match odd {
                Odd::Pipe | Odd::Folder => "no plain file",
                Odd::Link => "a link",
                Odd::Huge => "larger than",
                Odd::Deep => "is damaged",
            };
            assert!(run.stdout.contains(why), "{odd:?} {file}: {run:#?}");
            assert_eq!(world.head(), before);
            assert_eq!(world.steps(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_can_be_rebuilt_is_rebuilt_whatever_lies_there() {
    for odd in ODD {
        let (world, _) = signalled("channel: alpha");
        for file in ["version_watch.json", "deploy_status.json"] {
            put(&world, &world.state().join(file), *odd);
        }
        run_within(&world, "version-watch", &["--json"]).exits(0).tells("available", None);
        run_within(&world, "apply-update", &["--json"]).exits(42).tells("updated", None);
        assert_eq!(world.state_file("deploy_status.json")["status"], "deployed", "{odd:?}");
        assert_eq!(world.state_file("version_watch.json")["schema"], 1, "{odd:?}");
        for file in ["version_watch.json", "deploy_status.json"] {
            assert!(world.state().join(file).symlink_metadata().unwrap().is_file(), "{odd:?} {file}");
        }
    }
}

#[test]
fn a_history_that_is_no_file_hangs_nothing() {
    for odd in ODD {
        let (world, _) = signalled("channel: alpha");
        put(&world, &world.state().join("deploy_history.jsonl"), *odd);
        let run = run_within(&world, "apply-update", &["--json"]).exits(42).tells("updated", None);
        let warned = run.stderr.contains("deploy_history.jsonl") && run.stderr.contains("move it away");
        // A line that cannot be read is a line like any other.
        assert!(warned || matches!(odd, Odd::Deep), "{odd:?}: {run:#?}");
        assert_eq!(world.state_file("deploy_status.json")["status"], "deployed", "{odd:?}");
        assert_eq!(world.state_file("apply_journal.json"), Value::Null, "{odd:?}");
        run_within(&world, "telec", &["update", "history", "--json"]);
        run_within(&world, "telec", &["update", "status", "--json"]).exits(0);
    }
}

#[test]
fn only_a_plain_file_is_a_lock() {
    for odd in [Odd::Pipe, Odd::Link, Odd::Folder] {
        for (lock, program) in [
            ("update_available.json.lock", "version-watch"),
            ("apply-update.lock", "apply-update"),
            ("migration_state.json.lock", "run-migrations"),
        ] {
            let (world, _) = signalled("channel: alpha");
            world.commit("third");
            put(&world, &world.state().join(lock), odd);
            let run = run_within(&world, program, &["--json"]).exits(1).tells("failed", Some("io_error"));
            assert!(run.stdout.contains("no plain file; move it away"), "{odd:?} {lock}: {run:#?}");
            assert_eq!(world.steps(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_state_home_that_everybody_may_write_to_is_refused() {
    let (world, _) = signalled("channel: alpha");
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o777)).unwrap();
    for program in ["version-watch", "apply-update", "run-migrations"] {
        let run = run_within(&world, program, &["--json"]).exits(3).tells("blocked", Some("unsafe_home"));
        assert!(run.stdout.contains("chmod o-w"), "{run:#?}");
    }
    assert_eq!(world.steps(), Vec::<String>::new());
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o775)).unwrap();
    run_within(&world, "apply-update", &["--json"]).exits(42);
}

#[test]
fn a_journal_that_names_what_git_would_take_for_more_is_refused() {
    let (world, signal) = signalled("channel: beta");
    let commit = &signal["available_commit"];
    let head = json!({"branch": "main", "commit": world.head()});
    let journal = json!({
        "schema": 1, "id": "x", "phase": "fetching", "undo": null, "awaiting_caller": false, "stopped": false,
        "attempt": 1, "resumes": 0, "undo_failures": 0, "pid": 0, "pid_started": "", "step": null,
        "repo": world.checkout(), "channel": "beta", "from": "1.0.0", "to": "1.1.0",
        "from_commit": world.head(), "to_commit": commit, "tag": "v1.1.0:refs/heads/main", "since": null,
        "old_head": head, "new_head": {"branch": null, "commit": commit}, "branch_before": null,
        "local_edits": [], "snapshot": [], "migrations": [], "install_begun": false, "restarts_begun": 0,
        "restarts_back": 0, "kept": [], "cause": null, "started_at": "2026-11-22T12:58:00Z",
        "phase_at": "2026-11-22T12:58:00Z", "durations": {"fetching": u64::MAX},
        "commands": {"install": [], "restart": ["true"], "health": [], "python": null, "snapshot": [],
            "rollback": true, "max_attempts": 5, "deadlines": {"fetch": u64::MAX}},
    });
    world.write("home/.teleclaude/apply_journal.json", &journal.to_string());
    let run = refused(&world, "a refspec", 3, "blocked", "state_damaged");
    assert!(run.stdout.contains("is no tag of a version"), "{run:#?}");
    let mut sound = journal;
    sound["tag"] = "v1.1.0".into();
    world.write("home/.teleclaude/apply_journal.json", &sound.to_string());
    assert_eq!(run_within(&world, "apply-update", &["--json"]).code, 42, "the rest of it is sound");
}
