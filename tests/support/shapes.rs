//! An update with every kind of change that git knows, and a checkout that is about to get it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::World;

/// What the checkout follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    Alpha,
    Tags,
}

pub use Follows::{Alpha, Tags};

/// A checkout of 1.0.0, a release 1.1.0, and nothing signalled yet.
pub fn world(follows: Follows, broken_install: bool) -> World {
    let world = World::new();
    old(&world);
    world.release("1.0.0");
    world.git(&["pull", "--quiet"]);
    new(&world);
    if broken_install {
        let makefile = world.read("work/Makefile").replace("@echo install done", "@echo broken; exit 3");
        world.write("work/Makefile", &makefile);
    }
    world.release("1.1.0");
    settle(&world, follows);
    world
}

/// Takes a checkout of the old release to where its channel has it.
pub fn settle(world: &World, follows: Follows) {
    match follows {
        Alpha => world.config("deployment: {channel: alpha}\n"),
        Tags => {
            world.config("deployment: {channel: beta, source: tags}\n");
            world.git(&["fetch", "--quiet", "origin", "tag", "v1.0.0", "--no-tags"]);
            world.git(&["checkout", "--quiet", "--detach", "v1.0.0"]);
        }
    }
}

fn old(world: &World) {
    world.write("work/.gitattributes", "*.bat text eol=crlf\n");
    for (path, text) in [
        ("same.txt", "one\ntwo\n"),
        ("other.txt", "one\ntwo\n"),
        ("changed.txt", "old\n"),
        ("gone.txt", "old\n"),
        ("win.bat", "echo old\r\n"),
        ("mode.sh", "#!/bin/sh\n"),
        ("link-to-file", "a file later\n"),
        ("file-to-folder", "a folder later\n"),
        ("folder-to-file/inner.txt", "inner\n"),
        ("folder-to-file/deep/inner.txt", "inner\n"),
        ("emptied/only.txt", "only\n"),
        ("odd/new\nline.txt", "old\n"),
        ("odd/-dash [glob]*?.txt", "old\n"),
        ("odd/ü \"quoted\".txt", "old\n"),
    ] {
        world.write(&format!("work/{path}"), text);
    }
    fs::remove_file(world.path("work/link-to-file")).unwrap();
    symlink("same.txt", world.path("work/link-to-file")).unwrap();
    world.write("work/file-to-link", "a link later\n");
    symlink("same.txt", world.path("work/link-to-other")).unwrap();
}

fn new(world: &World) {
    let remove = |path: &str| fs::remove_file(world.path(&format!("work/{path}"))).unwrap();
    remove("gone.txt");
    remove("emptied/only.txt");
    remove("link-to-file");
    remove("link-to-other");
    remove("file-to-link");
    remove("file-to-folder");
    fs::remove_dir_all(world.path("work/folder-to-file")).unwrap();
    remove("odd/ü \"quoted\".txt");
    for (path, text) in [
        ("changed.txt", "new\n"),
        ("added.txt", "new\n"),
        ("newdir/sub/file.txt", "new\n"),
        ("win.bat", "echo new\r\n"),
        ("link-to-file", "a file now\n"),
        ("file-to-folder/inner.txt", "inner\n"),
        ("folder-to-file", "a file now\n"),
        ("odd/new\nline.txt", "new\n"),
        ("odd/-dash [glob]*?.txt", "new\n"),
        ("odd/another\ttab.txt", "new\n"),
    ] {
        world.write(&format!("work/{path}"), text);
    }
    symlink("gone.txt", world.path("work/file-to-link")).unwrap();
    symlink("other.txt", world.path("work/link-to-other")).unwrap();
    fs::set_permissions(world.path("work/mode.sh"), fs::Permissions::from_mode(0o755)).unwrap();
}
