//! The subcommands of `run-migrations`: status, lint, new, mark, unmark, accept, manifest.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;

use scripts::{add, effects, ids, migrate, put, script, world};
use serde_json::{Value, json};
use support::World;

const B: &str = "1.1.0/001_b.py";
const D: &str = "1.2.0/002_d.py";
const E: &str = "1.2.0/010_e.py";

fn record(world: &World, id: &str) -> Value {
    world.state_file("migration_state.json")["records"][id].clone()
}

#[test]
fn mark_puts_on_record_without_running() {
    let world = world();
    add(&world, &[B, D]);
    let run = migrate(&world, &["mark", &format!("migrations/v{B}"), "--reason", "done by hand"]).exits(0);
    assert_eq!(run.tells("ok", None).json()["id"], B);
    let marked = record(&world, B);
    assert_eq!(
        (marked["status"].as_str(), marked["reason"].as_str()),
        (Some("marked"), Some("done by hand"))
    );
    migrate(&world, &["mark", B]).exits(0).tells("nothing", None);
    assert_eq!(ids(&migrate(&world, &[]).exits(0).json()["ran"]), [D]);
    assert_eq!(effects(&world), "d");
}

#[test]
fn unmark_takes_off_the_record_and_the_next_run_asks_again() {
    let world = world();
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    world.write("effects.log", "d\n");
    migrate(&world, &["unmark", B, "--reason", "restored a backup"]).exits(0).tells("ok", None);
    let state = world.state_file("migration_state.json");
    assert_eq!(ids(&state["applied"]), [D]);
    assert_eq!(state["unmarked"][B]["reason"], "restored a backup");
    migrate(&world, &["unmark", B]).exits(0).tells("nothing", None);
    assert_eq!(ids(&migrate(&world, &[]).exits(0).json()["ran"]), [B]);
    assert_eq!(effects(&world), "db");
    assert_eq!(world.state_file("migration_state.json")["unmarked"], Value::Null);
}

#[test]
fn an_id_that_is_not_there_is_wrong_usage_that_names_the_nearest() {
    let world = world();
    add(&world, &[B]);
    for word in ["mark", "unmark", "accept"] {
        let run =
            migrate(&world, &[word, "1.1.0/001_bb.py"]).exits(2).tells("invalid", Some("unknown_migration"));
        assert!(run.stdout.contains(B), "{run:#?}");
        migrate(&world, &[word, "nonsense"]).exits(2).tells("invalid", Some("unknown_migration"));
    }
    migrate(&world, &["accept", B]).exits(2).tells("invalid", Some("unknown_migration"));
}

