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
