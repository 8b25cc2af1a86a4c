//! `run-migrations`: order, range, baseline, late and changed scripts, dry run, the interpreter,
//! the checkout that stays as it is.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use scripts::{add, effects, files, fresh, ids, migrate, put, script, world};
use serde_json::{Value, json};
use support::World;

const A: &str = "1.0.0/001_a.py";
const B: &str = "1.1.0/001_b.py";
const D: &str = "1.2.0/002_d.py";
const E: &str = "1.2.0/010_e.py";
const F: &str = "1.10.0/001_f.py";

#[test]
fn scripts_run_once_each_by_version_and_number() {
    let world = world();
    add(&world, &[E, D, F, B, A]);
    let first = migrate(&world, &[]).exits(0).tells("ok", None).json();
    assert_eq!(ids(&first["ran"]), [B, D, E]);
    assert_eq!(first["to"], "1.2.0");
    assert_eq!(effects(&world), "bde");
    let state = world.state_file("migration_state.json");
    assert_eq!(state["installed"], "1.2.0");
    assert_eq!(state["intent"], Value::Null);
    let record = &state["records"][D];
    assert_eq!(record["status"], "applied");
    assert_eq!(record["commit"], world.head());
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    assert!(record["milliseconds"].is_u64() && record["when"].as_str().unwrap().ends_with('Z'), "{record}");
    let again = migrate(&world, &[]).exits(0).tells("nothing", None).json();
    assert_eq!(ids(&again["skipped"]), [B, D, E]);
    assert_eq!(effects(&world), "bde");
    let more = migrate(&world, &["--to", " v1.10.0 "]).exits(0).json();
    assert_eq!((ids(&more["ran"]), more["to"].as_str()), (vec![F], Some("1.10.0")));
    assert_eq!(json!(null), world.state_file("migration_state.json.journal"));
}

#[test]
fn the_result_has_the_keys_of_the_contract_whatever_happens() {
    let world = world();
    add(&world, &[B]);
    put(&world, D, "def check(): return False\ndef migrate(): return False\n");
    let keys = [
        "schema", "outcome", "reason", "message", "from", "to", "ran", "skipped", "pending", "late", "drift",
        "failed",
    ];
    let has_all = |value: &Value| keys.iter().all(|key| value.get(key).is_some());
    let planned = migrate(&world, &["--dry-run"]).exits(0).tells("planned", None).json();
    let failed =
        migrate(&world, &["--from", "1.0.0"]).exits(1).tells("failed", Some("migration_failed")).json();
    put(&world, "1.2.0/1_x.py", "");
    let blocked = migrate(&world, &[]).exits(3).tells("blocked", Some("invalid_tree")).json();
    world.config("deployment: {channel: omega}\n");
    let invalid = migrate(&world, &[]).exits(2).tells("invalid", Some("invalid_config")).json();
    for value in [&planned, &failed, &blocked, &invalid] {
        assert!(has_all(value), "{value:#}");
    }
    assert_eq!(failed["from"], "1.0.0");
    let failure = failed["failed"].as_object().unwrap();
    assert_eq!(failure.keys().map(String::as_str).collect::<Vec<_>>(), ["error", "id", "log", "stage"]);
    assert!(fs::metadata(failure["log"].as_str().unwrap()).unwrap().is_file());
}

#[test]
fn the_first_run_ever_records_where_the_computer_stands() {
    let here = fresh();
    add(&here, &[A, B, D, F]);
    let dry = migrate(&here, &["--dry-run", "--exit-code"]).exits(0).json();
    assert_eq!(dry["pending"], json!([]));
    assert!(!here.state().exists(), "a dry run has made the state home");
    let first = migrate(&here, &[]).exits(0).tells("nothing", Some("baseline")).json();
    assert!(first["message"].as_str().unwrap().contains("1.2.0"), "{first}");
    let state = here.state_file("migration_state.json");
    assert_eq!((state["baseline"].as_str(), state["installed"].as_str()), (Some("1.2.0"), Some("1.2.0")));
    assert_eq!(effects(&here), "");
    let next = migrate(&here, &["--to", "1.10.0"]).exits(0).json();
    assert_eq!(ids(&next["ran"]), [F]);

    let given = fresh();
    add(&given, &[A, B, D, F]);
    let first = migrate(&given, &["--from", "v1.0.0"]).exits(0).tells("ok", None).json();
    assert_eq!((ids(&first["ran"]), first["from"].as_str()), (vec![B, D], Some("1.0.0")));
    assert_eq!(given.state_file("migration_state.json")["baseline"], "1.0.0");
}

