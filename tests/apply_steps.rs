//! What the checkout's own commands may do without harm: hang, flood, ask, stay in the background.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use support::{Run, World};

/// A world whose next commit has this recipe for a target of the Makefile.
fn world_with(target: &str, settings: &str, recipe: &str) -> World {
    let world = World::new();
    world.config(&format!("deployment: {{{settings}}}\n"));
    let old = world.read("work/Makefile");
    let script = world.path(&format!("{target}.sh"));
    world.write(&format!("{target}.sh"), recipe);
    let new = old.replace(&format!("@echo {target} done"), &format!("@sh {}", script.display()));
    assert_ne!(old, new);
    world.write("work/Makefile", &new);
    world.commit("changes a step");
    world.run("version-watch", &[]).exits(0);
    world
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

fn gone(pid: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while is_alive(pid) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    !is_alive(pid)
}

fn wait_for(path: &Path) {
    let until = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < until, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hanging_step_ends_with_its_whole_group_at_its_deadline() {
    let recipe = "trap '' TERM\nsleep 300 &\necho $! > $HOME/child\necho $$ > $HOME/shell\n\
        while :; do sleep 1; done\n";
    let world = world_with("install", "timeouts: {install: 1s}", recipe);
    let before = world.head();
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert!(run.json()["message"].as_str().unwrap().contains("its deadline"), "{run:#?}");
    assert!(gone(&world.read("home/child")) && gone(&world.read("home/shell")), "its group lives on");
    assert_eq!(world.head(), before);
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Starts an update whose install step says in `home/begun` that it is there.
fn begin(world: &World, mut command: Command) -> Child {
    let child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&world.path("home/begun"));
    child
}

#[test]
fn a_second_stop_does_not_leave_the_step_behind() {
    let recipe = "trap '' TERM\necho $$ > $HOME/shell\ntouch $HOME/begun\nwhile :; do sleep 1; done\n";
    let world = world_with("install", "", recipe);
    let child = begin(&world, world.program("apply-update"));
    send(&child, Signal::TERM);
    // Well within the grace that the step has.
    std::thread::sleep(Duration::from_millis(500));
    send(&child, Signal::TERM);
    let run = Run::from(child.wait_with_output().unwrap());
    run.exits(1).tells("failed", Some("interrupted"));
    assert!(gone(&world.read("home/shell")), "the step runs on");
}

/// As `nohup`, and a shell that starts a program in its background, do it.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let recipe = "touch $HOME/begun\nwhile [ ! -e $HOME/go ]; do sleep 0.05; done\n";
    let world = world_with("install", "", recipe);
    let mut shell = world.command("sh", &world.checkout());
    let script = "trap '' HUP INT QUIT; exec \"$0\" \"$@\"";
    shell.args(["-c", script]).arg(support::binary("apply-update"));
    let child = begin(&world, shell);
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
        send(&child, signal);
        std::thread::sleep(Duration::from_millis(300));
    }
    world.write("home/go", "");
    Run::from(child.wait_with_output().unwrap()).exits(42).tells("updated", None);
}

#[test]
fn a_flood_of_output_is_drained_and_the_log_stays_small() {
    let recipe = "python3 -c \"import sys\nfor n in range(500): sys.stdout.write(('%099d\\\\n' % n) * 1024)\"\n\
        echo the very end\n";
    let world = world_with("install", "", recipe);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    let logs = fs::read_dir(world.state().join("logs/deployment")).unwrap().flatten();
    let log = logs.map(|e| e.path()).find(|p| p.to_string_lossy().contains("install")).unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains("the very end") && text.contains("bytes left out"), "{} bytes", text.len());
    assert!((100_000..1_000_000).contains(&text.len()), "{} bytes", text.len());
}

#[test]
fn a_step_reads_nothing_from_our_standard_input() {
    let world = world_with("install", "", "cat > $HOME/heard\n");
    let mut command = world.program("apply-update");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // Never closed while it runs: a step that had it would wait for ever.
    let open = child.stdin.take().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
    drop(open);
    assert_eq!(world.read("home/heard"), "");
}

#[test]
fn a_daemon_that_keeps_our_pipe_holds_nothing_up_and_no_lock() {
    let recipe = "sh -c 'echo $$ > $HOME/daemon.new; mv $HOME/daemon.new $HOME/daemon; \
        while :; do echo still here; sleep 0.2; done' &\necho started\n";
    let world = world_with("restart", "", recipe);
    let began = Instant::now();
    let run = world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert!(run.stderr.contains("let the restart command redirect it"), "{run:#?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    wait_for(&world.path("home/daemon"));
    let daemon = world.read("home/daemon");
    assert!(is_alive(&daemon), "a daemon that writes must survive the end of the update");
    let next = world.run("apply-update", &["--json"]);
    let pid = daemon.trim().parse().ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    next.exits(0).tells("nothing", Some("no_signal"));
}

/// Runs a program on a terminal of its own, as a person's shell would.
const ON_TERMINAL: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    open("/dev/tty").close()
    out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.execv(sys.argv[2], sys.argv[2:])
try:
    while os.read(terminal, 4096):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_step_that_asks_on_the_terminal_fails_at_once() {
    let recipe = "printf 'Password: ' > /dev/tty || { echo 'a terminal is required'; exit 1; }\n\
        read answer < /dev/tty\n";
    let world = world_with("install", "timeouts: {install: 20s}", recipe);
    let began = Instant::now();
    let program = support::binary("apply-update");
    let out = world.path("out");
    let mut python = world.command("python3", &world.checkout());
    python.arg("-c").arg(ON_TERMINAL).arg(&out).arg(program).arg("--json");
    let code = python.output().unwrap().status.code().unwrap();
    let run = Run { code, stdout: fs::read_to_string(out).unwrap(), stderr: String::new() };
    let run = run.exits(1).tells("rolled_back", Some("install_failed"));
    let tail = run.json()["error"]["tail"].to_string();
    assert!(tail.contains("a terminal is required"), "{tail}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
