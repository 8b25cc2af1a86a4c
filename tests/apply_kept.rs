//! What somebody puts where an update works, while it works or between a kill and the next run: it
//! is moved beside itself and told, whatever it is, and never written over.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Run, World};

const PRECIOUS: &str = "an hour of work\n";

/// A world whose checkout has `old`; `new` changes `work` into the next version, whose install does
/// `meanwhile`, as if somebody typed it then, and fails.
fn failing(old: &[&str], new: impl FnOnce(&World), meanwhile: &str) -> World {
    let world = World::new();
    released(&world, old);
    let makefile = world.read("work/Makefile");
    let breaks = format!("@test -e back || {{ {meanwhile}; touch back; exit 3; }}");
    world.write("work/Makefile", &makefile.replace("@echo install done", &breaks));
    world.write("work/.gitignore", "config.yml\nback\n");
    new(&world);
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    world
}

fn released(world: &World, files: &[&str]) {
    files.iter().for_each(|file| world.write(&format!("work/{file}"), "old\n"));
    world.commit("first");
    world.git(&["pull", "--quiet"]);
}

/// A world whose run was killed while git wrote `zz`, the last file of the next version.
fn killed_in_checkout(old: &[&str], new: impl FnOnce(&World), settings: &str) -> World {
    let world = World::new();
    world.config(&format!("deployment: {{channel: alpha{settings}}}\n"));
    released(&world, old);
    let here = world.path("home/writes");
    let here = here.display();
    let waits = format!("sh -c 'test -e {here} || {{ touch {here}; sleep 20; }}; cat'");
    world.git(&["config", "filter.slow.smudge", &waits]);
    world.git(&["config", "filter.slow.clean", "cat"]);
    world.write("checkout/.git/info/attributes", "zz filter=slow\n");
    new(&world);
    world.write("work/zz", "new\n");
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let mut child = world.program("apply-update").stdout(std::process::Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !world.path("home/writes").exists() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it never wrote zz");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.state_file("apply_journal.json")["phase"], "checking_out");
    world
}

fn apply(world: &World) -> Run {
    world.run("apply-update", &["--json"])
}

/// What the run says it kept.
fn kept(run: &Run) -> Vec<String> {
    let json = run.json();
    let names = json["kept"].as_array().cloned().unwrap_or_default();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The one thing that was kept; the sentence tells it too.
#[track_caller]
fn the_kept(run: &Run) -> String {
    let found = kept(run);
    assert_eq!(found.len(), 1, "{run:#?}");
    assert!(text(&run.json()["message"]).contains(&found[0]), "{run:#?}");
    found[0].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn content(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

fn remove(world: &World, path: &str) {
    fs::remove_file(world.path(path)).unwrap();
}

#[test]
fn a_folder_where_the_old_version_has_a_file_is_moved_aside_with_all_in_it() {
    let meanwhile = format!("mkdir -p data/deep; echo '{}' > data/deep/db", PRECIOUS.trim());
    let world = failing(&["data"], |world| remove(world, "work/data"), &meanwhile);
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(content(Path::new(&the_kept(&run)).join("deep/db")), PRECIOUS);
    assert_eq!(world.read("checkout/data"), "old\n");
}

#[test]
fn a_file_where_the_old_version_has_a_folder_is_moved_aside() {
    let meanwhile = format!("echo '{}' > cache", PRECIOUS.trim());
    let new = |world: &World| fs::remove_dir_all(world.path("work/cache")).unwrap();
    let world = failing(&["cache/deep/.keep", "cache/.keep"], new, &meanwhile);
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(content(the_kept(&run)), PRECIOUS);
    assert_eq!(world.read("checkout/cache/deep/.keep"), "old\n");
}

#[test]
fn a_link_where_the_old_version_has_a_folder_is_moved_aside_and_what_it_leads_to_is_left() {
    let meanwhile = format!("mkdir ../big; echo '{}' > ../big/.keep; ln -s ../big cache", PRECIOUS.trim());
    let new = |world: &World| fs::remove_dir_all(world.path("work/cache")).unwrap();
    let world = failing(&["cache/.keep"], new, &meanwhile);
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(fs::read_link(the_kept(&run)).unwrap(), Path::new("../big"));
    assert_eq!(
        (world.read("checkout/cache/.keep"), world.read("big/.keep")),
        ("old\n".into(), PRECIOUS.into())
    );
}

#[test]
fn a_pipe_where_the_old_version_has_a_file_does_not_stop_the_way_back() {
    let world = failing(&["data"], |world| world.write("work/data", "new\n"), "rm data; mkfifo data");
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert!(Path::new(&the_kept(&run)).exists());
    assert_eq!(world.read("checkout/data"), "old\n");
}

#[test]
fn a_file_of_ones_own_in_a_folder_that_becomes_a_file_is_moved_aside() {
    let new = |world: &World| {
        fs::remove_dir_all(world.path("work/cache")).unwrap();
        world.write("work/cache", "new\n");
    };
    let world = killed_in_checkout(&["cache/.keep"], new, "");
    remove(&world, "checkout/cache");
    world.write("checkout/cache/db", PRECIOUS);
    world.write("checkout/cache/.keep", "edited\n");
    let run = apply(&world).exits(42).tells("updated", None);
    let found = kept(&run);
    assert_eq!(found.len(), 2, "{run:#?}");
    assert!(
        found.iter().any(|path| fs::read_to_string(path).is_ok_and(|text| text == "edited\n")),
        "{run:#?}"
    );
    let folder = found.iter().find(|path| Path::new(path).is_dir()).unwrap();
    assert_eq!(content(Path::new(folder).join("db")), PRECIOUS);
    assert_eq!(world.read("checkout/cache"), "new\n");
}

#[test]
fn a_folder_where_the_update_adds_a_file_is_moved_aside() {
    let world = killed_in_checkout(&["zz"], |world| world.write("work/zzz", "new\n"), "");
    let _ = fs::remove_file(world.path("checkout/zzz"));
    world.write("checkout/zzz/work.txt", PRECIOUS);
    let run = apply(&world).exits(42).tells("updated", None);
    assert_eq!(content(Path::new(&the_kept(&run)).join("work.txt")), PRECIOUS);
    assert_eq!(world.read("checkout/zzz"), "new\n");
}

#[test]
fn two_edits_of_one_file_leave_two_copies() {
    let edits = ", install: [sh, -c, 'test -e ../ok || { echo second > notes.txt; touch ../ok; exit 3; }']";
    let world = killed_in_checkout(&["notes.txt"], |world| world.write("work/notes.txt", "new\n"), edits);
    world.write("checkout/notes.txt", "first\n");
    let run = apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    let mut found: Vec<String> = kept(&run).iter().map(content).collect();
    found.sort();
    assert_eq!(found, ["first\n", "second\n"], "{run:#?}");
    assert_eq!(world.read("checkout/notes.txt"), "old\n");
}

#[test]
fn what_was_kept_is_told_where_the_update_succeeds() {
    let world = killed_in_checkout(&["notes.txt"], |world| world.write("work/notes.txt", "new\n"), "");
    world.write("checkout/notes.txt", PRECIOUS);
    let run = apply(&world).exits(42).tells("updated", None);
    let place = the_kept(&run);
    assert_eq!(content(&place), PRECIOUS);
    for told in ["deploy_status.json", "deploy_history.jsonl"] {
        assert!(world.read(&format!("home/.teleclaude/{told}")).contains(&place), "{told}");
    }
}

/// A world whose checkout hit its deadline half-way, with `rollback: false`.
fn stopped_half_way() -> World {
    let world = World::new();
    world.config("deployment: {channel: alpha, rollback: false, timeouts: {checkout: 1s}}\n");
    released(&world, &["a.txt", "changed.txt", "gone.txt", "zz"]);
    let waits = format!("sh -c 'test -e {} || sleep 20; cat'", world.path("ok").display());
    world.git(&["config", "filter.slow.smudge", &waits]);
    world.git(&["config", "filter.slow.clean", "cat"]);
    world.write("checkout/.git/info/attributes", "zz filter=slow\n");
    for file in ["a.txt", "changed.txt", "added.txt", "zz"] {
        world.write(&format!("work/{file}"), "new\n");
    }
    remove(&world, "work/gone.txt");
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    apply(&world).exits(1).tells("failed", Some("checkout_failed"));
    assert_eq!(world.read("checkout/changed.txt"), "new\n", "it is half written");
    world.write("ok", "");
    world
}

#[test]
fn a_checkout_that_stopped_half_way_is_gone_on_with() {
    let world = stopped_half_way();
    world.write("checkout/changed.txt", PRECIOUS);
    apply(&world).exits(0).tells("deferred", Some("backing_off"));
    let run = world.run("apply-update", &["--json", "--plan", "--retry"]).exits(0);
    assert!(text(&run.json()["message"]).contains("would go on from checkout"), "{run:#?}");
    let run = world.run("apply-update", &["--json", "--retry"]).exits(42).tells("updated", None);
    assert_eq!(content(the_kept(&run)), PRECIOUS);
    assert_eq!(world.git(&["status", "--porcelain"]).lines().count(), 1, "only what was kept");
    assert_eq!(world.read("checkout/zz"), "new\n");
}

#[test]
fn files_of_a_checkout_that_stopped_are_no_edits_to_another_target() {
    let world = stopped_half_way();
    world.write("checkout/changed.txt", PRECIOUS);
    world.write("work/changed.txt", "newest\n");
    let target = world.commit("third");
    world.run("version-watch", &[]).exits(0);
    let run = apply(&world).exits(42).tells("updated", None);
    assert_eq!(content(the_kept(&run)), PRECIOUS);
    assert_eq!((world.head(), world.read("checkout/changed.txt")), (target, "newest\n".to_owned()));
    assert_eq!(world.git(&["status", "--porcelain"]).lines().count(), 1, "only what was kept");
}
