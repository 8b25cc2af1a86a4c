//! `telec`: what is handed on and how, what is ours, and what it says.
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Run, World, binary};

const UNTIL: &str = "2999-01-01T00:00:00Z";

fn executable(world: &World, relative: &str, script: &str) {
    world.write(relative, script);
    fs::set_permissions(world.path(relative), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A checkout whose own `telec` is this shell script.
fn with_own_telec(script: &str) -> World {
    let world = World::new();
    executable(&world, "checkout/bin/telec", &format!("#!/bin/sh\n{script}\n"));
    world
}

/// The last line of standard error is the sentence; a circle says nothing else.
#[track_caller]
fn one_sentence(run: &Run, part: &str) {
    assert_eq!(run.stdout, "", "{run:#?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    assert!(run.stderr.contains(part), "{run:#?}");
}

// Handing on.

#[test]
fn arguments_arrive_byte_for_byte() {
    let world = with_own_telec("printf '%s\\0' \"$@\" > ../argv");
    let cases: [&[&[u8]]; 9] = [
        &[],
        &[b"--help"],
        &[b"-x", b"version"],
        &[b"--repo", b"/nowhere", b"update"],
        &[b"todo", b"", b" ", b"a b", b"*", b"$HOME", b"`id`", b"'\"\\", b"line\nbreak", b"\t"],
        &[b"--", b"version", b"--json"],
        &[b"not\xff\xfeutf-8", b"\x80", b"caf\xc3\xa9"],
        &[b"Version"],
        &[b"", b"version"],
    ];
    for arguments in cases {
        let mut command = world.program("telec");
        let run: Run = command.args(arguments.iter().map(|a| OsStr::from_bytes(a))).output().unwrap().into();
        run.exits(0);
        // printf prints one empty item where there are no arguments.
        let expected: Vec<u8> = if arguments.is_empty() {
            vec![0]
        } else {
            arguments.iter().flat_map(|argument| [argument, b"\0".as_slice()].concat()).collect()
        };
        assert_eq!(fs::read(world.path("argv")).unwrap(), expected, "{arguments:?}");
    }
}

#[test]
fn exit_code_streams_directory_and_environment_are_left_alone() {
    let mut world = with_own_telec("cat; pwd -P; echo err >&2; env > ../../environment; exit 117");
    world.env("GIT_DIR", "/somewhere/else").env("ODD", "two\nlines");
    let below = world.path("checkout/deep");
    fs::create_dir(&below).unwrap();
    let mut child = world
        .program("telec")
        .arg("anything")
        .current_dir(&below)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!(run.stdout, format!("typed\n{}\n", below.display()));
    assert_eq!(run.stderr, "err\n");
    let environment = world.read("environment");
    assert!(environment.contains("GIT_DIR=/somewhere/else\n"), "{environment}");
    assert!(environment.contains("ODD=two\nlines\n"), "{environment}");
    run.exits(117);
}

#[test]
fn an_ignored_hang_up_stays_ignored() {
    let world = with_own_telec("kill -HUP $$; echo survived");
    let run: Run = world
        .command("/bin/sh", &world.checkout())
        .args(["-c", "trap '' HUP; exec \"$0\" job"])
        .arg(binary("telec"))
        .output()
        .unwrap()
        .into();
    assert_eq!(run.exits(0).stdout, "survived\n");
}

#[test]
fn the_checkout_is_the_named_one_or_the_one_around() {
    let mut world = with_own_telec("echo around");
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "around\n");
    executable(&world, "other/bin/telec", "#!/bin/sh\necho other\n");
    fs::create_dir(world.path("other/.git")).unwrap();
    let other = world.path("other/bin");
    world.env("TELECLAUDE_REPO", other.to_str().unwrap());
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "other\n");
    world.env("TELECLAUDE_REPO", "");
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "around\n");
}

#[test]
fn a_linked_worktree_has_its_own_telec() {
    let world = World::new();
    world.git(&["worktree", "add", "--quiet", "../linked"]);
    executable(&world, "linked/bin/telec", "#!/bin/sh\necho linked\n");
    let run: Run = world.program("telec").arg("x").current_dir(world.path("linked")).output().unwrap().into();
    assert_eq!(run.exits(0).stdout, "linked\n");
}

#[test]
fn outside_a_checkout_is_wrong_usage() {
    let world = World::empty();
    for arguments in [&[][..], &["--help"], &["todo", "list"]] {
        let run = world.run("telec", arguments).exits(2);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("no git checkout here"), "{run:#?}");
    }
}

