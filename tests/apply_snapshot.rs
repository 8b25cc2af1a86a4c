//! The files of `snapshot`: what may be one.

mod support;

use support::World;

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
