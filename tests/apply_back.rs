//! The way back, disturbed: stopped, killed, failing. The next runs complete it, and what is on
//! record is what is so.

mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use serde_json::{Value, json};
use support::World;

fn wait_for(path: &Path) {
    let until = Instant::now() + Duration::from_secs(30);
    while !path.exists() {
        assert!(Instant::now() < until, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(world: &World) -> Child {
    world.program("apply-update").arg("--json").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn strike(child: &mut Child, signal: Signal) -> Option<i32> {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
    child.wait().unwrap().code()
}

fn history(world: &World) -> Vec<Value> {
    let text = world.read("home/.teleclaude/deploy_history.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for `go` where the way back asks it.
const SLOWLY_ASKED: &str = r#"import os, time
HOME = os.environ["HOME"] + "/"
def check():
    if os.path.exists(HOME + "goes-back"):
        open(HOME + "asked", "w").close()
        while not os.path.exists(HOME + "go"):
            time.sleep(0.01)
    return "new: 2" in open("config.yml").read()
def migrate():
    open("config.yml", "a").write("new: 2\n")
    return True
"#;

#[test]
fn stopped_while_migrations_are_asked_it_asks_again() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    let before = (world.head(), world.read("checkout/config.yml"));
    world.write("work/migrations/v1.1.0/001_config.py", SLOWLY_ASKED);
    let makefile = world.read("work/Makefile");
    world.write("work/Makefile", &makefile.replace("@echo install done", "@touch $$HOME/goes-back; exit 3"));
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    let mut child = start(&world);
    wait_for(&world.path("home/asked"));
    assert_eq!(strike(&mut child, Signal::TERM), Some(1));
    assert_eq!(world.state_file("apply_journal.json")["undo"], "migrations");
    world.write("home/go", "");
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!((world.head(), world.read("checkout/config.yml")), before);
    let state = world.state_file("migration_state.json");
    assert_eq!(state["applied"], json!([]), "{state:#}");
}

/// Starts a daemon in the very group of the step, and hangs while `hang` is there.
const RESTART: &str = "echo restart $(cat VERSION) >> $HOME/restarts\n\
    [ ! -e $HOME/daemon.pid ] || kill $(cat $HOME/daemon.pid) || true\n\
    sh -c 'while :; do touch $HOME/beat; sleep 0.05; done' &\necho $! > $HOME/daemon.pid\n\
    touch $HOME/restarted\nwhile [ -e $HOME/hang ]; do sleep 0.02; done\n";

/// Healthy: the daemon's heart beats and the version is good. A bad one makes the next restart hang.
const STATUS: &str = "[ ! -e BROKEN ] || { rm -f $HOME/restarted; touch $HOME/hang; exit 1; }\n\
    rm -f $HOME/beat\nsleep 0.4\ntest -e $HOME/beat\n";

#[test]
fn a_restart_that_is_killed_twice_on_the_way_back_is_begun_anew() {
    let world = World::new();
    world.config(
        "deployment: {restart: [sh, ops/restart.sh], health: [sh, ops/status.sh], timeouts: {health: 1s}}\n",
    );
    world.write("work/ops/restart.sh", RESTART);
    world.write("work/ops/status.sh", STATUS);
    world.write("work/VERSION", "old");
    world.commit("old");
    world.git(&["pull", "--quiet"]);
    let before = world.head();
    world.write("work/VERSION", "new");
    world.write("work/BROKEN", "");
    world.commit("new");
    world.run("version-watch", &[]).exits(0);
    for _ in 0..2 {
        let mut child = start(&world);
        wait_for(&world.path("home/hang"));
        wait_for(&world.path("home/restarted"));
        std::fs::remove_file(world.path("home/restarted")).unwrap();
        assert_eq!(strike(&mut child, Signal::KILL), None);
    }
    std::fs::remove_file(world.path("home/hang")).unwrap();
    // The kills took the daemon along, and a restart is not begun for ever: that is found first.
    world.run("apply-update", &["--json"]).exits(1).tells("failed", Some("rollback_failed"));
    assert_eq!(history(&world).last().unwrap()["reason"], "health_failed");
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!(world.head(), before);
    let restarts = world.read("home/restarts");
    assert_eq!(
        restarts.lines().collect::<Vec<_>>(),
        ["restart new", "restart old", "restart old", "restart old"]
    );
    let told: Vec<Value> = history(&world).iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(told, ["rolled_back"], "one line an attempt, and the last word counts");
    strike_daemon(&world);
}

fn strike_daemon(world: &World) {
    let pid = world.read("home/daemon.pid").trim().parse().ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A daemon that was ended together with its restart answers to its number until it is reaped.
#[test]
#[cfg(target_os = "linux")]
fn a_dead_daemon_that_nobody_reaped_yet_is_not_healthy() {
    let world = World::new();
    world.config(
        "deployment: {restart: [sh, ops/restart.sh], health: [sh, ops/status.sh], timeouts: {health: 1s}}\n",
    );
    world.write("work/ops/restart.sh", RESTART);
    world.write("work/ops/status.sh", "kill -0 $(cat $HOME/daemon.pid)\n");
    world.write("work/VERSION", "old");
    world.commit("old");
    world.git(&["pull", "--quiet"]);
    let before = world.head();
    world.write("work/VERSION", "new");
    world.commit("new");
    world.run("version-watch", &[]).exits(0);
    world.write("home/hang", "");
    for _ in 0..2 {
        let mut child = start(&world);
        wait_for(&world.path("home/restarted"));
        std::fs::remove_file(world.path("home/restarted")).unwrap();
        assert_eq!(strike(&mut child, Signal::KILL), None);
    }
    std::fs::remove_file(world.path("home/hang")).unwrap();
    let mut journal = world.state_file("apply_journal.json");
    assert_eq!((&journal["phase"], &journal["restarts_begun"]), (&json!("restarting"), &json!(2)));
    let group =
        journal["step"]["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
    kill_process_group(group, Signal::KILL).unwrap();
    // In its place one whose end is seen by nobody but this test.
    let mut daemon = std::process::Command::new("true").process_group(0).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    journal["step"]["pid"] = json!(daemon.id());
    world.write("home/.teleclaude/apply_journal.json", &journal.to_string());
    world.write("home/daemon.pid", &daemon.id().to_string());
    // Long enough for a health check that does not wait for it.
    let reaper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        daemon.wait().unwrap();
    });
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("health_failed"));
    reaper.join().unwrap();
    assert_eq!(world.head(), before);
    strike_daemon(&world);
}

#[test]
fn a_refused_or_deferred_run_keeps_what_is_known_of_the_target() {
    let world = World::new();
    let before = world.head();
    let makefile = world.read("work/Makefile");
    world.write("work/Makefile", &makefile.replace("@echo install done", "@exit 3"));
    let target = world.commit("breaks");
    world.run("version-watch", &[]).exits(0);
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    let run = world.run("apply-update", &["--json"]).exits(0).tells("deferred", Some("backing_off"));
    assert_eq!((&run.json()["from_commit"], &run.json()["to_commit"]), (&json!(before), &json!(target)));
    let status = world.state_file("deploy_status.json");
    assert_eq!(status["status"], "deferred", "{status:#}");
    assert_eq!(
        (&status["from_commit"], &status["to_commit"]),
        (&json!(before), &json!(target)),
        "{status:#}"
    );
    assert_eq!((&status["attempt"], &status["error"]["step"]), (&json!(1), &json!("install")), "{status:#}");
    assert!(status["next_try_at"].is_string(), "{status:#}");

    world.run("telec", &["update", "hold", "--reason", "a talk"]).exits(0);
    world.run("apply-update", &["--json", "--retry"]).exits(0).tells("deferred", Some("hold"));
    world.run("telec", &["update", "resume"]).exits(0);
    let told = world.run("telec", &["update", "status", "--json"]).exits(0).json();
    assert_eq!(
        (&told["status"], &told["reason"], &told["hold"]),
        (&json!("deferred"), &Value::Null, &Value::Null)
    );
    assert!(told["message"].as_str().unwrap().contains("the hold is over"), "{told:#}");
}

#[test]
fn a_record_of_migrations_that_breaks_meanwhile_does_not_stop_the_way_back() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    let before = world.head();
    world.write(
        "work/migrations/v1.1.0/001_a.py",
        "def check():\n    return True\ndef migrate():\n    return True\n",
    );
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    // What serves the fetch damages it, after everything was found in order.
    let serve = world.path("serve.sh");
    world.write(
        "serve.sh",
        "#!/bin/sh\necho '{torn' > $HOME/.teleclaude/migration_state.json\nexec git-upload-pack \"$@\"\n",
    );
    world.command("chmod", &world.path("")).args(["755", serve.to_str().unwrap()]).status().unwrap();
    world.git(&["config", "remote.origin.uploadpack", serve.to_str().unwrap()]);
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("state_damaged"));
    assert_eq!(world.read("home/.teleclaude/migration_state.json"), "{torn\n");
    assert_eq!((world.head(), world.steps()), (before, vec![]));
}

#[test]
fn what_no_python_can_be_asked_for_leaves_the_record_and_is_asked_again() {
    let world = World::new();
    let real =
        world.command("python3", &world.path("")).args(["-c", "import sys; print(sys.executable)"]).output();
    let real = String::from_utf8(real.unwrap().stdout).unwrap();
    let python = world.path("home/python");
    world.write("home/python", &format!("#!/bin/sh\nexec {} \"$@\"\n", real.trim()));
    world.command("chmod", &world.path("")).args(["755", python.to_str().unwrap()]).status().unwrap();
    world.config(&format!("deployment: {{channel: beta, source: tags, python: {}}}\n", python.display()));
    let script = SLOWLY_ASKED.replace("goes-back", "never");
    world.write("work/migrations/v1.1.0/001_config.py", &script);
    let makefile = world.read("work/Makefile");
    let breaks = "@test ! -x $$HOME/python || { chmod a-x $$HOME/python; exit 3; }";
    world.write("work/Makefile", &makefile.replace("@echo install done", breaks));
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert!(run.stderr.contains("leaves the record"), "{run:#?}");
    assert_eq!(world.state_file("migration_state.json")["applied"], json!([]));
    assert!(!world.read("checkout/config.yml").contains("new: 2"));
    world.command("chmod", &world.path("")).args(["755", python.to_str().unwrap()]).status().unwrap();
    world.write("work/Makefile", &makefile);
    world.write("work/fixed", "");
    world.release("1.1.1");
    world.run("version-watch", &[]).exits(0);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert!(world.read("checkout/config.yml").contains("new: 2"));
}
