//! A step that becomes another user's, as with `sudo`, and so cannot be ended: nothing is begun
//! beside it. The scene needs root and `setpriv`: a program without the right to signal others, and
//! a step that changes its user. Elsewhere the test says that it was skipped.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::process::Command;

use rustix::process::Pid;
use serde_json::Value;
use support::{Run, World};

const POWERLESS: &[&str] = &["--bounding-set=-kill", "--inh-caps=-kill"];
const FOREIGN: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Whether a program here can be without the right to signal another user's.
fn is_possible() -> bool {
    let script = "\"$@\" sleep 5 & sleep 0.3; kill -9 $! && exit 1; exit 0";
    let mut setpriv = Command::new("setpriv");
    setpriv.args(POWERLESS).args(["sh", "-c", script, "sh"]).args(FOREIGN);
    setpriv.output().is_ok_and(|output| output.status.success())
}

fn powerless(world: &World) -> Run {
    let mut setpriv = world.command("setpriv", &world.checkout());
    let program = support::binary("apply-update");
    setpriv.args(POWERLESS).arg(program).arg("--json").output().unwrap().into()
}

/// The last one that an `install` began.
fn foreign(world: &World) -> Pid {
    Pid::from_raw(world.read("home/foreign").trim().parse().unwrap()).unwrap()
}

/// The dead that nobody reaped do not count.
fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

/// A world whose `install` has a process of another user's that runs for longer than it may.
fn world() -> World {
    let world = World::new();
    let foreign = FOREIGN.join(" ");
    world.write("install.sh", &format!("{foreign} sleep 120 &\necho $! > $HOME/foreign\nwait\n"));
    let script = world.path("install.sh");
    world.config(&format!(
        "deployment: {{install: [sh, {}], health: [], timeouts: {{install: 1s}}}}\n",
        script.display()
    ));
    world.write("work/new.txt", "new");
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    world
}

#[test]
fn nothing_is_begun_beside_a_step_that_cannot_be_ended() {
    if !is_possible() {
        println!("skipped: this needs root and setpriv");
        return;
    }
    let world = world();
    let before = world.head();
    // The first run meets it at its deadline, the second one finds it left over.
    let mut steps = Vec::new();
    for _ in 0..2 {
        let run = powerless(&world).exits(3).tells("blocked", Some("in_progress"));
        let journal = world.state_file("apply_journal.json");
        let message = run.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&format!("kill -9 -{}", journal["step"]["pid"])), "{message}");
        assert_eq!((&journal["phase"], &journal["undo"]), (&"installing".into(), &Value::Null), "{message}");
        assert_ne!(world.head(), before, "going back had begun beside it");
        assert_eq!(world.state_file("deploy_status.json")["status"], "blocked");
        steps.push(foreign(&world));
    }
    assert_eq!(steps[0], steps[1], "a second try had begun beside it");
    assert!(lives(steps[0]), "the scene is not what it should be");
    // Who has the right to end it goes on; the same command is too long for that one as well.
    world.run("apply-update", &["--json"]).exits(1);
    assert!(!lives(steps[0]) && !lives(foreign(&world)), "it runs on");
}
