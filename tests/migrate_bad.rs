//! Scripts that do what a migration must not do. Each one stands between a good one before it and
//! a good one behind it: the run says where it stopped and why, keeps what was done, touches
//! nothing behind it, leaves no process, and resumes exactly there once it is repaired.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;
use std::time::{Duration, Instant};

use scripts::{add, effects, files, ids, migrate, put, script, world};
use serde_json::json;
use support::World;

const BEFORE: &str = "1.1.0/001_a.py";
const BAD: &str = "1.2.0/001_bad.py";
const BEHIND: &str = "1.2.0/002_c.py";

/// `check()` that does not hold, for scripts that are bad in `migrate()`.
const NO: &str = "def check():\n    return False\n";
const YES: &str = "def migrate():\n    return True\n";

/// A bad script.
struct Bad {
    name: &'static str,
    text: String,
    stage: &'static str,
    /// Parts of the error's sentence.
    says: &'static [&'static str],
}

fn bad(
    name: &'static str,
    text: impl Into<String>,
    stage: &'static str,
    says: &'static [&'static str],
) -> Bad {
    Bad { name, text: text.into(), stage, says }
}

/// `migrate()` with these lines.
fn migrates(lines: &str) -> String {
    let body: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("import os, sys, time, signal, subprocess\n{NO}def migrate():\n{body}")
}

/// `check()` with these lines.
fn checks(lines: &str) -> String {
    let body: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("import os, sys\ndef check():\n{body}{YES}")
}

/// Runs the bad script between the good ones; everything that must hold for every one of them.
#[track_caller]
fn try_it(bad: &Bad, arguments: &[&str]) -> World {
    let name = bad.name;
    let world = world();
    add(&world, &[BEFORE, BEHIND]);
    put(&world, BAD, &bad.text.replace("WORLD", world.path("").to_str().unwrap()));
    let before = files(&world);
    let began = Instant::now();
    let run = migrate(&world, arguments);
    assert!(began.elapsed() < Duration::from_secs(30), "{name}: it took {:?}", began.elapsed());
    let json = run.exits(1).tells("failed", Some("migration_failed")).json();
    let failed = &json["failed"];
    assert_eq!(
        (failed["id"].as_str(), failed["stage"].as_str()),
        (Some(BAD), Some(bad.stage)),
        "{name}: {json:#}"
    );
    let error = failed["error"].as_str().unwrap();
    for part in bad.says {
        assert!(error.contains(part), "{name}: {part:?} is not in {error:?}");
    }
    let log = fs::metadata(failed["log"].as_str().unwrap()).unwrap();
    assert!(log.is_file() && log.len() > 0 && log.len() < 2 << 20, "{name}: the log has {} bytes", log.len());
    assert_eq!(ids(&json["ran"]), [BEFORE], "{name}");
    assert_eq!(ids(&json["pending"]), [BAD, BEHIND], "{name}");
    let state = world.state_file("migration_state.json");
    assert_eq!((&state["applied"], &state["intent"]), (&json!([BEFORE]), &json!(null)), "{name}");
    assert_eq!(effects(&world), "a", "{name}");
    assert_eq!(files(&world), before, "{name} has left something in the checkout");
    assert_eq!(processes(&world), "", "{name} has left a process");
    put(&world, BAD, &script(&world, "b", ""));
    let next = migrate(&world, &[]).exits(0).tells("ok", None).json();
    assert_eq!(ids(&next["ran"]), [BAD, BEHIND], "{name}: it resumes there");
    assert_eq!(effects(&world), "abc", "{name}");
    world
}

