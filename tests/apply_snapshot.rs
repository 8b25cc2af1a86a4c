//! The files of `snapshot`: what may be one.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Run, World};

#[test]
fn what_is_no_regular_file_is_refused_before_anything_changes() {
    let world = World::new();
    world.config("deployment:\n  snapshot: [pipe, link, folder]\n");
    let made = |tool: &str, args: &[&str]| {
        assert!(world.command(tool, &world.path("checkout")).args(args).status().unwrap().success());
    };
    made("mkfifo", &["pipe"]);
    made("ln", &["-s", "pipe", "link"]);
    made("mkdir", &["folder"]);
    let before = world.head();
    let run = world.run("version-watch", &["--check-config", "--json"]).exits(2);
    let message = run.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("config.yml:2: deployment.snapshot: pipe is there"), "{message}");
    world.run("apply-update", &["--json"]).exits(2);
    assert_eq!((world.head(), world.steps()), (before, vec![]));
}

const APPENDS: &str = "def check():\n    return 'new: 2' in open('config.yml').read()\n\
    def migrate():\n    open('config.yml', 'a').write('new: 2\\n')\n    return True\n";

/// Puts a file in the place of whatever is there.
const REPLACES: &str = "import os\ndef check():\n    return 'new: 2' in open('config.yml').read()\n\
    def migrate():\n    text = open('config.yml').read()\n    open('config.new', 'w').write(text + 'new: 2\\n')\n\
    \x20   os.replace('config.new', 'config.yml')\n    return True\n";

const MAKES_A_FOLDER: &str = "import os\ndef check():\n    return os.path.isdir('config.yml')\n\
    def migrate():\n    os.remove('config.yml')\n    os.mkdir('config.yml')\n    return True\n";

const SETTINGS: &str = "deployment: {channel: beta, source: tags}\n";

/// A release whose install does `meanwhile` and fails, with this migration, if there is one.
fn failing(migration: Option<&str>, meanwhile: &str) -> World {
    let world = World::new();
    world.config(SETTINGS);
    if let Some(script) = migration {
        world.write("work/migrations/v1.1.0/001_config.py", script);
    }
    let makefile = world.read("work/Makefile");
    world.write("work/Makefile", &makefile.replace("@echo install done", &format!("@{meanwhile}; exit 3")));
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    world
}

const EDIT: &str = "echo '# mine' >> config.yml";

#[test]
fn an_edit_of_ones_own_stays_where_no_migration_changed_the_file() {
    for migration in [None, Some("def check():\n    return True\ndef migrate():\n    return True\n")] {
        let world = failing(migration, EDIT);
        let run =
            world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
        assert_eq!(world.read("checkout/config.yml"), format!("{SETTINGS}# mine\n"));
        assert_eq!(run.json()["kept"], json!([]));
    }
}

#[test]
fn an_edit_of_ones_own_upon_what_a_migration_wrote_is_kept_beside_it() {
    let world = failing(Some(APPENDS), EDIT);
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(world.read("checkout/config.yml"), SETTINGS);
    let kept = run.json()["kept"][0].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), format!("{SETTINGS}new: 2\n# mine\n"));
    assert!(run.json()["message"].as_str().unwrap().contains(&kept), "{run:#?}");
}

/// Nobody can tell that it was only the migration; attempts that end alike leave one copy.
#[test]
fn what_a_migration_wrote_is_taken_back_and_kept_once() {
    let world = failing(Some(APPENDS), "true");
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    let first = run.json()["kept"].clone();
    assert_eq!(first.as_array().unwrap().len(), 1, "{run:#?}");
    assert_eq!(std::fs::read_to_string(first[0].as_str().unwrap()).unwrap(), format!("{SETTINGS}new: 2\n"));
    let run = world.run("apply-update", &["--json", "--retry"]).exits(1);
    assert_eq!((&run.json()["kept"], world.read("checkout/config.yml")), (&first, SETTINGS.to_owned()));
    assert_eq!(world.git(&["status", "--porcelain"]).lines().count(), 1);
}

