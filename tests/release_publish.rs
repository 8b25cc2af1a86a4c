//! scripts/release-publish: a draft until everything is there, finished by the next try, and never
//! changed once it is published. A stand-in for `gh` keeps one release in a file.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::{Run, World};

/// `gh release …` as far as it is used; `fail` beside it names a file that cannot be uploaded, or a
/// word that is refused.
const GH: &str = r#"#!/usr/bin/env python3
import json, os, sys
place = os.path.dirname(os.path.abspath(__file__))
store, fail = os.path.join(place, "release.json"), os.path.join(place, "fail")
assert sys.argv[1] == "release", sys.argv
word, tag, rest = sys.argv[2], sys.argv[3], sys.argv[4:]
with open(os.path.join(place, "log"), "a") as log:
    print(word, file=log)
failing = open(fail).read().strip() if os.path.exists(fail) else None
if word == failing:
    sys.exit("HTTP 502: no luck today")
release = json.load(open(store)) if os.path.exists(store) else None
if word == "view":
    if release is None or release["tag"] != tag:
        sys.exit("release not found")
    assert rest == ["--json", "isDraft,assets", "--jq", ".isDraft, .assets[].name"], rest
    print("true" if release["draft"] else "false", *sorted(release["assets"]), sep="\n")
    sys.exit()
if word == "create":
    assert release is None and "--draft" in rest and "--verify-tag" in rest, rest
    release = {"tag": tag, "draft": True, "assets": {}, "pre": "--prerelease" in rest}
elif word == "upload":
    for path in [word for word in rest if word != "--clobber"]:
        name = os.path.basename(path)
        if name == failing:
            json.dump(release, open(store, "w"))
            sys.exit("HTTP 500: upload failed")
        assert name not in release["assets"] or "--clobber" in rest, name
        release["assets"][name] = open(path).read()
elif word == "delete-asset":
    del release["assets"][rest[0]]
    assert "--yes" in rest
elif word == "edit":
    release["notes"] = open(rest[rest.index("--notes-file") + 1]).read()
    release["draft"] = "--draft=false" not in rest
else:
    sys.exit(f"unknown word {word}")
json.dump(release, open(store, "w"))
"#;

fn world() -> World {
    let mut world = World::empty();
    world.write("gh/gh", GH);
    fs::set_permissions(world.path("gh/gh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", world.path("gh").display(), std::env::var("PATH").unwrap());
    world.env("PATH", &path);
    for (name, text) in
        [("a.tar.gz", "a"), ("b.json", "b"), ("SHA256SUMS", "s"), ("notes.md", "What is new.")]
    {
        world.write(&format!("files/{name}"), text);
    }
    world
}

fn publish(world: &World, tag: &str) -> Run {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/release-publish");
    world.command(script.to_str().unwrap(), &world.path(".")).args([tag, "files"]).output().unwrap().into()
}

fn release(world: &World) -> Value {
    serde_json::from_str(&world.read("gh/release.json")).unwrap()
}

fn whole(pre: bool) -> Value {
    let tag = if pre { "v1.0.0-rc.1" } else { "v1.0.0" };
    let assets = json!({"a.tar.gz": "a", "b.json": "b", "SHA256SUMS": "s"});
    json!({"tag": tag, "draft": false, "pre": pre, "notes": "What is new.", "assets": assets})
}

fn fails(world: &World, what: &str) {
    world.write("gh/fail", what);
}

#[test]
fn a_release_is_published_last_of_all() {
    let world = world();
    publish(&world, "v1.0.0").exits(0);
    assert_eq!(release(&world), whole(false));
    let log = world.read("gh/log");
    assert_eq!(log.lines().collect::<Vec<_>>(), ["view", "create", "upload", "edit"]);
}

#[test]
fn a_prerelease_is_called_one() {
    let world = world();
    publish(&world, "v1.0.0-rc.1").exits(0);
    assert_eq!(release(&world), whole(true));
}

#[test]
fn a_half_failed_release_is_finished_by_the_next_try() {
    for what in ["a.tar.gz", "b.json", "edit", "create", "view"] {
        let world = world();
        fails(&world, what);
        let run = publish(&world, "v1.0.0");
        assert_ne!(run.code, 0, "{what}: {run:#?}");
        assert!(run.stderr.contains("HTTP 50"), "{what}: {run:#?}");
        if !["create", "view"].contains(&what) {
            assert_eq!(release(&world)["draft"], true, "{what}: nobody sees half of a release");
        }
        fails(&world, "");
        world.write("files/a.tar.gz", "built again");
        publish(&world, "v1.0.0").exits(0);
        let mut expected = whole(false);
        expected["assets"]["a.tar.gz"] = json!("built again");
        assert_eq!(release(&world), expected, "{what}");
    }
}

#[test]
fn what_only_an_earlier_try_had_goes_from_the_draft() {
    let world = world();
    world.write("files/migrations-1.0.0.json", "{}");
    fails(&world, "edit");
    assert_ne!(publish(&world, "v1.0.0").code, 0);
    assert_eq!(release(&world)["assets"]["migrations-1.0.0.json"], "{}");
    fs::remove_file(world.path("files/migrations-1.0.0.json")).unwrap();
    fails(&world, "");
    publish(&world, "v1.0.0").exits(0);
    assert_eq!(release(&world), whole(false));
}

#[test]
fn a_published_release_is_never_changed() {
    let world = world();
    publish(&world, "v1.0.0").exits(0);
    world.write("files/a.tar.gz", "built again");
    let run = publish(&world, "v1.0.0").exits(0);
    assert_eq!(run.stdout, "v1.0.0 is published already\n");
    world.write("files/more.json", "");
    let run = publish(&world, "v1.0.0").exits(1);
    assert!(run.stderr.contains("published without: more.json"), "{run:#?}");
    assert_eq!(release(&world), whole(false));
}

#[test]
fn a_release_without_files_has_its_notes() {
    let world = world();
    for name in ["a.tar.gz", "b.json", "SHA256SUMS"] {
        fs::remove_file(world.path("files").join(name)).unwrap();
    }
    publish(&world, "v1.0.0").exits(0);
    assert_eq!((&release(&world)["draft"], &release(&world)["assets"]), (&json!(false), &json!({})));
    fs::remove_file(world.path("files/notes.md")).unwrap();
    publish(&world, "v1.0.0").exits(2);
}