/// Command lines that name this world: what a script left running.
fn processes(world: &World) -> String {
    let mark = world.path("");
    let listed = std::process::Command::new("ps").args(["-A", "-o", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ours = text.lines().filter(|line| line.contains(mark.to_str().unwrap()));
    ours.map(str::to_owned).collect::<Vec<_>>().join("\n")
}

fn run_all(all: &[Bad]) {
    for bad in all {
        try_it(bad, &[]);
    }
}

#[test]
fn what_cannot_be_imported() {
    run_all(&[
        bad("empty", "", "import", &["no check()"]),
        bad("no check", YES, "import", &["no check()"]),
        bad("no migrate", NO, "import", &["no migrate()"]),
        bad("syntax error", format!("{NO}def migrate(:\n"), "import", &["SyntaxError", "001_bad.py:3"]),
        bad(
            "raises at import",
            "1 / 0\n",
            "import",
            &["ZeroDivisionError", "migrations/v1.2.0/001_bad.py:1"],
        ),
        bad(
            "exits at import",
            format!("import sys\n{NO}{YES}sys.exit(0)\n"),
            "import",
            &["sys.exit(0)", ":6"],
        ),
        bad("_exit at import", format!("import os\n{NO}{YES}os._exit(0)\n"), "import", &["exit code 0"]),
        bad("no such module", "import nothing_like_this\n", "import", &["ModuleNotFoundError", ":1"]),
        bad("binary", "\0\x01", "import", &["001_bad.py"]),
        bad("not UTF-8", format!("# -*- coding: nonsense -*-\n{NO}{YES}"), "import", &["SyntaxError"]),
        bad("check is no function", format!("check = True\n{YES}"), "import", &["check is no function"]),
        bad("async", format!("{NO}async def migrate():\n    return True\n"), "import", &["async"]),
        bad("async check", format!("async def check():\n    return True\n{YES}"), "import", &["async"]),
        bad(
            "wants arguments",
            format!("{NO}def migrate(db):\n    return True\n"),
            "import",
            &["wants arguments (db)"],
        ),
        bad(
            "wants a keyword",
            format!("{NO}def migrate(*, db):\n    return True\n"),
            "import",
            &["wants arguments (db)"],
        ),
    ]);
}

#[test]
fn what_fails_in_its_first_check() {
    run_all(&[
        bad("None", checks("pass"), "check", &["check() returned None"]),
        bad("1", checks("return 1"), "check", &["check() returned 1"]),
        bad("text", checks("return 'True'"), "check", &["check() returned 'True'"]),
        bad("raises", checks("\nraise KeyError('x')"), "check", &["KeyError: 'x'", "001_bad.py:4"]),
        bad("exits", checks("sys.exit(0)"), "check", &["sys.exit(0)"]),
        bad("_exit", checks("os._exit(0)"), "check", &["exit code 0"]),
        bad(
            "repr raises",
            checks("class X:\n    def __repr__(self): raise OSError\nreturn X()"),
            "check",
            &["check() returned a X"],
        ),
        bad("generator", checks("yield True"), "check", &["check() returned <generator"]),
    ]);
}

#[test]
fn what_fails_in_migrate() {
    run_all(&[
        bad("False", migrates("return False"), "migrate", &["migrate() returned False"]),
        bad("None", migrates("pass"), "migrate", &["migrate() returned None"]),
        bad("1", migrates("return 1"), "migrate", &["migrate() returned 1"]),
        bad(
            "raises",
            migrates("raise RuntimeError('half')"),
            "migrate",
            &["RuntimeError: half", "001_bad.py:5"],
        ),
        bad(
            "raises deep",
            migrates("def deep():\n    return {}['k']\nreturn deep()"),
            "migrate",
            &["KeyError", "001_bad.py:6"],
        ),
        bad(
            "a text that cannot be shown",
            migrates("class E(Exception):\n    def __str__(self): raise OSError\nraise E()"),
            "migrate",
            &["E: "],
        ),
        bad("half a character", migrates("raise ValueError('\\ud800')"), "migrate", &["ValueError: \\ud800"]),
        bad(
            "many lines",
            migrates("raise ValueError('a\\n b\\r\\n')"),
            "migrate",
            &["ValueError: a b (migrations"],
        ),
        bad("exits with 0", migrates("sys.exit(0)"), "migrate", &["sys.exit(0)"]),
        bad("quits", migrates("raise SystemExit"), "migrate", &["sys.exit(None)"]),
        bad("interrupts itself", migrates("raise KeyboardInterrupt"), "migrate", &["KeyboardInterrupt"]),
        bad("_exit 0", migrates("os._exit(0)"), "migrate", &["exit code 0 before"]),
        bad("killed", migrates("os.kill(os.getpid(), signal.SIGKILL)"), "migrate", &["signal 9"]),
        bad("crashes", migrates("os.kill(os.getpid(), signal.SIGSEGV)"), "migrate", &["signal 11"]),
        bad("aborts", migrates("os.abort()"), "migrate", &["signal 6"]),
        bad(
            "becomes another program",
            migrates("os.execvp('true', ['true'])"),
            "migrate",
            &["exit code 0 before"],
        ),
        bad(
            "its child falls through",
            migrates("if os.fork() == 0:\n    return True\nos.wait()\nreturn False"),
            "migrate",
            &["migrate() returned False"],
        ),
        bad(
            "only its child goes on",
            migrates("if os.fork():\n    os._exit(0)\ntime.sleep(0.2)\nreturn True"),
            "migrate",
            &["exit code 0 before"],
        ),
        bad(
            "closes everything",
            migrates("os.closerange(0, 256)\nreturn True"),
            "migrate",
            &["file descriptor"],
        ),
        bad("endless recursion", migrates("def f(): return f()\nreturn f()"), "migrate", &["RecursionError"]),
        bad("reads input", migrates("return input() == 'yes'"), "migrate", &["EOFError"]),
        bad(
            "fakes a result",
            migrates(
                "for fd in range(1, 64):\n    try: os.write(fd, b'{\"end\": {\"held\": false}}\\n0 {\"done\": {\"held\": false}}\\n')\n    except OSError: pass\nos._exit(0)",
            ),
            "migrate",
            &["exit code 0 before"],
        ),
        bad(
            "ends its interpreter",
            migrates("os.kill(os.getppid(), 9)\ntime.sleep(600)"),
            "migrate",
            &["the interpreter that runs the scripts was ended"],
        ),
        bad(
            "_exit at exit",
            migrates("import atexit\natexit.register(os._exit, 0)\nreturn True"),
            "verify",
            &["exit code 0 before"],
        ),
        bad(
            "a thread that exits",
            migrates(
                "import threading\nthreading.Thread(target=os._exit, args=(0,)).start()\ntime.sleep(600)",
            ),
            "migrate",
            &["exit code 0 before"],
        ),
        bad(
            "exits in a hook",
            migrates(
                "sys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)\nraise ValueError('hooked')",
            ),
            "migrate",
            &["ValueError: hooked"],
        ),
        bad(
            "says that everything is a bool",
            migrates("import builtins\nbuiltins.type = lambda _: bool\nreturn 1"),
            "migrate",
            &["migrate() returned 1"],
        ),
        bad(
            "a number that is almost a bool",
            migrates("class B(int): pass\nreturn B(1)"),
            "migrate",
            &["returned 1"],
        ),
        bad(
            "writes to every descriptor",
            migrates(
                "for fd in range(3, 64):\n    try: os.write(fd, b'gggg')\n    except OSError: pass\nreturn False",
            ),
            "migrate",
            &["before it had a result"],
        ),
        bad(
            "ends its parent's input",
            migrates("sys.stdin.close()\nsys.stdout.close()\nsys.stderr.close()\nraise ValueError('closed')"),
            "migrate",
            &["ValueError: closed"],
        ),
        bad(
            "replaces modules",
            migrates(
                "import json\njson.dumps = lambda *a, **k: '{}'\nos.write = None\nos.getpid = lambda: 1\nraise ValueError('odd')",
            ),
            "migrate",
            &["ValueError: odd"],
        ),
    ]);
}

#[test]
fn what_is_not_in_effect_afterwards() {
    run_all(&[
        bad("check still False", migrates("return True"), "verify", &["check() is still False"]),
        bad(
            "check raises then",
            "done = []\ndef check():\n    return bool(done and 1 / 0)\ndef migrate():\n    done.append(1)\n    return True\n".to_string(),
            "verify",
            &["ZeroDivisionError"],
        ),
        bad(
            "check gives None then",
            "done = []\ndef check():\n    return None if done else False\ndef migrate():\n    done.append(1)\n    return True\n",
            "verify",
            &["check() returned None"],
        ),
        bad(
            "_exit then",
            "import os\ndone = []\ndef check():\n    return os._exit(0) if done else False\ndef migrate():\n    done.append(1)\n    return True\n",
            "verify",
            &["exit code 0 before"],
        ),
    ]);
}

#[test]
fn what_takes_too_long() {
    let child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'WORLD'])\n";
    let deaf = "subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)', 'WORLD'])\n";
    for bad in [
        bad(
            "endless loop with a sleeping child",
            migrates(&format!("{child}while True: pass")),
            "timeout",
            &["not done after 1 s", "migrate"],
        ),
        bad(
            "deaf to TERM",
            migrates(&format!("{deaf}signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)")),
            "timeout",
            &["not done"],
        ),
        bad("sleeps at import", "import time\ntime.sleep(600)\n", "timeout", &["import"]),
        bad(
            "sleeps in check",
            "import time\ndef check():\n    time.sleep(600)\ndef migrate():\n    return True\n",
            "timeout",
            &["check"],
        ),
        bad(
            "a thread that never ends",
            migrates(
                "import threading\nthreading.Thread(target=time.sleep, args=(600,)).start()\nreturn True",
            ),
            "timeout",
            &["migrate"],
        ),
        bad("prints for ever", migrates("while True: print('y' * 10000)"), "timeout", &["not done"]),
    ] {
        try_it(&bad, &["--timeout", "1"]);
    }
}

#[test]
fn a_failed_script_takes_its_children_along() {
    let child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'WORLD'])\n";
    run_all(&[
        bad(
            "fails beside a child",
            migrates(&format!("{child}return False")),
            "migrate",
            &["returned False"],
        ),
        bad(
            "dies beside a child",
            migrates(&format!("{child}os.kill(os.getpid(), 9)")),
            "migrate",
            &["signal 9"],
        ),
    ]);
}

#[test]
fn fifty_megabytes_of_output_are_a_bounded_log_with_head_and_tail() {
    let lines = "print('the head')\nfor n in range(800): print('x' * 65535)\nprint('the tail', flush=True)\nraise ValueError('after all that')";
    let world = try_it(&bad("50 MB", migrates(lines), "migrate", &["after all that"]), &[]);
    let logs = fs::read_dir(world.path("home/.teleclaude/logs/deployment")).unwrap();
    let text: String = logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect();
    for part in ["the head", "the tail", "Traceback", "ValueError: after all that"] {
        assert!(text.contains(part), "{part} is not in the log");
    }
}
