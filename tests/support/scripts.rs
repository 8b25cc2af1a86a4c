//! Migrations for tests: scripts whose effect is a line in a file of the world, and the checkout
//! they lie in.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::fs;

use serde_json::Value;

use crate::support::{Run, World};

/// A script whose effect is a line in `effects.log` of the world; `migrate` has more lines of
/// `migrate()` that come before the effect.
pub fn script(world: &World, name: &str, migrate: &str) -> String {
    let more: String = migrate.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "\"\"\"Writes {name}.\"\"\"\n\
         from pathlib import Path\n\
         LOG = Path({:?})\n\
         def check():\n    return LOG.exists() and {name:?} in LOG.read_text().split()\n\
         def migrate():\n{more}    with LOG.open('a') as log:\n        log.write({name:?} + '\\n')\n    return True\n",
        world.path("effects.log").to_str().unwrap()
    )
}

/// Adds scripts by their ids; the effect of `1.2.0/001_x.py` is `x`.
pub fn add(world: &World, ids: &[&str]) {
    for id in ids {
        put(world, id, &script(world, name_of(id), ""));
    }
}

/// Adds a script with this text.
pub fn put(world: &World, id: &str, text: &str) {
    world.write(&format!("checkout/migrations/v{id}"), text);
}

fn name_of(id: &str) -> &str {
    id.rsplit('_').next().unwrap().trim_end_matches(".py")
}

/// The effects so far, without line ends.
pub fn effects(world: &World) -> String {
    fs::read_to_string(world.path("effects.log")).unwrap_or_default().replace('\n', "")
}

/// A checkout at 1.2.0 on a computer where nothing is on record.
pub fn fresh() -> World {
    let world = World::new();
    world.write("checkout/pyproject.toml", "[project]\nname = \"x\"\nversion = \"1.2.0\"\n");
    world
}

/// A checkout at 1.2.0 on a computer where 1.0.0 is on record.
pub fn world() -> World {
    let world = fresh();
    state(&world, r#"{"schema": 1, "applied": [], "baseline": "1.0.0"}"#);
    world
}

/// Puts `migration_state.json` there.
pub fn state(world: &World, text: &str) {
    world.write("home/.teleclaude/migration_state.json", text);
}

/// `run-migrations --json`, with more arguments.
pub fn migrate(world: &World, arguments: &[&str]) -> Run {
    let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    world.run("run-migrations", &arguments)
}

/// The ids of a list in a result.
#[track_caller]
pub fn ids(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect()
}

/// Every file of the checkout but `.git`, to see that nothing is written into it.
pub fn files(world: &World) -> Vec<String> {
    let listed = world.git(&["ls-files", "--cached", "--others"]);
    let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
    files.sort();
    files
}