#[test]
fn status_tells_everything_and_changes_nothing() {
    let world = world();
    add(&world, &[B, D]);
    migrate(&world, &[]).exits(0);
    put(&world, B, "changed = True\n");
    fs::remove_file(world.path(&format!("checkout/migrations/v{D}"))).unwrap();
    add(&world, &[E, "1.1.0/007_late.py"]);
    let before = world.read("home/.teleclaude/migration_state.json");
    let status = migrate(&world, &["status"]).exits(0).tells("ok", None).json();
    for (key, value) in [
        ("version", json!("1.2.0")),
        ("baseline", json!("1.0.0")),
        ("installed", json!("1.2.0")),
        ("applied", json!([B, D])),
        ("pending", json!(["1.1.0/007_late.py", E])),
        ("late", json!(["1.1.0/007_late.py", E])),
        ("drift", json!([B])),
        ("missing", json!([D])),
        ("intent", Value::Null),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    let text = world.run("run-migrations", &["status"]).exits(0).stdout;
    for word in ["pending", "late", "drift", "missing", "baseline 1.0.0"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(world.read("home/.teleclaude/migration_state.json"), before);
}

/// The messages of `lint`, with their files and lines.
fn findings(world: &World) -> Vec<String> {
    let run = migrate(world, &["lint"]);
    let json = run.json();
    let list = json["findings"].as_array().unwrap();
    assert_eq!(run.code, if list.is_empty() { 0 } else { 3 });
    list.iter()
        .map(|f| format!("{} {}:{} {}", f["level"], f["path"], f["line"], f["message"]).replace('"', ""))
        .collect()
}

#[test]
fn lint_reads_and_does_not_import() {
    let world = world();
    add(&world, &[B]);
    let mark = world.path("imported");
    put(&world, D, &format!("open({:?}, 'w')\n{}", mark.to_str().unwrap(), script(&world, "d", "")));
    assert_eq!(findings(&world), [] as [&str; 0]);
    assert!(!mark.exists());
}

#[test]
fn lint_finds_each_fault() {
    let good = "def check():\n    return True\n";
    for (text, expected) in [
        ("def migrate():\n    return True\n", "error migrations/v1.2.0/001_x.py:null it has no check()"),
        (good, "error migrations/v1.2.0/001_x.py:null it has no migrate()"),
        ("def check(:\n", "error migrations/v1.2.0/001_x.py:1 it cannot be parsed"),
        ("\0", "error migrations/v1.2.0/001_x.py:"),
        (
            &format!("{good}async def migrate():\n    return True\n"),
            "error migrations/v1.2.0/001_x.py:3 migrate() is async",
        ),
        (
            &format!("{good}def migrate(path):\n    return True\n"),
            "error migrations/v1.2.0/001_x.py:3 migrate() wants arguments (path)",
        ),
        (
            &format!("{good}def migrate(*, key):\n    return True\n"),
            "error migrations/v1.2.0/001_x.py:3 migrate() wants arguments (key)",
        ),
        (
            &format!("{good}def migrate():\n    yield True\n"),
            "error migrations/v1.2.0/001_x.py:3 migrate() is a generator",
        ),
        (
            &format!("{good}def migrate():\n    pass\n"),
            "error migrations/v1.2.0/001_x.py:3 migrate() never returns",
        ),
        (&format!("{good}migrate = 3\n"), "error migrations/v1.2.0/001_x.py:3 its migrate is no function"),
        (
            &format!("import urllib.request\n{good}def migrate():\n    return True\n"),
            "warning migrations/v1.2.0/001_x.py:1 it imports urllib.request",
        ),
        (
            &format!("{good}def migrate():\n    from http import client\n    return True\n"),
            "warning migrations/v1.2.0/001_x.py:4 it imports http",
        ),
    ] {
        let world = world();
        put(&world, "1.2.0/001_x.py", text);
        let found = findings(&world);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:?}");
    }
}

#[test]
fn lint_allows_what_is_no_fault() {
    let good = "def check():\n    return True\n";
    for text in [
        &format!("{good}def migrate(path='x', *more, **named):\n    return True\n"),
        &format!("import requests  # migration: allow network\n{good}def migrate():\n    return True\n"),
        &format!(
            "try:\n    import urllib.parse\nexcept ImportError:\n    pass\n{good}migrate = lambda: True\n"
        ),
        &format!("{good}if True:\n    def migrate():\n        raise NotImplementedError\n"),
    ] {
        let world = world();
        put(&world, "1.2.0/001_x.py", text);
        assert_eq!(findings(&world), [] as [&str; 0], "{text}");
    }
}

#[test]
fn lint_warns_of_what_comes_after_a_release() {
    let world = World::new();
    for (id, name) in [(B, "b"), (D, "d")] {
        world.write(&format!("work/migrations/v{id}"), &script(&world, name, ""));
    }
    world.release("1.2.0");
    world.tag("v1.1.0");
    world.git(&["pull", "--quiet", "--tags"]);
    assert_eq!(findings(&world), [] as [&str; 0]);
    add(&world, &[E, "1.3.0/001_new.py"]);
    put(&world, B, "def check(): return True\ndef migrate(): return True\n");
    fs::remove_file(world.path(&format!("checkout/migrations/v{D}"))).unwrap();
    let found = findings(&world).join("\n");
    assert_eq!(found.lines().count(), 3, "{found}");
    for expected in [
        "v1.1.0/001_b.py:null it was changed after its release (v1.1.0)",
        "v1.2.0/010_e.py:null it is new in a version that is released already (v1.2.0)",
        "v1.2.0/002_d.py:null it is gone since its release (v1.2.0)",
    ] {
        assert!(found.contains(&format!("warning migrations/{expected}")), "{found}");
    }
}

#[test]
fn new_takes_the_next_number_and_a_version_that_is_not_released() {
    let world = world();
    add(&world, &[D]);
    let run = migrate(&world, &["new", "Rename the config key"]).exits(0).tells("ok", None).json();
    assert_eq!(run["id"], "1.2.0/003_rename_the_config_key.py");
    let text = fs::read_to_string(run["path"].as_str().unwrap()).unwrap();
    assert!(text.starts_with("\"\"\"Rename the config key.\"\"\""), "{text}");
    assert_eq!(findings(&world), [] as [&str; 0]);
    // Whoever forgets to fill it in is told, and nothing is on record.
    let failed = migrate(&world, &[]).exits(1).json();
    assert_eq!((failed["failed"]["stage"].as_str(), ids(&failed["ran"])), (Some("check"), vec![D]));
    world.git(&["tag", "v1.2.0"]);
    let next = migrate(&world, &["new", "more"]).exits(0).json();
    assert_eq!(next["id"], "1.2.1/001_more.py");
    let other = migrate(&world, &["new", "more", "--for", "v2.0.0"]).exits(0).json();
    assert_eq!(other["id"], "2.0.0/001_more.py");
    migrate(&world, &["new", "???"]).exits(2);
    put(&world, "3.0.0/999_last.py", "");
    migrate(&world, &["new", "more", "--for", "3.0.0"]).exits(2);
}

#[test]
fn manifest_lists_what_a_release_carries() {
    let world = world();
    add(&world, &[D, B]);
    put(&world, "1.10.0/001_f.py", "def check(): return True\ndef migrate(): return True\n");
    let all = migrate(&world, &["manifest"]).exits(0).tells("ok", None).json();
    let list = all["migrations"].as_array().unwrap();
    assert_eq!(
        list.iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(),
        [B, D, "1.10.0/001_f.py"]
    );
    assert_eq!((list[0]["description"].as_str(), &list[2]["description"]), (Some("Writes b."), &Value::Null));
    migrate(&world, &[]).exits(0);
    assert_eq!(record(&world, B)["sha256"], list[0]["sha256"]);
    put(&world, "1.10.0/001_f.py", "'half \\ud800'\ndef check(): return True\ndef migrate(): return True\n");
    let odd = migrate(&world, &["manifest", "--from", "1.9.0"]).exits(0).json();
    assert_eq!(odd["migrations"][0]["description"], "half \\ud800");
    let part = migrate(&world, &["manifest", "--from", "1.1.0", "--to", "v1.2.0"]).exits(0).json();
    assert_eq!((part["migrations"].as_array().unwrap().len(), &part["migrations"][0]["id"]), (1, &json!(D)));
    migrate(&world, &["manifest", "--from", "3.0.0"]).exits(0).tells("nothing", None);
}