#[test]
fn a_range_is_above_from_and_up_to_to() {
    for (from, to, ran) in [
        ("1.0.0", "1.2.0", "bde"),
        ("1.1.0", "1.2.0", "de"),
        ("0.9.0", "1.1.0", "ab"),
        ("1.2.0", "1.10.0", "f"),
        ("1.2.0", "1.9.9", ""),
        ("1.10.0", "1.2.0", ""),
    ] {
        let world = world();
        add(&world, &[A, B, D, E, F]);
        migrate(&world, &["--from", from, "--to", to]).exits(0);
        assert_eq!(effects(&world), ran, "{from} to {to}");
    }
}

#[test]
fn only_versions_are_versions() {
    let world = world();
    for text in ["1.2", "1.2.x", "1.2.0-rc.1", "01.2.0", "latest", "", "1.2.0.0", "-1.0.0"] {
        for flag in ["--from", "--to"] {
            let run = migrate(&world, &[&format!("{flag}={text}")]).exits(2);
            assert_eq!(run.stdout, "", "{text}");
        }
    }
    for arguments in
        [&["--timeout", "0"][..], &["--timeout", "x"], &["--lock-timeout", "-1"], &["--nope"], &["nope"]]
    {
        migrate(&world, arguments).exits(2);
    }
}

#[test]
fn a_script_that_comes_late_runs_and_is_told() {
    let world = world();
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    add(&world, &["1.1.0/002_late.py", F]);
    let dry = migrate(&world, &["--dry-run"]).exits(0).tells("planned", None).json();
    assert_eq!(
        (ids(&dry["pending"]), ids(&dry["late"])),
        (vec!["1.1.0/002_late.py"], vec!["1.1.0/002_late.py"])
    );
    let run = migrate(&world, &[]).exits(0).json();
    assert_eq!((ids(&run["ran"]), ids(&run["late"])), (vec!["1.1.0/002_late.py"], vec!["1.1.0/002_late.py"]));
    assert_eq!(effects(&world), "bdlate");
}

#[test]
fn a_changed_script_is_drift_until_it_is_accepted() {
    let world = world();
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    let text = script(&world, "b", "");
    put(&world, B, &format!("\u{feff}{}", text.replace('\n', "\r\n")));
    assert_eq!(migrate(&world, &["--strict"]).exits(0).json()["drift"], json!([]), "line ends are no change");
    put(&world, B, &format!("{text}# more\n"));
    add(&world, &[E]);
    let strict = migrate(&world, &["--strict"]).exits(3).tells("blocked", Some("drift")).json();
    assert_eq!((ids(&strict["drift"]), ids(&strict["pending"])), (vec![B], vec![E]));
    assert_eq!(effects(&world), "bd", "nothing runs in a strict run with drift");
    let run = migrate(&world, &[]).exits(0).tells("ok", None).json();
    assert_eq!((ids(&run["drift"]), ids(&run["ran"])), (vec![B], vec![E]));
    migrate(&world, &["accept", B, "--reason", "a comment"]).exits(0).tells("ok", None);
    assert_eq!(migrate(&world, &["--strict"]).exits(0).json()["drift"], json!([]));
    let record = &world.state_file("migration_state.json")["records"][B];
    assert_eq!(record["status"], "applied");
    assert_eq!(record["accepted"]["reason"], "a comment");
}

#[test]
fn a_script_that_is_gone_is_told_and_stops_nothing() {
    let world = world();
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    fs::remove_file(world.path(&format!("checkout/migrations/v{B}"))).unwrap();
    add(&world, &[E]);
    let run = migrate(&world, &["--strict"]).exits(0).tells("ok", None).json();
    assert_eq!((ids(&run["missing"]), ids(&run["ran"])), (vec![B], vec![E]));
}

