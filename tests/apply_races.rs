//! Many programs at once in one state home: one works, nothing is done twice, files stay whole.

mod support;

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Run, World};

const LONG: Duration = Duration::from_secs(60);

fn assert_json_is_whole(world: &World) {
    for entry in fs::read_dir(world.state()).unwrap().flatten() {
        let path = entry.path();
        // It may be removed in between.
        if path.extension().is_some_and(|e| e == "json")
            && let Ok(bytes) = fs::read(&path)
        {
            let parsed = serde_json::from_slice::<Value>(&bytes);
            assert!(parsed.is_ok(), "{}: {}", path.display(), String::from_utf8_lossy(&bytes));
        }
    }
}

/// Takes the children that have ended out of the list and returns their exit codes.
fn ended(children: &mut Vec<Child>) -> Vec<Option<i32>> {
    let mut codes = Vec::new();
    children.retain_mut(|child| match child.try_wait().unwrap() {
        Some(status) => {
            codes.push(status.code());
            false
        }
        None => true,
    });
    codes
}

#[test]
fn of_eight_runs_at_once_one_works_and_the_others_leave() {
    let world = World::new();
    let old = world.read("work/Makefile");
    let waits = "@while [ ! -e $$HOME/go ]; do sleep 0.02; done; echo install done";
    world.write("work/Makefile", &old.replace("@echo install done", waits));
    let commit = world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let start =
        || world.program("apply-update").arg("--json").stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut children: Vec<Child> = (0..8).map(|_| start()).collect();
    let (mut codes, until) = (Vec::new(), Instant::now() + LONG);
    while children.len() > 1 {
        assert!(Instant::now() < until, "more than one run is at work: {codes:?}");
        codes.extend(ended(&mut children));
        assert_json_is_whole(&world);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(codes, [Some(75); 7]);
    world.write("home/go", "");
    assert_eq!(children[0].wait().unwrap().code(), Some(42));
    assert_eq!(world.steps(), ["install", "restart", "status"]);
    assert_eq!(world.head(), commit);
    assert_eq!(world.read("home/.teleclaude/deploy_history.jsonl").lines().count(), 1);
}

#[test]
fn programs_that_hammer_one_state_home_neither_hang_nor_tear_a_file() {
    const ROUNDS: usize = 6;
    let world = World::new();
    world.write("work/new.txt", "new");
    let commit = world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let calls: [(&str, &[&str]); 6] = [
        ("apply-update", &["--json"]),
        ("apply-update", &["--json", "--now"]),
        ("version-watch", &["--json"]),
        ("telec", &["update", "hold", "--json", "--reason", "a talk"]),
        ("telec", &["update", "resume", "--json"]),
        ("telec", &["update", "status", "--json"]),
    ];
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (program, arguments) in calls {
            let world = &world;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let run = world.run(program, arguments);
                    assert!([0, 42, 75].contains(&run.code), "{program} {arguments:?}: {run:#?}");
                    run.json();
                    assert_json_is_whole(world);
                }
            });
        }
    });
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    world.run("telec", &["update", "resume"]).exits(0);
    let last = world.run("apply-update", &["--json"]);
    assert!([0, 42].contains(&last.code), "{last:#?}");
    assert_eq!(world.head(), commit);
    assert_eq!(world.steps(), ["install", "restart", "status"], "nothing is done twice");
    assert_eq!(world.state_file("hold.json"), Value::Null);
}

/// Locks a ref as a person's git does for a moment, and lets it go once git was in its way.
fn waits_for_the_lock_of(name: &str) {
    let world = World::new();
    world.config("deployment: {channel: alpha}\n");
    world.write("work/new.txt", "new");
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let lock = world.checkout().join(".git").join(format!("{name}.lock"));
    fs::write(&lock, "").unwrap();
    let child = world
        .program("apply-update")
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let in_the_way = || {
        let logs = fs::read_dir(world.state().join("logs/deployment"));
        logs.into_iter()
            .flatten()
            .flatten()
            .any(|log| fs::read_to_string(log.path()).is_ok_and(|text| text.contains("File exists")))
    };
    let end = Instant::now() + LONG;
    while !in_the_way() {
        assert!(Instant::now() < end, "{name}: no git was in its way");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_file(&lock).unwrap();
    Run::from(child.wait_with_output().unwrap()).exits(42).tells("updated", None);
}

#[test]
fn a_ref_that_a_persons_git_has_locked_is_waited_for() {
    waits_for_the_lock_of("refs/remotes/origin/main");
    waits_for_the_lock_of("refs/heads/main");
}
