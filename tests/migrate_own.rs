//! This project's own migrations, run with `run-migrations` on computers as they are found.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[path = "support/scripts.rs"]
mod scripts;
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use scripts::{ids, migrate};
use support::World;

const SECTION: &str = "001_deployment_section.py";
const LEFTOVERS: &str = "002_remove_old_deploy_leftovers.py";
const BEGIN: &str = "# Which versions this computer takes by itself";

/// A checkout with these migrations and nothing on record.
fn world() -> World {
    let world = World::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/v1.0.0");
    for name in [SECTION, LEFTOVERS] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        world.write(&format!("checkout/migrations/v1.0.0/{name}"), &text);
    }
    world
}

/// Runs them; returns the files of those that did something.
#[track_caller]
fn ran(world: &World) -> Vec<String> {
    scripts::state(world, "{}");
    let run = migrate(world, &["--from", "0.9.0", "--to", "1.0.0"]).exits(0).json();
    ids(&run["ran"]).iter().map(|id| id.trim_start_matches("1.0.0/").to_owned()).collect()
}

#[test]
fn they_are_sound() {
    let world = world();
    let lint = migrate(&world, &["lint"]).exits(0).tells("ok", None).json();
    assert_eq!(lint["scripts"], 2);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.join("v1.0.0"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| Path::new(name).extension().is_some());
    names.sort();
    assert_eq!(names, [SECTION, LEFTOVERS], "this test runs all of them");
    assert!(names.iter().all(|name| readme.contains(&format!("| `{name}` |"))));
}

#[test]
fn the_section_comes_behind_what_is_there_and_only_once() {
    let mut world = world();
    world.env("REDIS_PASSWORD", "secret");
    let host = include_str!("fixtures/host-config.yml");
    world.config(host);
    assert_eq!(ran(&world), [SECTION]);
    let after = world.read("checkout/config.yml");
    assert!(after.starts_with(host) && after[host.len()..].starts_with(&format!("\n{BEGIN}")), "{after}");
    world.run("version-watch", &["--check-config"]).exits(0);
    assert_eq!(ran(&world), [] as [&str; 0]);
    assert_eq!(world.read("checkout/config.yml"), after);
}

#[test]
fn a_file_that_has_the_section_or_no_place_for_it_stays() {
    for text in [
        "deployment:\n  channel: beta\n",
        "a: 1\n'deployment': {channel: beta}\n",
        "\"deployment\" : {}\n",
        "deployment:\n",
        "\u{feff}deployment: {channel: beta}\n",
        "  a: 1\n  deployment:\n    channel: beta\n",
        "{a: 1}\n",
        "--- {a: 1}\n",
        // The section may be there in disguise; a second one would make the file invalid.
        "a: 1\n\"deploy\\u006dent\": {}\n",
        "\"deploy\\u006dent\": {}\n",
        "a: 1\n&x deployment: {}\n",
        "a: 1\n!!str deployment: {}\n",
        "a: 1\n? deployment\n: {}\n",
    ] {
        let world = world();
        world.config(text);
        assert_eq!(ran(&world), [] as [&str; 0], "{text:?}");
        assert_eq!(world.read("checkout/config.yml"), text);
    }
    let world = world();
    assert_eq!(ran(&world), [] as [&str; 0], "without a file alpha is the default");
    assert!(!world.path("checkout/config.yml").exists());
}

#[test]
fn odd_files_get_a_section_that_is_read() {
    for (text, expected) in [
        ("", "# Which"),
        ("# only a comment\n", "# only a comment\n\n# Which"),
        ("a: 1", "a: 1\n\n# Which"),
        ("a: 1\r\nb: 2\r\n", "a: 1\r\nb: 2\r\n\r\n# Which"),
        ("---\na: 1\n", "---\na: 1\n\n# Which"),
        ("%YAML 1.2\n---\na: 1\n...\n", "%YAML 1.2\n---\na: 1\n\n# Which"),
        ("  a:\n    deployment: 1\n", "  a:\n    deployment: 1\n\n  # Which"),
        (
            "a: |\n  deployment:\n   x\n# deployment:\nb: deployment\n",
            "a: |\n  deployment:\n   x\n# deployment:\nb: deployment\n\n# Which",
        ),
        ("deployments: 1\nmy deployment: 2\n", "deployments: 1\nmy deployment: 2\n\n# Which"),
        ("a:\n- x\n- y\n", "a:\n- x\n- y\n\n# Which"),
        ("a: |\n  text\n\n\n", "a: |\n  text\n\n\n\n# Which"),
        ("a: |\n  text", "a: |\n  text\n\n# Which"),
        // No line ends in YAML.
        ("a: \"x\u{85}deployment: y\"\n", "a: \"x\u{85}deployment: y\"\n\n# Which"),
        ("a: \"x\u{2028}deployment: y\"\n", "a: \"x\u{2028}deployment: y\"\n\n# Which"),
        ("a: 1 #\u{c}deployment: 2\n", "a: 1 #\u{c}deployment: 2\n\n# Which"),
        ("a: 1\rb: 2\r", "a: 1\rb: 2\r\r# Which"),
        ("ключ: значение # ü\n", "ключ: значение # ü\n\n# Which"),
    ] {
        let world = world();
        world.config(text);
        assert_eq!(ran(&world), [SECTION], "{text:?}");
        let after = world.read("checkout/config.yml");
        assert!(after.starts_with(expected), "{text:?} became {after:?}");
        assert_eq!(
            after.matches("\r\n").count(),
            if text.contains("\r\n") { after.lines().count() } else { 0 }
        );
        // A wrong channel would be found, so the section is read.
        world.run("version-watch", &["--check-config"]).exits(0);
        world.config(&after.replace("channel: alpha", "channel: omega"));
        world.run("version-watch", &["--check-config"]).exits(2);
        world.config(&after);
        assert_eq!(ran(&world), [] as [&str; 0], "{text:?}");
    }
}

