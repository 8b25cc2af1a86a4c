//! scripts/install.sh: the right archive, its checksum, all programs or none.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use support::{Run, World};

const PROGRAMS: [&str; 4] = ["apply-update", "run-migrations", "telec", "version-watch"];
const VERSION: &str = "9.9.9";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn install(world: &World, arguments: &[&str]) -> Run {
    let mut sh = world.command("sh", &world.path("."));
    sh.arg(root().join("scripts/install.sh")).args(arguments).output().unwrap().into()
}

/// What a release calls this machine.
fn target() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    format!("{}-{system}", std::env::consts::ARCH)
}

/// A release in `release/`, for this machine and another one, whose programs tell who they are.
fn release(program: &str) -> World {
    let world = World::empty();
    for target in [target(), "other-machine".to_owned()] {
        let name = format!("teleclaude-deployment-{VERSION}-{target}");
        for file in PROGRAMS {
            let path = format!("release/{name}/{file}");
            world.write(&path, &format!("#!/bin/sh\n{program}\necho {file} of {target}\n"));
            fs::set_permissions(world.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let release = world.path("release");
        let mut tar = world.command("tar", &release);
        assert!(tar.args(["-czf", &format!("{name}.tar.gz"), &name]).status().unwrap().success());
        fs::remove_dir_all(release.join(name)).unwrap();
    }
    sums(&world);
    world
}

fn sums(world: &World) {
    let mut sums = world.command(root().join("scripts/release-sums").to_str().unwrap(), &world.path("."));
    assert!(sums.arg("release").status().unwrap().success());
}

fn archive() -> String {
    format!("release/teleclaude-deployment-{VERSION}-{}.tar.gz", target())
}

fn url(world: &World) -> String {
    format!("file://{}", world.path("release").display())
}

/// Every name in a folder, hidden ones too.
fn names(world: &World, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(world.path(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
fn works(world: &World, folder: &str, of: &str) {
    assert_eq!(names(world, folder), PROGRAMS);
    for name in PROGRAMS {
        let program = world.path(folder).join(name);
        let run: Run = world.command(program.to_str().unwrap(), &world.path(".")).output().unwrap().into();
        assert_eq!(run.exits(0).stdout, format!("{name} of {of}\n"));
    }
}

/// Nothing is left in the home or where temporary files go.
#[track_caller]
fn nothing_is_left(world: &World) {
    assert_eq!(names(world, "home"), [] as [&str; 0]);
    assert_eq!(names(world, "tmp"), [] as [&str; 0]);
}

/// `release`, with a place of its own for temporary files.
fn with_tmp(program: &str) -> World {
    let mut world = release(program);
    fs::create_dir(world.path("tmp")).unwrap();
    let tmp = world.path("tmp");
    world.env("TMPDIR", tmp.to_str().unwrap());
    world
}

#[test]
fn the_programs_for_this_machine_are_installed() {
    let world = with_tmp("");
    let run = install(&world, &["--from", &url(&world)]).exits(0);
    works(&world, "home/.local/bin", &target());
    assert!(run.stdout.contains("note: ") && run.stdout.contains("is not on PATH"), "{run:#?}");
    assert_eq!(names(&world, "tmp"), [] as [&str; 0]);
    install(&world, &["--from", &url(&world), "--to", "else where", "--target", "other-machine"]).exits(0);
    works(&world, "else where", "other-machine");
}

#[test]
fn an_older_program_is_replaced_in_one_step() {
    let world = with_tmp("");
    world.write("bin/telec", "old");
    // Whoever has it open keeps the old one.
    fs::hard_link(world.path("bin/telec"), world.path("open")).unwrap();
    install(&world, &["--from", &url(&world), "--to", "bin"]).exits(0);
    works(&world, "bin", &target());
    assert_eq!(world.read("open"), "old");
}

#[test]
fn a_bad_checksum_leaves_nothing() {
    let world = with_tmp("");
    let mut bytes = fs::read(world.path(&archive())).unwrap();
    // Still an archive that can be unpacked.
    bytes.push(0);
    fs::write(world.path(&archive()), bytes).unwrap();
    let run = install(&world, &["--from", &url(&world)]).exits(1);
    assert!(run.stderr.contains("checksum") && run.stderr.contains("nothing was installed"), "{run:#?}");
    nothing_is_left(&world);
}

#[test]
fn a_program_that_does_not_run_here_leaves_nothing() {
    let world = with_tmp("exit 1");
    let run = install(&world, &["--from", &url(&world)]).exits(1);
    assert!(run.stderr.contains("does not run here: nothing was installed"), "{run:#?}");
    nothing_is_left(&world);
}

#[test]
fn what_the_release_does_not_have_is_said() {
    let world = with_tmp("");
    let run = install(&world, &["--from", &url(&world), "--target", "x86_64-unknown-plan9"]).exits(1);
    assert!(run.stderr.contains("has no archive for x86_64-unknown-plan9"), "{run:#?}");
    let text = world.read("release/SHA256SUMS");
    world.write("release/SHA256SUMS", &text.repeat(2));
    let run = install(&world, &["--from", &url(&world)]).exits(1);
    assert!(run.stderr.contains("more than one archive"), "{run:#?}");
    world.write("release/SHA256SUMS", &text);
    fs::remove_file(world.path(&archive())).unwrap();
    let run = install(&world, &["--from", &url(&world)]).exits(1);
    assert!(run.stderr.contains("cannot fetch") && run.stderr.lines().count() == 1, "{run:#?}");
    let run = install(&world, &["--from", "file:///nowhere"]).exits(1);
    assert!(run.stderr.contains("cannot fetch file:///nowhere/SHA256SUMS"), "{run:#?}");
    nothing_is_left(&world);
}

#[test]
fn wrong_usage_is_two() {
    let world = World::empty();
    for words in [&["--nonsense"][..], &["--to"], &["--to", ""]] {
        install(&world, words).exits(2);
    }
}

/// A web server for a folder, ended when dropped.
struct Server(Child, String);

impl Server {
    fn start(world: &World, folder: &str) -> Self {
        let mut python = world.command("python3", &world.path(folder));
        python.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]);
        let mut child = python.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split(" port ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        Self(child, format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_release_is_fetched_over_http() {
    let world = with_tmp("");
    let server = Server::start(&world, "release");
    install(&world, &["--from", &server.1, "--to", "bin"]).exits(0);
    works(&world, "bin", &target());
    let run = install(&world, &["--from", &format!("{}/none", server.1)]).exits(1);
    assert!(run.stderr.contains("cannot fetch http://127.0.0.1"), "{run:#?}");
    nothing_is_left(&world);
}

#[test]
fn the_repository_is_the_one_of_the_crate() {
    let text = fs::read_to_string(root().join("scripts/install.sh")).unwrap();
    let named = text.lines().find_map(|line| line.strip_prefix("REPOSITORY=")).unwrap();
    assert_eq!(format!("https://github.com/{named}"), env!("CARGO_PKG_REPOSITORY"));
}