/// Writes nothing of the snapshot, and takes its time.
const SLOW: &str = "import os, time\nBEGUN = os.environ['HOME'] + '/begun'\n\
    def check():\n    return os.path.exists(BEGUN)\n\
    def migrate():\n    open(BEGUN, 'w').close()\n    time.sleep(1)\n    return True\n";

#[test]
fn an_edit_of_ones_own_while_a_migration_runs_is_kept() {
    let world = failing(Some(SLOW), "true");
    let mut child = world.program("apply-update").arg("--json").stdout(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !world.path("home/begun").exists() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "the migration never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.config(&format!("{SETTINGS}# mine\n"));
    let run: Run = child.wait_with_output().unwrap().into();
    let run = run.exits(1).tells("rolled_back", Some("install_failed"));
    let kept = run.json()["kept"][0].as_str().unwrap_or_default().to_owned();
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), format!("{SETTINGS}# mine\n"), "{run:#?}");
    assert!(run.json()["message"].as_str().unwrap().contains(&kept), "{run:#?}");
}

#[test]
fn a_file_that_was_put_in_the_place_of_a_link_is_kept() {
    for migration in [None, Some(APPENDS)] {
        let world = failing(migration, "cp config.yml mine; echo '# mine' >> mine; mv mine config.yml");
        let (config, real) = linked(&world);
        let run =
            world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
        assert_eq!(std::fs::read_to_string(&real).unwrap(), SETTINGS);
        if migration.is_none() {
            // Nothing but its owner changed it.
            assert_eq!(std::fs::read_to_string(&config).unwrap(), format!("{SETTINGS}# mine\n"));
            assert_eq!(run.json()["kept"], json!([]));
            continue;
        }
        assert_eq!(std::fs::read_link(&config).unwrap(), Path::new("../real.yml"));
        let kept: Vec<String> = serde_json::from_value(run.json()["kept"].clone()).unwrap();
        let mine = kept.iter().find(|path| path.contains("config.yml.kept-")).unwrap();
        assert_eq!(std::fs::read_to_string(mine).unwrap(), format!("{SETTINGS}new: 2\n# mine\n"));
    }
}

#[test]
fn another_link_in_the_place_of_a_link_is_kept() {
    let world = failing(Some(APPENDS), "ln -sf ../theirs.yml config.yml");
    let (config, _) = linked(&world);
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(std::fs::read_link(&config).unwrap(), Path::new("../real.yml"));
    let kept: Vec<String> = serde_json::from_value(run.json()["kept"].clone()).unwrap();
    let theirs = kept.iter().find(|path| path.contains("config.yml.kept-")).unwrap();
    assert_eq!(std::fs::read_link(theirs).unwrap(), Path::new("../theirs.yml"), "{run:#?}");
}

/// Makes the configuration a link to a file outside the checkout.
fn linked(world: &World) -> (PathBuf, PathBuf) {
    let (config, real) = (world.path("checkout/config.yml"), world.path("real.yml"));
    std::fs::rename(&config, &real).unwrap();
    std::os::unix::fs::symlink("../real.yml", &config).unwrap();
    (config, real)
}

#[test]
fn a_link_that_a_migration_replaced_is_a_link_again() {
    let world = failing(Some(REPLACES), "true");
    let (config, _) = linked(&world);
    world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(std::fs::read_link(&config).unwrap(), Path::new("../real.yml"));
    assert_eq!(world.read("checkout/config.yml"), SETTINGS);
    assert_eq!(world.state_file("migration_state.json")["applied"], json!([]));
}

#[test]
fn a_folder_in_the_place_of_a_file_is_moved_aside() {
    let world = failing(Some(MAKES_A_FOLDER), "true");
    let run = world.run("apply-update", &["--json"]).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(world.read("checkout/config.yml"), SETTINGS);
    assert!(Path::new(run.json()["kept"][0].as_str().unwrap()).is_dir(), "{run:#?}");
}
