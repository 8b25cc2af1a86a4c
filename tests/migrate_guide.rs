//! The examples of the guide for authors do what the guide says: run, interrupted, and run again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use scripts::{effects, fresh, ids, migrate, put, state};
use support::World;

const RENAME: &str = "1.2.0/001_rename_config_key.py";
const SCHEMA: &str = "1.2.0/002_add_closed_reason.py";
const MOVE: &str = "1.2.0/003_move_voices.py";

const CONFIG: &str = "# mine\nidle: 3 # not this one\nsessions:\n  # how long\n  idle: 5m # minutes\n\n  deep:\n    idle: 1\nother:\n  idle: 7\n";

/// The examples, as (file name, text).
fn examples() -> Vec<(String, String)> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/project/procedure/authoring-migrations.md");
    let guide = fs::read_to_string(guide).unwrap();
    let parts =
        guide.split("<!-- example: ").skip(1).map(|part| part.split_once(" -->\n```python\n").unwrap());
    parts.map(|(name, rest)| (name.to_owned(), rest.split("```").next().unwrap().to_owned())).collect()
}

/// A checkout with only this example, on a computer where 1.0.0 is on record.
fn with(id: &str) -> World {
    let world = fresh();
    let all = examples();
    let (_, text) = all.iter().find(|(name, _)| id.ends_with(name.as_str())).unwrap();
    put(&world, id, text);
    forget(&world);
    world
}

fn forget(world: &World) {
    state(world, r#"{"schema": 1, "applied": [], "baseline": "1.0.0"}"#);
}

/// What a run makes of the one script: its status on record.
#[track_caller]
fn status(world: &World, id: &str) -> String {
    migrate(world, &[]).exits(0);
    world.state_file("migration_state.json")["records"][id]["status"].as_str().unwrap().to_owned()
}

/// Runs it, with nothing on record, again.
#[track_caller]
fn applies_once(world: &World, id: &str) {
    assert_eq!(status(world, id), "applied");
    forget(world);
    assert_eq!(status(world, id), "already_applied");
    forget(world);
}

/// Makes the script die in the place of this line; then runs it as it is.
#[track_caller]
fn survives_a_death_at(world: &World, id: &str, line: &str) {
    let path = format!("checkout/migrations/v{id}");
    let whole = world.read(&path);
    let at = whole.find(line).unwrap_or_else(|| panic!("{line:?} is not in {id}"));
    let indent = whole[..at].rfind('\n').map_or(0, |start| at - start - 1);
    let dying = format!("{}os.kill(os.getpid(), 9)\n{}{}", &whole[..at], " ".repeat(indent), &whole[at..]);
    put(world, id, &dying.replacen("\nimport ", "\nimport os\nimport ", 1));
    let failed = migrate(world, &[]).exits(1).json();
    assert_eq!(failed["failed"]["stage"], "migrate", "{failed:#}");
    put(world, id, &whole);
    applies_once(world, id);
}

#[test]
fn the_guide_has_three_examples_that_lint_likes() {
    let world = fresh();
    let names: Vec<String> = examples().into_iter().map(|(name, _)| format!("1.2.0/{name}")).collect();
    assert_eq!(names, [RENAME, SCHEMA, MOVE]);
    for (name, text) in examples() {
        put(&world, &format!("1.2.0/{name}"), &text);
    }
    migrate(&world, &["lint"]).exits(0).tells("ok", None);
    // A computer that has nothing of all that has nothing to do.
    fs::remove_file(world.path("checkout/config.yml")).ok();
    let run = migrate(&world, &["--from", "1.0.0"]).exits(0).tells("nothing", None).json();
    assert_eq!((ids(&run["skipped"]).len(), effects(&world)), (3, String::new()));
}

#[test]
fn a_configuration_key_is_renamed_and_all_else_stays() {
    let world = with(RENAME);
    let expected = CONFIG.replace("  idle: 5m", "  idle_after: 5m");
    for line in ["file.write(", "os.replace("] {
        world.config(CONFIG);
        fs::set_permissions(world.path("checkout/config.yml"), fs::Permissions::from_mode(0o640)).unwrap();
        survives_a_death_at(&world, RENAME, line);
        assert_eq!(world.read("checkout/config.yml"), expected);
        let mode = fs::metadata(world.path("checkout/config.yml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}

#[test]
fn a_schema_is_changed_whole_or_not_at_all() {
    let world = with(SCHEMA);
    let path = world.path("checkout/teleclaude.db");
    for line in ["db.execute(\"ALTER", "db.execute(\"UPDATE", "db.execute(\"COMMIT"] {
        let _ = fs::remove_file(&path);
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "CREATE TABLE sessions (id TEXT, closed_at TEXT);
             INSERT INTO sessions VALUES ('open', NULL), ('closed', '2026-01-01');",
        )
        .unwrap();
        survives_a_death_at(&world, SCHEMA, line);
        let read = |id: &str| -> Option<String> {
            db.query_row("SELECT closed_reason FROM sessions WHERE id = ?", [id], |row| row.get(0)).unwrap()
        };
        assert_eq!((read("open"), read("closed").as_deref()), (None, Some("unknown")));
    }
}

#[test]
fn files_are_moved_and_none_is_lost() {
    let world = with(MOVE);
    for line in ["shutil.copy2(", "os.replace(", "old.unlink("] {
        for (name, text) in [("a", "1"), ("b", "2")] {
            world.write(&format!("checkout/voices/{name}.json"), text);
        }
        let _ = fs::remove_dir_all(world.state().join("voices"));
        survives_a_death_at(&world, MOVE, line);
        let there: Vec<String> =
            ["a", "b"].map(|name| world.read(&format!("home/.teleclaude/voices/{name}.json"))).into();
        assert_eq!(there, ["1", "2"]);
        assert_eq!(fs::read_dir(world.state().join("voices")).unwrap().count(), 2, "{line}");
        assert_eq!(fs::read_dir(world.path("checkout/voices")).unwrap().count(), 0, "{line}");
    }
    world.write("checkout/voices/a.json", "another");
    let failed = migrate(&world, &[]).exits(1).json();
    assert!(failed["failed"]["error"].as_str().unwrap().contains("keep the right one"), "{failed:#}");
    assert_eq!(world.read("checkout/voices/a.json"), "another");
}
