//! `run-migrations`: order, range, record, resume, baseline, dry run.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::World;

/// A script whose effect is a line in `effects.log` of the world.
pub fn script(world: &World, name: &str) -> String {
    format!(
        "from pathlib import Path\n\
         LOG = Path({:?})\n\
         def check():\n    return LOG.exists() and {name:?} in LOG.read_text().split()\n\
         def migrate():\n    with LOG.open('a') as log:\n        log.write({name:?} + '\\n')\n    return True\n",
        world.path("effects.log").to_str().unwrap()
    )
}

fn add(world: &World, id: &str) {
    let name = id.rsplit('_').next().unwrap().trim_end_matches(".py").to_owned();
    world.write(&format!("checkout/migrations/v{id}"), &script(world, &name));
}

fn effects(world: &World) -> String {
    std::fs::read_to_string(world.path("effects.log")).unwrap_or_default().replace('\n', "")
}

/// A checkout at 1.2.0 on a computer where 1.0.0 is on record.
fn world() -> World {
    let world = World::new();
    world.write("checkout/pyproject.toml", "[project]\nname = \"x\"\nversion = \"1.2.0\"\n");
    world.write(
        "home/.teleclaude/migration_state.json",
        r#"{"schema": 1, "applied": [], "baseline": "1.0.0"}"#,
    );
    world
}

fn ids(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn scripts_run_once_each_by_version_and_number() {
    let world = world();
    for id in ["1.2.0/010_e.py", "1.2.0/002_d.py", "1.10.0/001_f.py", "1.1.0/001_b.py", "1.0.0/001_a.py"] {
        add(&world, id);
    }
    let first = world.run("run-migrations", &["--json"]).exits(0).tells("ok", None).json();
    assert_eq!(ids(&first["ran"]), ["1.1.0/001_b.py", "1.2.0/002_d.py", "1.2.0/010_e.py"]);
    assert_eq!(first["to"], "1.2.0");
    assert_eq!(first["failed"], Value::Null);
    assert_eq!(effects(&world), "bde");
    let state = world.state_file("migration_state.json");
    assert_eq!(state["installed"], "1.2.0");
    assert_eq!(state["intent"], Value::Null);
    let record = &state["records"]["1.2.0/002_d.py"];
    assert_eq!(record["status"], "applied");
    assert_eq!(record["commit"], world.head());
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    let again = world.run("run-migrations", &["--json"]).exits(0).tells("nothing", None).json();
    assert_eq!(ids(&again["skipped"]).len(), 3);
    assert_eq!(effects(&world), "bde");
    let more = world.run("run-migrations", &["--json", "--to", " v1.10.0 "]).exits(0).json();
    assert_eq!(ids(&more["ran"]), ["1.10.0/001_f.py"]);
    assert_eq!(world.git(&["status", "--porcelain"]), " M pyproject.toml\n?? migrations/");
    assert_eq!(json!(null), world.state_file("migration_state.json.journal"));
}
