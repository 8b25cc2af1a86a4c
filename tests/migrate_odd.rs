//! Scripts that are odd, and right: they run, and neither the next one nor the runner suffers.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::time::{Duration, Instant};

use scripts::{add, effects, ids, migrate, put, script, world};

const BEFORE: &str = "1.1.0/001_a.py";
const ODD: &str = "1.2.0/001_b.py";
const BEHIND: &str = "1.2.0/002_c.py";

#[test]
fn what_is_odd_and_no_fault() {
    let odd = [
        (
            "changes directory and environment",
            "import os\nos.chdir('/')\nos.environ.clear()\nos.umask(0o777)",
        ),
        ("replaces modules", "import os, sys, json\njson.dumps = None\nos._exit = None\nsys.modules.clear()"),
        ("closes its streams", "import os, sys\nsys.stdout.close()\nos.close(0)\nos.close(1)\nos.close(2)"),
        (
            "ignores signals",
            "import signal\nfor n in (1, 2, 3, 13, 15, 17): signal.signal(n, signal.SIG_IGN)",
        ),
        ("prints what is no text", "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 100)"),
        ("prints what is not ASCII", "print('\\u2713 \\U0001f600')"),
        ("reads its empty input", "import sys\nassert sys.stdin.read() == ''"),
        ("a child that falls through", "import os\nif os.fork() == 0: return True\nos.wait()"),
        ("a child that fails", "import os\nif os.fork() == 0: raise ValueError\nos.wait()"),
    ];
    for (name, lines) in odd {
        let world = world();
        add(&world, &[BEFORE, BEHIND]);
        put(&world, ODD, &script(&world, "b", lines));
        let run = migrate(&world, &[]).exits(0).tells("ok", None).json();
        assert_eq!(ids(&run["ran"]), [BEFORE, ODD, BEHIND], "{name}");
        assert!(
            effects(&world).starts_with("ab") && effects(&world).ends_with('c'),
            "{name}: {}",
            effects(&world)
        );
    }
}

#[test]
fn a_path_of_modules_is_the_scripts_and_not_the_runner_s() {
    let mut world = world();
    for name in ["json", "select", "traceback", "stat", "inspect", "sitecustomize", "usercustomize"] {
        world.write(&format!("lib/{name}.py"), "import os\nos._exit(9)\n");
    }
    world.write("lib/helper_of_ours.py", "NAME = 'helper'\n");
    world.write("lib/ast.py", "raise SystemExit('the linter took it for its own')\n");
    let lib = world.path("lib").to_str().unwrap().to_owned();
    world.env("PYTHONPATH", &format!("/nowhere:{lib}:"));
    // What the runner has imported already stays what it is.
    let uses = "import json, os, helper_of_ours\nassert helper_of_ours.NAME == 'helper'\nassert json.loads('1') == 1\nassert os.environ['PYTHONPATH'].startswith('/nowhere:')";
    put(&world, ODD, &script(&world, "b", uses));
    let run = migrate(&world, &[]).exits(0).tells("ok", None).json();
    assert_eq!(ids(&run["ran"]), [ODD]);
    assert_eq!(migrate(&world, &["lint"]).exits(0).tells("ok", None).json()["scripts"], 1);
}

#[test]
fn one_script_s_state_is_not_the_next_one_s() {
    let world = world();
    put(
        &world,
        BEFORE,
        &script(
            &world,
            "a",
            "import os, sys, builtins\nos.environ['LEAK'] = '1'\nos.chdir('/')\nbuiltins.LEAK = 1\nsys.path.append('leak')\nsys.modules['leak'] = sys",
        ),
    );
    let asserts = "import os, sys, builtins\nassert 'LEAK' not in os.environ\nassert os.path.isdir('migrations'), os.getcwd()\nassert not hasattr(builtins, 'LEAK')\nassert 'leak' not in sys.path and 'leak' not in sys.modules\nassert sys.flags.utf8_mode == 1 and sys.dont_write_bytecode";
    put(&world, ODD, &script(&world, "b", asserts));
    let run = migrate(&world, &[]);
    assert_eq!(ids(&run.exits(0).json()["ran"]), [BEFORE, ODD]);
}

#[test]
fn a_background_child_that_holds_the_output_hangs_nothing_and_is_left_alone() {
    let world = world();
    add(&world, &[BEFORE, BEHIND]);
    let mark = world.path("child");
    let lines = format!(
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'background'])\nPath({:?}).write_text(str(child.pid))",
        mark.to_str().unwrap()
    );
    put(&world, ODD, &script(&world, "b", &lines));
    let began = Instant::now();
    migrate(&world, &[]).exits(0).tells("ok", None);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // It holds no lock: the next run need not wait.
    migrate(&world, &["--lock-timeout", "0"]).exits(0).tells("nothing", None);
    let pid: i32 = world.read("child").trim().parse().unwrap();
    let child = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_stop_that_comes_when_a_script_is_done_stops_before_the_next_one() {
    let world = world();
    add(&world, &[BEFORE, BEHIND]);
    // The driver is held, the runner is asked to stop, and only when the script is over, done, and
    // the runner has said so to the driver does the driver go on.
    let helper = "import os, subprocess, sys, time\n\
        def state(pid): return subprocess.run(['ps', '-o', 'stat=', '-p', pid], stdout=subprocess.PIPE, text=True).stdout[:1]\n\
        script, driver = sys.argv[1:]\n\
        runner = subprocess.run(['ps', '-o', 'ppid=', '-p', driver], stdout=subprocess.PIPE, text=True).stdout.strip()\n\
        os.kill(int(driver), 19)\n\
        while state(driver) != 'T': time.sleep(0.005)\n\
        os.kill(int(runner), 15)\n\
        print('held', flush=True)\n\
        while state(script) not in 'Z': time.sleep(0.005)\n\
        time.sleep(0.3)\n\
        os.kill(int(driver), 18)\n";
    world.write("helper.py", helper);
    let lines = format!(
        "import os, subprocess, sys\nchild = subprocess.Popen([sys.executable, {:?}, str(os.getpid()), str(os.getppid())], stdout=subprocess.PIPE, start_new_session=True)\nassert child.stdout.readline() == b'held\\n'",
        world.path("helper.py").to_str().unwrap()
    );
    put(&world, ODD, &script(&world, "b", &lines));
    let run = migrate(&world, &[]).exits(1).tells("failed", Some("interrupted")).json();
    assert_eq!((ids(&run["ran"]), ids(&run["pending"])), (vec![BEFORE, ODD], vec![BEHIND]));
    assert_eq!(run["failed"]["id"], BEHIND);
    assert_eq!(ids(&migrate(&world, &[]).exits(0).json()["ran"]), [BEHIND]);
    assert_eq!(effects(&world), "abc");
}

/// What the contract calls the group is what can be ended: who leaves it stays, and holds nothing.
#[test]
fn a_child_with_a_session_of_its_own_outlives_a_failure_and_hangs_nothing() {
    let world = world();
    let lines = format!(
        "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\nPath({:?}).write_text(str(child.pid))\nreturn False",
        world.path("child").to_str().unwrap()
    );
    put(&world, ODD, &script(&world, "b", &lines));
    let began = Instant::now();
    migrate(&world, &[]).exits(1).tells("failed", Some("migration_failed"));
    migrate(&world, &["--lock-timeout", "0", "--to", "1.0.0"]).exits(0).tells("nothing", None);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let child = rustix::process::Pid::from_raw(world.read("child").trim().parse().unwrap()).unwrap();
    rustix::process::test_kill_process(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}