#[test]
fn a_check_that_holds_is_recorded_and_not_run() {
    let world = world();
    add(&world, &[B]);
    world.write("effects.log", "b\n");
    let run = migrate(&world, &[]).exits(0).tells("nothing", None).json();
    assert_eq!((ids(&run["ran"]).len(), ids(&run["skipped"])), (0, vec![B]));
    assert_eq!(effects(&world), "b");
    assert_eq!(world.state_file("migration_state.json")["records"][B]["status"], "already_applied");
    // On record it is not asked again: it could not even be imported.
    put(&world, B, "raise SystemError\n");
    migrate(&world, &[]).exits(0).tells("nothing", None);
}

#[test]
fn a_dry_run_executes_and_writes_nothing() {
    let world = world();
    add(&world, &[B, D]);
    put(&world, E, &format!("open({:?}, 'w')\n", world.path("imported").to_str().unwrap()));
    world.write("no/python3", "#!/bin/sh\necho started >> \"$(dirname \"$0\")/started\"\nexit 1\n");
    fs::set_permissions(world.path("no/python3"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = (
        files(&world),
        fs::read_dir(world.state()).unwrap().count(),
        world.read("home/.teleclaude/migration_state.json"),
    );
    let python = world.path("no/python3");
    let python = python.to_str().unwrap();
    let dry = migrate(&world, &["--dry-run", "--python", python]).exits(0).tells("planned", None).json();
    assert_eq!(ids(&dry["pending"]), [B, D, E]);
    migrate(&world, &["--dry-run", "--exit-code", "--python", python]).exits(10).tells("planned", None);
    assert!(!world.path("imported").exists() && !world.path("no/started").exists());
    let after = (
        files(&world),
        fs::read_dir(world.state()).unwrap().count(),
        world.read("home/.teleclaude/migration_state.json"),
    );
    assert_eq!(before, after);
    // With nothing pending even a real run starts no Python.
    migrate(&world, &["--to", "1.0.0", "--python", python]).exits(0).tells("nothing", None);
    assert!(!world.path("no/started").exists());
    migrate(&world, &["--python", python]).exits(3).tells("blocked", Some("no_python"));
    assert!(world.path("no/started").exists());
}

#[test]
fn exit_code_ten_means_pending() {
    let world = world();
    add(&world, &[B]);
    migrate(&world, &["status", "--exit-code"]).exits(10);
    migrate(&world, &["status"]).exits(0);
    migrate(&world, &["--exit-code"]).exits(0);
    migrate(&world, &["status", "--exit-code"]).exits(0);
    migrate(&world, &["--dry-run", "--exit-code"]).exits(0).tells("nothing", None);
}

#[test]
fn an_invalid_tree_names_every_offender_and_runs_nothing() {
    let world = world();
    add(&world, &[B, D]);
    for path in [
        "v1.2.0/2_x.py",
        "v1.2.0/002_twice.py",
        "v1.01.0/001_a.py",
        "1.3.0/001_a.py",
        "v1.2.0/003-y.py",
        "001_lost.py",
        "v\u{ff11}.9.0/001_a.py",
    ] {
        world.write(&format!("checkout/migrations/{path}"), "");
    }
    for arguments in [&[][..], &["--dry-run"], &["status"], &["manifest"]] {
        let run = migrate(&world, arguments).exits(3).tells("blocked", Some("invalid_tree")).json();
        let offenders: Vec<&str> =
            run["offenders"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        let expected = [
            "migrations/001_lost.py",
            "migrations/1.3.0",
            "migrations/v1.01.0",
            "migrations/v1.2.0/002_d.py",
            "migrations/v1.2.0/002_twice.py",
            "migrations/v1.2.0/003-y.py",
            "migrations/v1.2.0/2_x.py",
            "migrations/v\u{ff11}.9.0",
        ];
        assert_eq!(offenders, expected, "{arguments:?}");
        for path in expected {
            assert!(run["message"].as_str().unwrap().contains(path), "{run:#}");
        }
    }
    assert_eq!(effects(&world), "");
}

#[test]
fn the_interpreter_is_the_one_that_is_asked_for() {
    let mut world = world();
    let real = String::from_utf8(
        world.command("sh", &world.checkout()).args(["-c", "command -v python3"]).output().unwrap().stdout,
    )
    .unwrap();
    let wrapper = |world: &World, path: &str| {
        let log = world.path("starts");
        let text = format!("#!/bin/sh\necho {path} >> {}\nexec {} \"$@\"\n", log.display(), real.trim());
        world.write(path, &text);
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    };
    for path in ["path/python3", "checkout/.venv/bin/python", "checkout/conf/python", "flag/python"] {
        wrapper(&world, path);
    }
    let path = format!("{}:{}", world.path("path").display(), std::env::var("PATH").unwrap());
    world.env("PATH", &path);
    let flag = world.path("flag/python");
    add(&world, &[B, D]);
    let started = |world: &World, arguments: &[&str]| {
        let _ = fs::remove_file(world.path("starts"));
        let _ = fs::remove_file(world.path("effects.log"));
        let range: Vec<&str> = ["--from", "1.0.0"].iter().chain(arguments).copied().collect();
        scripts::state(world, "{}");
        assert_eq!(ids(&migrate(world, &range).exits(0).json()["ran"]), [B, D]);
        world.read("starts").trim().to_owned()
    };
    assert_eq!(started(&world, &["--python", flag.to_str().unwrap()]), "flag/python");
    assert_eq!(started(&world, &["--python", "python3"]), "path/python3");
    world.config("deployment:\n  python: conf/python\n");
    assert_eq!(started(&world, &[]), "checkout/conf/python");
    world.config("");
    assert_eq!(started(&world, &[]), "checkout/.venv/bin/python");
    fs::remove_dir_all(world.path("checkout/.venv")).unwrap();
    assert_eq!(started(&world, &[]), "path/python3", "both scripts with one start");
}

#[test]
fn an_interpreter_that_cannot_be_used_is_one_clear_error() {
    let world = world();
    add(&world, &[B]);
    for (name, text) in [
        ("absent", None),
        ("old", Some("#!/bin/sh\necho 3.7.9\n")),
        ("other", Some("#!/bin/sh\necho hello\n")),
        ("broken", Some("#!/bin/sh\necho no such library >&2\nexit 127\n")),
    ] {
        if let Some(text) = text {
            world.write(name, text);
            fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let python = world.path(name);
        let run = migrate(&world, &["--python", python.to_str().unwrap()])
            .exits(3)
            .tells("blocked", Some("no_python"))
            .json();
        assert!(run["message"].as_str().unwrap().contains("--python"), "{run}");
        assert!(world.state_file("migration_state.json")["intent"].is_null());
    }
}

#[test]
fn nothing_is_written_into_the_checkout() {
    let world = world();
    world.write("checkout/helper.py", "VALUE = 1\n");
    world.write("checkout/migrations/v1.1.0/_shared.py", "VALUE = 2\n");
    put(&world, B, &format!("import helper\n{}", script(&world, "b", "")));
    put(
        &world,
        D,
        &format!(
            "import sys\nsys.path.insert(0, 'migrations/v1.1.0')\nimport _shared\n{}",
            script(&world, "d", "")
        ),
    );
    let before = files(&world);
    for arguments in [&["--dry-run"][..], &[], &[], &["status"], &["lint"], &["manifest"]] {
        world.run("run-migrations", arguments);
    }
    assert_eq!(effects(&world), "bd");
    assert_eq!(files(&world), before);
}

#[test]
fn a_folder_that_leads_nowhere_is_not_one_without_scripts() {
    let world = world();
    symlink("nowhere", world.path("checkout/migrations")).unwrap();
    migrate(&world, &[]).exits(3).tells("blocked", Some("invalid_tree"));
    fs::remove_file(world.path("checkout/migrations")).unwrap();
    // One that leads somewhere is as good as a folder.
    add(&world, &[B]);
    fs::rename(world.path("checkout/migrations"), world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), world.path("checkout/migrations")).unwrap();
    assert_eq!(ids(&migrate(&world, &[]).exits(0).json()["ran"]), [B]);
}

#[test]
fn long_scripts_run_like_short_ones() {
    let world = world();
    add(&world, &[B]);
    put(&world, D, &format!("{}\nx = {:?}\n", script(&world, "d", ""), "y".repeat(1 << 20)));
    put(&world, E, &(script(&world, "e", "") + &"x = 1\n".repeat(100_000)));
    assert_eq!(ids(&migrate(&world, &[]).exits(0).json()["ran"]), [B, D, E], "long, and right");
}
