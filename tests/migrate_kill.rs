//! SIGKILL of the runner at random moments of a run of 50 scripts: in the end every effect is
//! there exactly once, apart from the interrupted one's second try, and the record can be read at
//! every moment. `make soak` is the same with more moments.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use scripts::{fresh, ids, migrate, put, state};
use serde_json::{Value, json};
use support::World;

const SCRIPTS: usize = 50;
const KILLS: u64 = 12;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Each script has its own file. Its effect is one line, appended; its end is another file, so
/// that a script that is interrupted in between does it again.
fn script(world: &World, n: usize) -> String {
    let place = world.path("done");
    let place = place.to_str().unwrap();
    format!(
        "import os, time\nfrom pathlib import Path\nEFFECT, DONE = Path('{place}/{n}.effect'), Path('{place}/{n}.done')\n\
         def check():\n    return DONE.exists()\n\
         def migrate():\n    with EFFECT.open('a') as file:\n        file.write('x\\n')\n    time.sleep(0.002)\n    DONE.touch()\n    return True\n"
    )
}

fn id(n: usize) -> String {
    format!("1.2.0/{n:03}_s.py")
}

/// A world with all the scripts; `padding` makes the record so large that it goes to the journal.
fn make(padding: usize) -> World {
    let world = fresh();
    fs::create_dir(world.path("done")).unwrap();
    for n in 1..=SCRIPTS {
        put(&world, &id(n), &script(&world, n));
    }
    begin(&world, padding);
    world
}

fn begin(world: &World, padding: usize) {
    for entry in fs::read_dir(world.path("done")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    let more = "x".repeat(padding);
    state(world, &json!({"schema": 1, "applied": [], "baseline": "1.0.0", "padding": more}).to_string());
}

/// Numbers from a seed (xorshift64*), so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit.max(1)
    }
}

/// What is on record, by any reader and without a lock.
#[track_caller]
fn readable(world: &World) -> Vec<String> {
    let bytes = fs::read(world.state().join("migration_state.json")).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("torn: {error}"));
    ids(&value["applied"]).into_iter().map(str::to_owned).collect()
}

/// How often each script took effect.
fn effects(world: &World) -> BTreeMap<usize, u64> {
    let count = |n: &usize| fs::read_to_string(effect(world, *n)).unwrap_or_default().lines().count() as u64;
    (1..=SCRIPTS).map(|n| (n, count(&n))).collect()
}

fn effect(world: &World, n: usize) -> PathBuf {
    world.path(&format!("done/{n}.effect"))
}

/// Starts a run, kills it after a while, and reads the record all the time. Whether it was hit.
fn strike(world: &World, after: Duration) -> bool {
    let mut program = world.program("run-migrations");
    program.arg("--json").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    let until = Instant::now() + after;
    while Instant::now() < until {
        readable(world);
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    let hit = child.wait().unwrap().code().is_none();
    readable(world);
    hit
}

/// Kills until the moment was one of a run; then runs to the end and looks at everything.
fn sweep(padding: usize, seed: u64, kills: u64) {
    let world = make(padding);
    let began = Instant::now();
    migrate(&world, &[]).exits(0).tells("ok", None);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let mut dice = Dice(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut hits, mut seconds, mut recovered) = (0, 0, 0);
    while hits < kills {
        begin(&world, padding);
        let mut struck: u64 = 0;
        // One run may be killed several times before it may end.
        for _ in 0..=dice.below(3) {
            struck += u64::from(strike(&world, Duration::from_micros(dice.below(whole))));
        }
        hits += struck;
        let last = migrate(&world, &[]);
        assert_eq!(last.code, 0, "{last:#?}");
        let on_record = world.state_file("migration_state.json");
        assert_eq!(on_record["applied"].as_array().unwrap().len(), SCRIPTS);
        assert_eq!((&on_record["intent"], &on_record["installed"]), (&Value::Null, &json!("1.2.0")));
        let effects = effects(&world);
        let twice: Vec<_> = effects.iter().filter(|(_, count)| **count != 1).collect();
        assert!(effects.values().all(|count| *count >= 1), "lost: {twice:?}");
        let extra: u64 = effects.values().map(|count| count - 1).sum();
        assert!(extra <= struck, "{struck} kills, and {twice:?}");
        seconds += extra;
        let records = on_record["records"].as_object().unwrap().values();
        recovered += records.filter(|record| record["status"] == "recovered").count();
    }
    println!("{hits} kills (seed {seed}, padding {padding}): {seconds} second tries, {recovered} recovered");
}

#[test]
fn each_script_takes_effect_once() {
    let (seed, kills) = (number("SEED", 1), number("MIGRATE_KILLS", KILLS));
    sweep(0, seed, kills);
}

#[test]
fn each_script_takes_effect_once_with_a_journal() {
    let (seed, kills) = (number("SEED", 2), number("MIGRATE_KILLS", KILLS));
    sweep(100_000, seed, kills);
}
