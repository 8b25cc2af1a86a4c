//! build.rs: which commit it tells, and that cargo builds again when that changes and only then.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::path::{Path, PathBuf};

use support::{Run, World};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A crate without dependencies that has our build.rs and prints what it tells.
struct Crate {
    world: World,
    dir: PathBuf,
}

impl Crate {
    /// Not in git.
    fn archive() -> Self {
        let world = World::empty();
        world.write(
            "crate/Cargo.toml",
            "[package]\nname = \"tells\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n",
        );
        world.write("crate/src/main.rs", "fn main() { print!(\"{}\", env!(\"TELECLAUDE_COMMIT\")); }\n");
        world.write("crate/.gitignore", "/target\nCargo.lock\n");
        world.write("crate/build.rs", &std::fs::read_to_string(root().join("build.rs")).unwrap());
        let dir = world.path("crate");
        Self { world, dir }
    }

    /// With one commit.
    fn repository() -> Self {
        let this = Self::archive();
        this.git(&["init", "--quiet", "--initial-branch=main", "."]);
        this.git(&["add", "--all"]);
        this.commit();
        this
    }

    fn git(&self, words: &[&str]) -> String {
        self.world.git_in(&self.dir, words)
    }

    fn commit(&self) {
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "more"]);
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])[..12].to_owned()
    }

    fn build(&self) -> Run {
        let mut cargo = self.world.command(root().join("scripts/cargo").to_str().unwrap(), &self.dir);
        cargo.args(["build", "--offline"]).output().unwrap().into()
    }

    /// Builds; whether the crate was compiled for that, and what it tells.
    #[track_caller]
    fn built(&self) -> (bool, String) {
        let run = self.build().exits(0);
        let program = self.dir.join("target/debug/tells");
        let told: Run = self.world.command(program.to_str().unwrap(), &self.dir).output().unwrap().into();
        (run.stderr.contains("Compiling tells"), told.exits(0).stdout)
    }

    /// Builds for HEAD, then has nothing to build.
    #[track_caller]
    fn follows_head(&self) {
        assert_eq!(self.built(), (true, self.head()));
        assert_eq!(self.built(), (false, self.head()), "nothing changed");
    }
}

#[test]
fn a_commit_is_told_and_builds_again() {
    let tells = Crate::repository();
    tells.follows_head();
    tells.commit();
    tells.follows_head();
    tells.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    tells.follows_head();
}

#[test]
fn a_packed_branch_is_followed() {
    let tells = Crate::repository();
    tells.git(&["pack-refs", "--all"]);
    tells.follows_head();
    tells.commit();
    tells.follows_head();
}

#[test]
fn a_packed_branch_is_followed_where_no_log_is_kept() {
    let tells = Crate::repository();
    tells.git(&["config", "core.logAllRefUpdates", "false"]);
    tells.git(&["checkout", "--quiet", "-b", "topic/one"]);
    std::fs::remove_dir_all(tells.dir.join(".git/logs")).unwrap();
    tells.git(&["pack-refs", "--all"]);
    tells.follows_head();
    tells.commit();
    tells.follows_head();
    tells.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    tells.follows_head();
}

#[test]
fn a_linked_work_tree_has_its_own_head() {
    let mut tells = Crate::repository();
    let main = tells.dir.clone();
    tells.git(&["worktree", "add", "--quiet", "-b", "other", "../other"]);
    tells.dir = tells.world.path("other");
    tells.follows_head();
    tells.world.git_in(&main, &["commit", "--quiet", "--allow-empty", "-m", "elsewhere"]);
    assert!(!tells.built().0, "another work tree's commit is none here");
    tells.commit();
    tells.follows_head();
}

#[test]
fn an_archive_has_no_commit_unless_it_is_named() {
    let mut tells = Crate::archive();
    assert_eq!(tells.built(), (true, String::new()));
    assert_eq!(tells.built(), (false, String::new()));
    tells.world.env("TELECLAUDE_BUILD_COMMIT", "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(tells.built(), (true, "0123456789ab".to_owned()));
    tells.world.env("TELECLAUDE_BUILD_COMMIT", "v1.0.0");
    let run = tells.build();
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("TELECLAUDE_BUILD_COMMIT must be a commit id"), "{run:#?}");
}

#[test]
fn the_repository_around_an_archive_is_not_asked() {
    let tells = Crate::archive();
    let around = tells.world.path(".");
    tells.world.git_in(&around, &["init", "--quiet", "--initial-branch=main", "."]);
    tells.world.git_in(&around, &["commit", "--quiet", "--allow-empty", "-m", "not ours"]);
    assert_eq!(tells.built().1, "");
}
