//! What README.md promises is so: its commands, its exit codes, its files and its links.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::World;

const PROGRAMS: [&str; 4] = ["version-watch", "apply-update", "run-migrations", "telec"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The first cells of the table under a heading, without its head and back-ticks.
fn first_cells(heading: &str) -> Vec<String> {
    let text = readme();
    let section = text.split("\n## ").find(|s| s.starts_with(heading)).expect("the heading is there");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`').to_owned()).collect()
}

/// The lines of all `sh` blocks, without comments.
fn commands() -> Vec<String> {
    let text = readme();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The pieces of a source file between two texts.
fn pieces(file: &str, from: &str, to: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    text.split(from).skip(1).map(|rest| rest.split(to).next().unwrap().to_owned()).collect()
}

#[test]
fn the_exit_table_is_the_enum() {
    let body = &pieces("src/outcome.rs", "pub enum Exit {", "}")[0];
    let codes: Vec<&str> = body.split(" = ").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
    assert!(codes.len() >= 7, "{codes:?}");
    assert_eq!(first_cells("Exit codes"), codes);
}

#[test]
fn the_files_are_those_of_the_state_home() {
    let told: BTreeSet<String> = first_cells("Files").into_iter().collect();
    let named = pieces("src/home.rs", "self.root.join(\"", "\"");
    assert!(named.len() >= 10, "{named:?}");
    for name in named.iter().filter(|name| !name.ends_with(".snapshot")) {
        let row = if name == "logs" { "logs/deployment/" } else { name };
        assert!(told.contains(row), "{name} has no row");
    }
}

#[test]
fn the_programs_are_those_that_are_built() {
    let built: BTreeSet<String> = fs::read_dir(root().join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(first_cells("Put it to work").into_iter().collect::<BTreeSet<_>>(), built);
}

#[test]
fn every_make_target_in_a_command_exists() {
    let targets: Vec<String> = commands()
        .iter()
        .filter_map(|line| line.strip_prefix("make ").map(|rest| rest.trim().to_owned()))
        .collect();
    assert!(targets.len() >= 3, "README shows make targets: {targets:?}");
    for target in targets {
        let run = Command::new("make")
            .args(["--no-print-directory", "--dry-run", &target])
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .current_dir(root())
            .output()
            .unwrap();
        assert!(run.status.success(), "make {target}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

#[test]
fn every_other_command_works_in_a_checkout_without_configuration() {
    let world = World::new();
    for line in commands() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if PROGRAMS.contains(&words[0]) {
            world.run(words[0], &words[1..]).exits(0);
        } else {
            assert!(["make", "cd"].contains(&words[0]), "what is {:?} in {line:?}?", words[0]);
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let text = readme();
    let links: Vec<&str> = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(!links.is_empty());
    for link in links.iter().filter(|link| !link.starts_with("http")) {
        assert!(root().join(link).exists(), "{link} does not exist");
    }
}
