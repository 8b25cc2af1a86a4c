//! Stopped by a signal. A stop is no answer to any question: whenever it comes, the run says that it
//! was interrupted, counts nothing against the version, and the next run goes on.

#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Run, World};

const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A git that counts its calls and hangs in the one whose number is in `at`.
fn count_git_calls(world: &mut World) {
    let text = format!(
        "#!/bin/sh\nread -r n < $HOME/calls; n=$((n + 1)); echo $n > $HOME/calls\nread -r at < $HOME/at\n\
         if [ $n = $at ]; then echo \"$*\" > $HOME/reached; exec sleep 600; fi\nexec {} \"$@\"\n",
        support::real_git().display()
    );
    hang_at(world, 0);
    world.put_on_path("git", &text);
}

fn hang_at(world: &World, number: u32) {
    world.write("home/calls", "0\n");
    world.write("home/at", &format!("{number}\n"));
}

fn start(world: &World) -> Child {
    let mut command = world.program("apply-update");
    command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn stop(child: Child, signal: Signal) -> Run {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
    child.wait_with_output().unwrap().into()
}

fn world(settings: &str) -> World {
    let mut world = World::new();
    world.config(&format!("deployment: {{{settings}}}\n"));
    world.write("work/new.txt", "new");
    world.release("1.1.0");
    count_git_calls(&mut world);
    world.run("version-watch", &[]).exits(0);
    world
}

/// Stops the update in its call of git of this number. False: it has fewer.
fn stopped_in_call(settings: &str, number: u32) -> bool {
    let world = world(settings);
    hang_at(&world, number);
    let mut child = start(&world);
    let reached = world.path("home/reached");
    until("the call", || reached.exists() || child.try_wait().unwrap().is_some());
    if !reached.exists() {
        Run::from(child.wait_with_output().unwrap()).exits(42);
        return false;
    }
    let call = world.read("home/reached");
    let run = stop(child, Signal::TERM);
    assert_eq!(
        (run.code, run.json()["reason"].as_str()),
        (1, Some("interrupted")),
        "{number}: {call}{run:#?}"
    );
    assert_eq!(world.state_file("failed_versions.json"), Value::Null, "{number}: {call}");
    hang_at(&world, 0);
    let next = world.run("apply-update", &["--json"]);
    assert_eq!(next.code, 42, "{number}: {call}{next:#?}");
    true
}

fn stopped_in_every_call(settings: &str) {
    let calls = (1..1000).take_while(|number| stopped_in_call(settings, *number)).count();
    assert!(calls > 10, "{calls}");
}

#[test]
fn in_any_call_of_git_on_alpha() {
    stopped_in_every_call("channel: alpha");
}

#[test]
fn in_any_call_of_git_on_tags() {
    stopped_in_every_call("channel: beta, source: tags");
}

const MIGRATION: &str = "def check():\n    return False\n\n\ndef migrate():\n    return True\n";

/// A world whose update has a migration, and whose Python hangs as long as `hang` is there.
fn world_with_slow_python() -> World {
    let world = World::new();
    world.program_file(
        "python",
        "#!/bin/sh\nif [ -e $HOME/hang ]; then touch $HOME/reached; exec sleep 600; fi\nexec python3 \"$@\"\n",
    );
    let python = world.path("python").display().to_string();
    world.config(&format!("deployment: {{channel: beta, source: tags, python: \"{python}\"}}\n"));
    let done =
        "import os\n\n\ndef done():\n    return os.path.exists(os.environ[\"HOME\"] + \"/done\")\n\n\n";
    let text = MIGRATION.replace("return False", "return done()").replace(
        "    return True",
        "    open(os.environ[\"HOME\"] + \"/done\", \"w\").close()\n    return True",
    );
    world.write("work/migrations/v1.1.0/001_one.py", &format!("{done}{text}"));
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    world
}

fn hold_lock(path: &Path) -> std::fs::File {
    use fs2::FileExt;
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    file.lock_exclusive().unwrap();
    file
}

#[test]
fn while_python_starts() {
    let world = world_with_slow_python();
    world.write("home/hang", "");
    let child = start(&world);
    until("python", || world.path("home/reached").exists());
    stop(child, Signal::TERM).exits(1).tells("failed", Some("interrupted"));
    assert_eq!(world.state_file("failed_versions.json"), Value::Null);
    std::fs::remove_file(world.path("home/hang")).unwrap();
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "restart", "status"]);
}

#[test]
fn somebody_elses_run_of_migrations_is_waited_for() {
    let world = world_with_slow_python();
    let held = hold_lock(&world.state().join("migration_state.json.lock"));
    world.run("apply-update", &["--json"]).exits(75).tells("busy", Some("locked"));
    assert_eq!(world.state_file("failed_versions.json"), Value::Null);
    drop(held);
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
}

#[test]
fn between_two_health_checks() {
    let world = World::new();
    // The second check would come two seconds later at most; the first says that it was.
    let health = "[sh, -c, 'test ! -e $HOME/hang || { echo x >> $HOME/asked; exit 1; }']";
    world.config(&format!("deployment: {{channel: beta, source: tags, health: {health}}}\n"));
    world.write("home/hang", "");
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    let child = start(&world);
    let asked = || std::fs::read_to_string(world.path("home/asked")).unwrap_or_default().lines().count();
    until("a long pause", || asked() >= 5);
    stop(child, Signal::TERM).exits(1).tells("failed", Some("interrupted"));
    assert_eq!(world.state_file("failed_versions.json"), Value::Null);
    std::fs::remove_file(world.path("home/hang")).unwrap();
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
}