#[test]
fn mode_links_and_another_place_are_respected() {
    let mut world = world();
    world.write("etc/real.yml", "a: 1\n");
    fs::set_permissions(world.path("etc/real.yml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(world.path("etc/real.yml"), world.path("etc/link.yml")).unwrap();
    // What a killed try has left is taken over.
    world.write("etc/.real.yml.migration", "half");
    world.config("b: 1\n");
    for place in ["../etc/link.yml".to_owned(), world.path("etc/link.yml").to_str().unwrap().to_owned()] {
        world.write("etc/real.yml", "a: 1\n");
        world.env("TELECLAUDE_CONFIG_PATH", &place);
        assert_eq!(ran(&world), [SECTION]);
        assert!(world.read("etc/real.yml").starts_with("a: 1\n\n# Which"));
        assert_eq!(fs::metadata(world.path("etc/real.yml")).unwrap().permissions().mode() & 0o7777, 0o640);
    }
    assert!(world.path("etc/link.yml").is_symlink());
    assert!(!world.path("etc/.real.yml.migration").exists());
    assert_eq!(world.read("checkout/config.yml"), "b: 1\n");
}

#[test]
fn a_section_that_cannot_be_written_is_not_done() {
    let mut world = world();
    world.write("etc/config.yml", "a: 1\n");
    world.env("TELECLAUDE_CONFIG_PATH", world.path("etc/config.yml").to_str().unwrap());
    let folder = world.path("etc");
    let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    let is_not_done = || {
        scripts::state(&world, "{}");
        let run = migrate(&world, &["--from", "0.9.0", "--to", "1.0.0"]).exits(1).json();
        assert_eq!(run["failed"]["id"], format!("1.0.0/{SECTION}"));
        assert_eq!(run["failed"]["stage"], "migrate");
        let stored: serde_json::Value =
            serde_json::from_str(&world.read("home/.teleclaude/migration_state.json")).unwrap();
        assert_eq!(stored["applied"], serde_json::json!([]));
        assert_eq!(world.read("etc/config.yml"), "a: 1\n");
    };
    mode(0o555);
    // Root may write there all the same.
    if fs::write(folder.join("probe"), "").is_err() {
        is_not_done();
    }
    mode(0o755);
    // What nobody may: the name of the file that is to take the other's place is a folder's.
    world.write("etc/.config.yml.migration/full", "");
    is_not_done();
}

#[test]
fn only_what_the_earlier_deployment_left_is_removed() {
    let world = world();
    let own = std::process::id();
    // Larger than any process number.
    let (gone, alive) =
        (".migration_state.json.999999999.tmp".to_owned(), format!(".migration_state.json.{own}.tmp"));
    let kept = [
        "cron_state.json",
        ".migration_state.json.x.tmp",
        ".migration_state.json.12.tmp.old",
        ".tui.json.999999999.tmp",
        &alive,
    ];
    for name in kept.iter().copied().chain([gone.as_str()]) {
        world.write(&format!("home/.teleclaude/{name}"), "{}");
    }
    fs::create_dir(world.state().join(".migration_state.json.999999998.tmp")).unwrap();
    assert_eq!(ran(&world), [LEFTOVERS]);
    assert!(!world.state().join(&gone).exists());
    for name in kept {
        assert!(world.state().join(name).exists(), "{name}");
    }
    assert!(world.state().join(".migration_state.json.999999998.tmp").is_dir());
    assert_eq!(ran(&world), [] as [&str; 0]);
    // Its writer is said to be alive, and cannot be: it is two days old.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    fs::File::options().write(true).open(world.state().join(&alive)).unwrap().set_modified(old).unwrap();
    assert_eq!(ran(&world), [LEFTOVERS]);
    assert!(!world.state().join(&alive).exists());
}