#[test]
fn where_there_is_no_other_telec_our_help_answers() {
    let world = World::new();
    for arguments in [&[][..], &["--help"], &["-h"]] {
        let run = world.run("telec", arguments).exits(0);
        assert!(run.stdout.starts_with("Usage: telec <command>"), "{run:#?}");
    }
    assert!(world.run("telec", &["--version"]).exits(0).stdout.starts_with("telec 1."));
    let run = world.run("telec", &["todo"]).exits(2);
    assert!(run.stderr.contains("'todo' is no command of ours"), "{run:#?}");
    assert!(run.stderr.contains("Usage: telec"), "{run:#?}");
}

#[test]
fn a_telec_that_cannot_be_started_is_said() {
    let world = with_own_telec("true");
    fs::set_permissions(world.path("checkout/bin/telec"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = world.run("telec", &["x"]).exits(1);
    one_sentence(&run, "checkout/bin/telec: ");
}

// Never to itself.

#[test]
fn a_link_to_this_program_is_not_another_telec() {
    let world = World::new();
    fs::create_dir(world.path("checkout/bin")).unwrap();
    symlink(binary("telec"), world.path("checkout/bin/telec")).unwrap();
    assert!(world.run("telec", &["todo"]).exits(2).stderr.contains("'todo' is no command of ours"));
    assert!(world.run("telec", &[]).exits(0).stdout.starts_with("Usage: telec"));
}

#[test]
fn a_copy_of_this_program_ends_in_help() {
    let world = World::new();
    fs::create_dir(world.path("checkout/bin")).unwrap();
    fs::copy(binary("telec"), world.path("checkout/bin/telec")).unwrap();
    assert!(world.run("telec", &["todo"]).exits(2).stderr.contains("'todo' is no command of ours"));
}

#[test]
fn wrappers_that_lead_back_are_noticed() {
    for script in ["exec .venv/bin/telec \"$@\"", ".venv/bin/telec \"$@\"", ".venv/bin/telec changed \"$@\""]
    {
        let world = with_own_telec(script);
        fs::create_dir_all(world.path("checkout/.venv/bin")).unwrap();
        fs::copy(binary("telec"), world.path("checkout/.venv/bin/telec")).unwrap();
        for start in [binary("telec"), world.path("checkout/.venv/bin/telec")] {
            let mut command = world.command(start.to_str().unwrap(), &world.checkout());
            let run: Run = command.arg("todo").output().unwrap().into();
            let run = run.exits(2);
            one_sentence(&run, "checkout/bin/telec leads back to this program");
        }
    }
}

#[test]
fn telec_inside_the_checkouts_telec_is_no_circle() {
    let script = format!(
        "case $1 in *..........) echo bottom;; *) {telec} \"$1.\"; {telec} \"$1.\" > /dev/null || echo no;; esac",
        telec = binary("telec").display()
    );
    let world = with_own_telec(&script);
    assert_eq!(world.run("telec", &["x......."]).exits(0).stdout, "bottom\n");
}

// Our words.

#[test]
fn workers_take_the_remaining_words() {
    let world = World::new();
    for (words, worker, flags) in [
        (&["migrate", "--nonsense"][..], "run-migrations", &["--nonsense"][..]),
        (&["update", "--nonsense"], "apply-update", &["--nonsense"]),
        (&["update", "plan", "--nonsense"], "apply-update", &["--plan", "--nonsense"]),
        (&["update", "check", "--nonsense"], "version-watch", &["--nonsense"]),
        (&["update", "--json", "check"], "version-watch", &["--json"]),
        (&["migrate", "status", "--json"], "run-migrations", &["status", "--json"]),
    ] {
        let (ours, theirs) = (world.run("telec", words), world.run(worker, flags));
        assert_eq!((ours.code, &ours.stderr), (theirs.code, &theirs.stderr), "{words:?}");
    }
}

#[test]
fn deploy_is_gone() {
    let world = with_own_telec("echo handed on");
    let run = world.run("telec", &["deploy", "--all"]).exits(2);
    one_sentence(&run, "telec deploy is gone, deployment is automatic: use 'telec update'");
    let json = world.run("telec", &["deploy", "--json"]).exits(2).tells("invalid", Some("gone"));
    assert_eq!(json.stderr, "");
    let nowhere = World::empty();
    nowhere.run("telec", &["deploy"]).exits(2);
}

#[test]
fn wrong_words_and_flags_of_update_are_wrong_usage() {
    let world = World::new();
    for (words, part) in [
        (&["update", "statsu"][..], "did you mean 'status'?"),
        (&["update", "frobnicate"], "has no command 'frobnicate'"),
        (&["update", "status", "--nonsense"], "'--nonsense'"),
        (&["update", "status", "now"], "unexpected word 'now'"),
        (&["update", "history", "-n"], "-n"),
        (&["update", "history", "-n", "few"], "few"),
        (&["update", "history", "-n", "-1"], "-1"),
        (&["update", "hold", "--until"], "--until"),
        (&["update", "hold", "--until", "2001-01-01T00:00:00Z"], "is not in the future"),
        (&["update", "hold", "--until", "some day"], "is not a time"),
        (&["update", "resume", "-x"], "'-x'"),
        (&["update", "resume", "--json=yes"], "--json"),
        (&["version", "1.0.0"], "unexpected word '1.0.0'"),
    ] {
        let run = world.run("telec", words).exits(2);
        assert_eq!(run.stdout, "", "{words:?}");
        assert!(run.stderr.contains(part), "{words:?}: {run:#?}");
    }
    assert!(!world.state().join("hold.json").exists());
}

#[test]
fn every_word_has_help() {
    let world = World::empty();
    for word in ["status", "history", "hold", "resume"] {
        let run = world.run("telec", &["update", word, "--help"]).exits(0);
        assert!(run.stdout.starts_with(&format!("Usage: telec update {word}")), "{run:#?}");
    }
    assert!(world.run("telec", &["version", "--help"]).exits(0).stdout.starts_with("Usage: telec version"));
    assert!(world.run("telec", &["update", "--help"]).exits(0).stdout.contains("history [-n N]"));
}

// Version.

#[test]
fn the_version_line_of_each_channel() {
    let world = World::new();
    let commit = world.head();
    let tiny = &commit[..7];
    for (channel, config, follows, pin) in [
        ("alpha", "", "alpha", Value::Null),
        ("beta", "deployment: {channel: beta}\n", "beta", Value::Null),
        ("stable", "deployment: {channel: stable, pinned_minor: 1.10}\n", "stable (1.10)", json!("1.10")),
    ] {
        world.config(config);
        let run = world.run("telec", &["version"]).exits(0);
        assert_eq!(run.stdout, format!("TeleClaude v1.0.0 (channel: {follows}, commit: {tiny})\n"));
        let json = world.run("telec", &["version", "--json"]).exits(0).tells("ok", None).json();
        assert_eq!(json["name"], "TeleClaude");
        assert_eq!(json["version"], "1.0.0");
        assert_eq!(json["channel"], channel);
        assert_eq!(json["pinned_minor"], pin);
        assert_eq!(json["commit"], commit);
    }
}

#[test]
fn the_version_of_a_release_is_its_tag_and_of_alpha_the_project_files() {
    let world = World::new();
    world.git(&["tag", "v1.2.0"]);
    world.git(&["tag", "v1.10.0"]);
    world.git(&["tag", "nightly"]);
    for (config, version) in [
        ("", "1.0.0"),
        ("deployment: {channel: beta}", "1.10.0"),
        ("deployment: {channel: stable, pinned_minor: '1.10'}", "1.10.0"),
    ] {
        world.config(config);
        let json = world.run("telec", &["version", "--json"]).exits(0).json();
        assert_eq!(json["version"], version, "{config}");
    }
}

#[test]
fn a_project_without_a_file_is_called_by_its_folder() {
    let world = World::new();
    fs::remove_file(world.path("checkout/pyproject.toml")).unwrap();
    let run = world.run("telec", &["version"]).exits(0);
    assert!(run.stdout.starts_with("checkout (no version) (channel: alpha, commit: "), "{run:#?}");
    assert_eq!(world.run("telec", &["version", "--json"]).json()["version"], Value::Null);
}

#[test]
fn version_needs_a_checkout_and_a_valid_configuration() {
    World::empty().run("telec", &["version", "--json"]).exits(2).tells("invalid", Some("no_checkout"));
    let world = World::new();
    world.config("deployment: {channel: gamma}\n");
    world.run("telec", &["version", "--json"]).exits(2).tells("invalid", Some("invalid_config"));
    assert!(!world.state().exists(), "telling the version creates nothing");
}

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
