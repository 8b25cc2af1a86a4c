//! The inputs of the fuzz targets, bounded: the committed seeds, and changes to them that look random
//! and are the same on every run. `make fuzz` looks further.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "../fuzz/src/lib.rs"]
mod inputs;

use std::fs;
use std::path::PathBuf;

use inputs::{TARGETS, Target};

/// Changed inputs for each target.
const ROUNDS: usize = 50_000;

/// Pieces that the formats are made of, and pieces that break them.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "'",
    "\n",
    "\t",
    "\0",
    " ",
    "-",
    "<<: ",
    "&a ",
    "*a",
    "${A:-",
    "${",
    "}",
    "null",
    "true",
    "1",
    "-1",
    "18446744073709551616",
    "1e999",
    "\"schema\": 2,",
    "\"tag\": \"-x\",",
    "v1.2.3",
    "9.9.9-rc.1",
    "..",
    "^{}",
    "refs/heads/main",
    "refs/tags/v1.2.3",
    "\\u0000",
    "\\ud800",
    "é",
    "\u{feff}",
    "0123456789abcdef0123456789abcdef01234567",
    "2026-11-22T13:00:00Z",
    "<html>",
    "%",
    "@",
    "\u{1b}[2J",
];

/// Numbers that look random and are the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// One change: a byte, a piece put in, a part taken out, doubled, or brought in from another seed.
fn change(input: &mut Vec<u8>, dice: &mut Dice, seeds: &[Vec<u8>]) {
    let at = dice.roll(input.len() + 1);
    let end = (at + dice.roll(40)).min(input.len());
    match dice.roll(6) {
        0 if at < input.len() => input[at] = u8::try_from(dice.roll(256)).unwrap(),
        1 | 2 => drop(input.splice(at..at, PIECES[dice.roll(PIECES.len())].bytes())),
        3 => drop(input.drain(at..end)),
        4 => {
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        _ => {
            let other = &seeds[dice.roll(seeds.len())];
            let from = dice.roll(other.len() + 1);
            let part = other[from..(from + dice.roll(60)).min(other.len())].to_vec();
            input.splice(at..end, part);
        }
    }
}

/// How many changed inputs were accepted and how many not.
fn run(name: &str, target: Target) -> (usize, usize) {
    let seeds = seeds(name);
    for seed in &seeds {
        target(seed);
    }
    let mut dice = Dice(7);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let mut input = seeds[dice.roll(seeds.len())].clone();
        (0..=dice.roll(4)).for_each(|_| change(&mut input, &mut dice, &seeds));
        let told = std::panic::catch_unwind(|| target(&input));
        let told = told.unwrap_or_else(|_| panic!("{name}: {:?}", String::from_utf8_lossy(&input)));
        accepted += usize::from(told);
    }
    (accepted, ROUNDS - accepted)
}

#[track_caller]
fn holds(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let (accepted, refused) = run(name, *target);
    println!("{name}: {accepted} accepted, {refused} refused");
    // Where one of the two is missing, the inputs are not what they should be.
    assert!(accepted > ROUNDS / 100 && refused > ROUNDS / 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn configurations() {
    holds("config");
}

#[test]
fn signals() {
    holds("signal");
}

#[test]
fn lists_of_releases() {
    holds("releases");
}

#[test]
fn lists_of_references() {
    holds("ls_remote");
}

#[test]
fn state_files() {
    holds("state");
}
