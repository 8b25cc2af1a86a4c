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
fn a_record_that_is_away_is_not_one_that_never_was() {
    let world = fresh();
    fs::create_dir_all(world.state()).unwrap();
    std::os::unix::fs::symlink(world.path("unmounted/state.json"), world.path(STATE)).unwrap();
    add(&world, &[B, D]);
    for arguments in [&[][..], &["--from", "1.0.0"], &["--dry-run"], &["status"], &["mark", B]] {
        migrate(&world, arguments).exits(3).tells("blocked", Some("state_damaged"));
    }
    assert!(world.path(STATE).is_symlink());
    assert_eq!(effects(&world), "");
}

/// A limit on the size of files stands for a disk that is full: the run says so in one sentence,
/// the record stays whole, and the next run goes on.
#[test]
fn a_record_that_cannot_grow_stops_the_run_and_nothing_is_lost() {
    let world = world();
    let all: Vec<String> = (1..=30).map(|n| format!("1.2.0/{n:03}_{n}x.py")).collect();
    add(&world, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let program = support::binary("run-migrations");
    let limited = world
        .command("sh", &world.checkout())
        .args(["-c", "ulimit -f 8 && exec \"$0\" --json", program.to_str().unwrap()])
        .output()
        .unwrap();
    let run = Run::from(limited).exits(1).tells("failed", Some("io_error")).json();
    let done = ids(&run["ran"]).len();
    assert!(done > 0 && done < 30, "{run:#}");
    assert!(run["message"].as_str().unwrap().contains("migration_state.json"), "{run:#}");
    assert_eq!(ids(&world.state_file("migration_state.json")["applied"]).len(), done);
    migrate(&world, &[]).exits(0).tells("ok", None);
    let effects = world.read("effects.log");
    let mut names: Vec<&str> = effects.split_whitespace().collect();
    assert_eq!(names.len(), 30, "{effects}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 30, "{effects}");
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
fn of_eight_runs_at_once_each_script_runs_once() {
    let world = fresh();
    let all: Vec<String> = (1..=12).map(|n| format!("1.2.0/{n:03}_{}.py", char::from(b'a' + n))).collect();
    add(&world, &all.iter().map(String::as_str).collect::<Vec<_>>());
    // The very first runs: which of them finds no record is decided under the lock too.
    let arguments = ["--from", "1.0.0", "--lock-timeout", "60"];
    let runs: Vec<Child> = (0..8).map(|_| start(&world, &arguments)).collect();
    let ran = runs.into_iter().map(|run| ids(&end(run).exits(0).json()["ran"]).len());
    let mut ran: Vec<usize> = ran.collect();
    ran.sort_unstable();
    assert_eq!(ran, [0, 0, 0, 0, 0, 0, 0, 12]);
    assert_eq!(effects(&world), "bcdefghijklm");
}

/// Two computers' worth of records in one checkout: a home knows only its own.
#[test]
fn two_homes_have_two_records() {
    let mut world = fresh();
    put(
        &world,
        B,
        "from pathlib import Path\nimport os\nMARK = Path(os.environ['TELECLAUDE_HOME'], 'mark')\ndef check(): return MARK.exists()\ndef migrate():\n    MARK.touch()\n    return True\n",
    );
    for home in ["one", "two", "one"] {
        let first = !world.path(home).exists();
        let place = world.path(home);
        world.env("TELECLAUDE_HOME", place.to_str().unwrap());
        let run = migrate(&world, &["--from", "1.0.0"]).exits(0).json();
        assert_eq!(ids(&run["ran"]).len(), usize::from(first), "{home}");
    }
}

/// A home that is passed over would be a first run in another one.
#[test]
fn a_home_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let world = world();
    add(&world, &[B]);
    let place = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
    let mut program = world.program("run-migrations");
    let run: Run = program.arg("--json").env("TELECLAUDE_HOME", place).output().unwrap().into();
    let told = run.exits(2).json();
    assert!(told["message"].as_str().unwrap().contains("TELECLAUDE_HOME"), "{told:#}");
    assert_eq!(effects(&world), "");
}

/// The first process of a container may reap nobody. What a killed run has left is then dead and
/// still counted in its group; that must not block the next run.
#[cfg(target_os = "linux")]
#[test]
fn the_dead_of_a_killed_run_do_not_block_the_next_one() {
    let world = world();
    add(&world, &[B, E]);
    put(&world, D, &gated(&world, "d"));
    let init = "import ctypes, json, os, signal, subprocess, sys, time\n\
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n\
        first = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n\
        while not os.path.exists('../begun'): time.sleep(0.005)\n\
        script = json.load(open(os.environ['HOME'] + '/.teleclaude/migration_state.json'))['intent']['pid']\n\
        fields = open(f'/proc/{script}/stat').read().rsplit(')', 1)[1].split()\n\
        os.kill(first.pid, signal.SIGSTOP)\n\
        os.kill(int(fields[1]), signal.SIGKILL)\n\
        os.kill(script, signal.SIGKILL)\n\
        os.kill(first.pid, signal.SIGKILL)\n\
        os.waitpid(first.pid, 0)\n\
        open('../go', 'w').close()\n\
        while open(f'/proc/{script}/stat').read().rsplit(')', 1)[1].split()[:2] != ['Z', str(os.getpid())]: time.sleep(0.005)\n\
        sys.exit(subprocess.call(sys.argv[1:]))\n";
    let program = support::binary("run-migrations");
    let mut python = world.command("python3", &world.checkout());
    let run: Run = python.args(["-c", init, program.to_str().unwrap(), "--json"]).output().unwrap().into();
    let run = run.exits(0).tells("ok", None).json();
    assert_eq!(ids(&run["ran"]), [D, E]);
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
        // The interrupted one is never let go, however long it takes to be ended.
        put(&world, D, &script(&world, "d", ""));
        migrate(&world, &[]).exits(0).tells("ok", None);
        let state = world.state_file("migration_state.json");
        assert_eq!((state["records"][D]["status"].as_str(), &state["intent"]), (Some(status), &Value::Null));
        assert_eq!(effects(&world), "bde");
    }
}
