//! Every state a checkout can be in, on both kinds of channel: what comes of an update, and that
//! whatever is refused or undone leaves the checkout as it was.
#![allow(clippy::disallowed_methods, reason = "tests write files and move folders")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;
use support::prints::{self, Prints};
use support::shapes::{self, Alpha, Follows, Tags};
use support::{Run, World};

const BOTH: [Follows; 2] = [Alpha, Tags];

/// A world with the update on signal.
fn signalled(follows: Follows) -> World {
    let world = shapes::world(follows, false);
    watch(&world);
    world
}

#[track_caller]
fn watch(world: &World) {
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
}

/// The update is refused and nothing is touched.
#[track_caller]
fn refused(world: &World, case: &str, reason: &str, files: &[&str]) -> Run {
    let before = prints::of(world);
    let run = stops(world, &before, case, 3, "blocked", reason);
    let json = run.json();
    let told = json["files"].as_array().cloned().unwrap_or_default();
    assert_eq!(json!(told), json!(files), "{case}: {json:#}");
    assert_eq!(world.state_file("deploy_status.json")["status"], "blocked", "{case}");
    run
}

#[track_caller]
fn stops(world: &World, before: &Prints, case: &str, exit: i32, outcome: &str, reason: &str) -> Run {
    let run = world.run("apply-update", &["--json"]);
    assert_eq!(
        (run.code, run.json()["outcome"].as_str(), run.json()["reason"].as_str()),
        (exit, Some(outcome), Some(reason)),
        "{case}: {run:#?}"
    );
    before.hold(world, case);
    assert_eq!(world.steps(), Vec::<String>::new(), "{case}: no step is run");
    assert!(world.state_file("apply_journal.json").is_null(), "{case}: no transaction is left");
    run
}

/// The update goes through: every file is the release's but for `edits`, which are as they were.
#[track_caller]
fn goes(world: &World, case: &str, edits: &[&str]) -> Run {
    let before = prints::tree(&world.checkout());
    let staged = world.git(&["diff", "--cached", "--name-only", "-z"]);
    let unstaged = world.git(&["diff", "--name-only", "-z"]);
    let run = world.run("apply-update", &["--json"]);
    assert_eq!((run.code, run.json()["outcome"].as_str()), (42, Some("updated")), "{case}: {run:#?}");
    let mut expected = prints::tree(&world.path("work"));
    for (path, was) in &before {
        let own = edits.iter().any(|edit| Path::new(edit) == path) || path == Path::new("config.yml");
        if own {
            expected.insert(path.clone(), was.clone());
        }
    }
    for gone in edits.iter().filter(|edit| !before.contains_key(Path::new(*edit))) {
        expected.remove(Path::new(gone));
    }
    without_folders(&mut expected);
    let mut now = prints::tree(&world.checkout());
    without_folders(&mut now);
    prints::assert_same_tree(&expected, &now, case);
    assert_eq!(world.git(&["diff", "--cached", "--name-only", "-z"]), staged, "{case}: staged stays staged");
    assert_eq!(world.git(&["diff", "--name-only", "-z"]), unstaged, "{case}: and the rest does not");
    assert_eq!(world.steps(), ["install", "restart", "status"], "{case}");
    assert_eq!(world.state_file("deploy_status.json")["status"], "deployed", "{case}");
    run
}

/// Modes of folders and of files under another umask are not git's.
fn without_folders(tree: &mut prints::Tree) {
    tree.retain(|_, (mode, _)| *mode & 0o170_000 != 0o040_000);
    tree.values_mut().for_each(|(mode, _)| *mode &= 0o170_100);
}

/// git that may fail, as a conflict does.
fn git_may_fail(world: &World, arguments: &[&str]) {
    world.command("git", &world.checkout()).args(arguments).output().unwrap();
}

#[test]
fn a_clean_checkout_takes_every_kind_of_change() {
    for follows in BOTH {
        let world = signalled(follows);
        let run = goes(&world, &format!("{follows:?}"), &[]);
        assert_eq!(world.git(&["status", "--porcelain"]), "");
        assert_eq!(run.json()["local_edits"], json!([]));
        let bat = fs::read(world.path("checkout/win.bat")).unwrap();
        assert_eq!(bat, b"echo new\r\n", "line ends as the attributes want them");
        let branch = world.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
        assert_eq!(branch, if follows == Alpha { "main" } else { "HEAD" });
    }
}

#[test]
fn edits_apart_are_left_alone() {
    for follows in BOTH {
        let world = signalled(follows);
        world.write("checkout/same.txt", "one\nmine\r\n");
        world.write("checkout/other.txt", "staged\n");
        world.write("checkout/mine.txt", "staged and new\n");
        world.git(&["add", "other.txt", "mine.txt"]);
        world.write("checkout/other.txt", "staged\nand more\n");
        world.write("checkout/notes/untracked.txt", "mine\n");
        fs::remove_file(world.path("checkout/.gitignore")).unwrap();
        fs::create_dir_all(world.path("checkout/.git/info")).unwrap();
        world.write("checkout/.git/info/exclude", "config.yml\n");
        let edits = ["same.txt", "other.txt", "mine.txt", "notes/untracked.txt", ".gitignore"];
        let staged = world.git(&["show", ":other.txt"]);
        let run = goes(&world, &format!("{follows:?}"), &edits);
        assert_eq!(world.git(&["show", ":other.txt"]), staged);
        assert_eq!(
            run.json()["local_edits"],
            json!([".gitignore", "mine.txt", "other.txt", "same.txt"]),
            "{run:#?}"
        );
    }
}

/// The checkout as it was before a case was arranged in it.
fn put_back(world: &World) {
    for file in ["index", "info/exclude"] {
        let path = world.checkout().join(".git").join(file);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    fs::create_dir_all(world.path("checkout/.git/info")).unwrap();
    world.git(&["reset", "--quiet", "--hard"]);
    world.git(&["clean", "--quiet", "-fdx", "--exclude=config.yml"]);
    assert_eq!(world.git(&["status", "--porcelain"]), "");
}

#[test]
fn edits_in_the_way_are_named() {
    type Arrange = fn(&World);
    let cases: &[(&str, Arrange, &[&str])] = &[
        ("edited", |w| w.write("checkout/changed.txt", "mine\n"), &["changed.txt"]),
        (
            "staged",
            |w| {
                w.write("checkout/changed.txt", "mine\n");
                w.git(&["add", "changed.txt"]);
            },
            &["changed.txt"],
        ),
        (
            "staged like the new one",
            |w| {
                w.write("checkout/changed.txt", "new\n");
                w.git(&["add", "changed.txt"]);
            },
            &["changed.txt"],
        ),
        (
            "staged, and put back in the tree",
            |w| {
                w.write("checkout/changed.txt", "mine\n");
                w.git(&["add", "changed.txt"]);
                w.write("checkout/changed.txt", "old\n");
            },
            &["changed.txt"],
        ),
        ("removed", |w| fs::remove_file(w.path("checkout/changed.txt")).unwrap(), &["changed.txt"]),
        ("edited where it goes", |w| w.write("checkout/gone.txt", "mine\n"), &["gone.txt"]),
        (
            "edited in a folder that becomes a file",
            |w| w.write("checkout/folder-to-file/inner.txt", "mine\n"),
            &["folder-to-file/inner.txt"],
        ),
        (
            "assume-unchanged",
            |w| {
                w.git(&["update-index", "--assume-unchanged", "changed.txt"]);
                w.write("checkout/changed.txt", "mine\n");
            },
            &["changed.txt"],
        ),
        (
            "skip-worktree",
            |w| {
                w.git(&["update-index", "--skip-worktree", "changed.txt"]);
                w.write("checkout/changed.txt", "mine\n");
            },
            &["changed.txt"],
        ),
        (
            "assume-unchanged link",
            |w| {
                w.git(&["update-index", "--assume-unchanged", "link-to-other"]);
                fs::remove_file(w.path("checkout/link-to-other")).unwrap();
                std::os::unix::fs::symlink("changed.txt", w.path("checkout/link-to-other")).unwrap();
            },
            &["link-to-other"],
        ),
        (
            "mode",
            |w| {
                fs::set_permissions(w.path("checkout/changed.txt"), fs::Permissions::from_mode(0o755))
                    .unwrap();
            },
            &["changed.txt"],
        ),
        (
            "intent to add",
            |w| {
                w.write("checkout/added.txt", "mine\n");
                w.git(&["add", "--intent-to-add", "added.txt"]);
            },
            &["added.txt"],
        ),
        ("odd name", |w| w.write("checkout/odd/new\nline.txt", "mine\n"), &["odd/new\nline.txt"]),
    ];
    for follows in BOTH {
        let world = signalled(follows);
        for (case, arrange, files) in cases {
            put_back(&world);
            arrange(&world);
            refused(&world, &format!("{follows:?} {case}"), "dirty_overlap", files);
        }
    }
}

#[test]
fn untracked_files_in_the_way_are_named() {
    type Arrange = fn(&World);
    let cases: &[(&str, Arrange, &[&str])] = &[
        ("plain", |w| w.write("checkout/added.txt", "mine\n"), &["added.txt"]),
        ("the same content", |w| w.write("checkout/added.txt", "new\n"), &["added.txt"]),
        (
            "ignored",
            |w| {
                w.write("checkout/.git/info/exclude", "added.txt\n");
                w.write("checkout/added.txt", "mine\n");
            },
            &["added.txt"],
        ),
        ("a file where a folder goes", |w| w.write("checkout/newdir", "mine\n"), &["newdir"]),
        ("a folder where a file goes", |w| w.write("checkout/added.txt/x", "mine\n"), &["added.txt"]),
        (
            "a link where a folder goes",
            |w| {
                std::os::unix::fs::symlink("odd", w.path("checkout/newdir")).unwrap();
            },
            &["newdir"],
        ),
        (
            "a dangling link",
            |w| {
                std::os::unix::fs::symlink("nowhere", w.path("checkout/added.txt")).unwrap();
            },
            &["added.txt"],
        ),
        (
            "in a folder that becomes a file",
            |w| {
                w.write("checkout/folder-to-file/mine.txt", "mine\n");
            },
            &["folder-to-file/mine.txt"],
        ),
        (
            "ignored in a folder that becomes a file",
            |w| {
                w.write("checkout/.git/info/exclude", "*.log\n");
                w.write("checkout/folder-to-file/deep/mine.log", "mine\n");
            },
            &["folder-to-file/deep/mine.log"],
        ),
        ("odd name", |w| w.write("checkout/odd/another\ttab.txt", "mine\n"), &["odd/another\ttab.txt"]),
    ];
    for follows in BOTH {
        let world = signalled(follows);
        for (case, arrange, files) in cases {
            put_back(&world);
            arrange(&world);
            refused(&world, &format!("{follows:?} {case}"), "untracked_collision", files);
        }
    }
}

#[test]
fn untracked_files_beside_the_update_stay() {
    for follows in BOTH {
        let world = signalled(follows);
        world.write("checkout/emptied/mine.txt", "mine\n");
        goes(&world, &format!("{follows:?}"), &["emptied/mine.txt"]);
    }
}

#[test]
fn commits_of_ones_own() {
    // On the branch.
    let world = signalled(Alpha);
    commit(&world, "mine");
    refused(&world, "alpha, on the branch", "diverged", &[]);
    let world = signalled(Tags);
    world.git(&["switch", "--quiet", "main"]);
    commit(&world, "mine");
    let mine = world.head();
    goes(&world, "tags, on the branch", &[]);
    assert_eq!(world.git(&["rev-parse", "main"]), mine, "the branch keeps it");
    // On no branch.
    for follows in BOTH {
        let world = signalled(follows);
        world.git(&["switch", "--quiet", "--detach"]);
        commit(&world, "mine");
        refused(&world, &format!("{follows:?}, detached"), "local_commits", &[]);
        world.git(&["branch", "my-work"]);
        goes(&world, &format!("{follows:?}, kept on a branch"), &[]);
    }
}

fn commit(world: &World, subject: &str) {
    world.write("checkout/same.txt", &format!("{subject}\n"));
    world.git(&["commit", "--quiet", "-am", subject]);
    // What was committed is no difference to the release that the test compares with.
    let text = "one\ntwo\n";
    world.write("checkout/same.txt", text);
    world.git(&["commit", "--quiet", "-am", "and back"]);
}

#[test]
fn a_remote_that_no_longer_holds_what_it_promised() {
    let rewrite = |world: &World, commands: &[&[&str]]| {
        for command in commands {
            world.git_in(&world.path("work"), command);
        }
    };
    let world = signalled(Alpha);
    rewrite(
        &world,
        &[&["commit", "--amend", "--quiet", "-m", "rewritten"], &["push", "-q", "-f", "origin", "main"]],
    );
    refused(&world, "rewritten", "diverged", &[]);
    assert!(world.state_file("update_available.json").is_null(), "the offer does not hold");
    let world = signalled(Alpha);
    rewrite(&world, &[&["push", "-q", "-f", "origin", "HEAD~1:main"]]);
    refused(&world, "rolled back", "rolled_back_remote", &[]);
    assert!(world.state_file("update_available.json").is_null());
    let world = signalled(Tags);
    rewrite(&world, &[&["tag", "-f", "v1.1.0", "HEAD~1"], &["push", "-q", "-f", "origin", "v1.1.0"]]);
    refused(&world, "moved", "tag_moved", &[]);
    assert!(world.state_file("update_available.json").is_null());
    let world = signalled(Tags);
    world.git(&["tag", "v1.1.0", "HEAD"]);
    refused(&world, "another tag here", "tag_moved", &[]);
    let world = signalled(Tags);
    rewrite(&world, &[&["push", "-q", "-d", "origin", "v1.1.0"]]);
    let before = prints::of(&world);
    stops(&world, &before, "removed", 75, "unreachable", "tag_missing");
    assert!(!world.state_file("update_available.json").is_null());
    // What happens to the branch does not concern a tag, and the other way round.
    let world = signalled(Tags);
    rewrite(&world, &[&["push", "-q", "-f", "origin", "HEAD~1:main"]]);
    goes(&world, "tags, branch rolled back", &[]);
    let world = signalled(Alpha);
    rewrite(&world, &[&["tag", "-f", "v1.1.0", "HEAD~1"], &["push", "-q", "-f", "origin", "v1.1.0"]]);
    goes(&world, "alpha, tag moved", &[]);
}

#[test]
fn where_head_is() {
    for follows in BOTH {
        let world = signalled(follows);
        world.git(&["switch", "--quiet", "-c", "topic"]);
        refused(&world, &format!("{follows:?}"), "wrong_branch", &[]);
    }
    let world = signalled(Alpha);
    world.git(&["switch", "--quiet", "--detach"]);
    goes(&world, "from detached to the branch that is there", &[]);
    assert_eq!(world.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    let world = signalled(Alpha);
    world.git(&["switch", "--quiet", "--detach"]);
    world.git(&["branch", "-q", "-D", "main"]);
    goes(&world, "from detached to a branch that is not there", &[]);
    assert_eq!(world.git(&["symbolic-ref", "--short", "HEAD"]), "main");
    let world = signalled(Alpha);
    commit(&world, "mine");
    world.git(&["switch", "--quiet", "--detach", "HEAD~2"]);
    refused(&world, "detached, the branch has commits of its own", "diverged", &[]);
}

#[test]
fn operations_under_way_and_locks() {
    let cases: &[(&str, &[&str])] = &[
        ("merge", &["merge", "topic"]),
        ("rebase", &["rebase", "topic"]),
        ("cherry-pick", &["cherry-pick", "topic"]),
        ("revert", &["revert", "--no-edit", "HEAD~1"]),
        ("bisect", &["bisect", "start"]),
    ];
    for follows in BOTH {
        for (case, command) in cases {
            let world = signalled(follows);
            world.git(&["branch", "was"]);
            world.git(&["switch", "--quiet", "-C", "main"]);
            world.git(&["switch", "--quiet", "-c", "topic"]);
            world.write("checkout/same.txt", "theirs\n");
            world.git(&["commit", "--quiet", "-am", "theirs"]);
            world.git(&["switch", "--quiet", "main"]);
            for text in ["first\n", "second\n"] {
                world.write("checkout/same.txt", text);
                world.git(&["commit", "--quiet", "-am", text]);
            }
            git_may_fail(&world, command);
            refused(&world, &format!("{follows:?} {case}"), "in_progress", &[]);
        }
        let world = signalled(follows);
        world.write("checkout/.git/index.lock", "");
        let lock = world.path("checkout/.git/index.lock").display().to_string();
        refused(&world, &format!("{follows:?} lock"), "index_locked", &[&lock]);
        assert!(world.path("checkout/.git/index.lock").exists(), "a lock that is not ours stays");
    }
}

#[test]
fn the_remote_is_not_there() {
    for follows in BOTH {
        let world = signalled(follows);
        world.git(&["remote", "remove", "origin"]);
        refused(&world, &format!("{follows:?} missing"), "missing_remote", &[]);
        let world = signalled(follows);
        fs::rename(world.path("origin"), world.path("away")).unwrap();
        let before = prints::of(&world);
        stops(&world, &before, &format!("{follows:?} away"), 75, "unreachable", "unreachable");
        fs::rename(world.path("away"), world.path("origin")).unwrap();
        goes(&world, &format!("{follows:?} back again"), &[]);
    }
}

#[test]
fn a_linked_worktree_is_refused() {
    for follows in BOTH {
        let world = signalled(follows);
        world.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
        let before = prints::of(&world);
        let linked = world.path("linked").display().to_string();
        let run = world.run("apply-update", &["--json", "--repo", &linked]);
        run.exits(3).tells("blocked", Some("linked_worktree"));
        before.hold(&world, &format!("{follows:?}"));
    }
}

/// Replaces the checkout by a clone of the old release that has no history.
fn make_shallow(world: &World, follows: Follows) {
    fs::remove_dir_all(world.checkout()).unwrap();
    let url = format!("file://{}", world.path("origin").display());
    let clone = ["clone", "--quiet", "--depth=1", "--branch=v1.0.0", &url, "checkout"];
    world.git_in(&world.path(""), &clone);
    world.git(&["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"]);
    world.git(&["switch", "--quiet", "-C", "main"]);
    shapes::settle(world, follows);
    watch(world);
}

#[test]
fn a_shallow_clone_gets_the_history_that_it_needs() {
    for follows in BOTH {
        let world = shapes::world(follows, false);
        make_shallow(&world, follows);
        goes(&world, &format!("{follows:?}"), &[]);
    }
    let world = shapes::world(Alpha, false);
    make_shallow(&world, Alpha);
    world.git(&["fetch", "--quiet", "--depth=1", "origin", "main"]);
    goes(&world, "cut off at both ends", &[]);
}

#[test]
fn history_that_cannot_be_had_is_named() {
    let world = shapes::world(Alpha, false);
    make_shallow(&world, Alpha);
    world.git(&["fetch", "--quiet", "--depth=1", "origin", "main"]);
    let url = format!("file://{}", world.path("origin").display());
    world.git_in(&world.path(""), &["clone", "--quiet", "--bare", "--depth=1", &url, "cut"]);
    fs::remove_dir_all(world.path("origin")).unwrap();
    fs::rename(world.path("cut"), world.path("origin")).unwrap();
    let run = refused(&world, "cut off there too", "shallow", &[]);
    assert!(run.json()["message"].as_str().unwrap().contains("--unshallow"), "{run:#?}");
}

#[test]
fn hooks_of_the_checkout_do_not_wedge_it() {
    for (case, body) in [("failing", "exit 1"), ("hanging", "exec sleep 1000")] {
        for follows in BOTH {
            let world = signalled(follows);
            for hook in [
                "post-checkout",
                "post-merge",
                "reference-transaction",
                "post-index-change",
                "pre-merge-commit",
            ] {
                let path = format!("checkout/.git/hooks/{hook}");
                world.write(&path, &format!("#!/bin/sh\n{body}\n"));
                fs::set_permissions(world.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
            }
            let own = world.path("checkout/.git/hooks");
            fs::create_dir_all(&own).unwrap();
            let run = world.run("apply-update", &["--json"]);
            run.exits(42).tells("updated", None);
            assert_eq!(world.steps(), ["install", "restart", "status"], "{case} {follows:?}");
        }
    }
}

#[test]
fn inherited_variables_of_git_do_not_lead_it_elsewhere() {
    for follows in BOTH {
        let mut world = signalled(follows);
        let before = prints::tree(&world.path("work"));
        let elsewhere = world.path("work/.git").display().to_string();
        for (name, value) in [
            ("GIT_DIR", elsewhere.as_str()),
            ("GIT_WORK_TREE", "/nowhere"),
            ("GIT_INDEX_FILE", "/nowhere"),
            ("GIT_OBJECT_DIRECTORY", "/nowhere"),
            ("GIT_NAMESPACE", "other"),
        ] {
            world.env(name, value);
        }
        world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
        let mut now = prints::tree(&world.checkout());
        now.remove(Path::new("config.yml"));
        let mut expected = before.clone();
        without_folders(&mut expected);
        without_folders(&mut now);
        prints::assert_same_tree(&expected, &now, &format!("{follows:?}"));
        prints::assert_same_tree(&before, &prints::tree(&world.path("work")), "the other one");
    }
}

#[test]
fn touched_and_unchanged_files_are_no_edits() {
    for follows in BOTH {
        let world = signalled(follows);
        let past = SystemTime::now() - Duration::from_secs(86_400);
        for path in ["changed.txt", "gone.txt", "same.txt", "win.bat", "folder-to-file/inner.txt"] {
            let file = fs::File::options().append(true).open(world.checkout().join(path)).unwrap();
            file.set_modified(past).unwrap();
        }
        let run = goes(&world, &format!("{follows:?}"), &[]);
        assert_eq!(run.json()["local_edits"], json!([]));
    }
}

#[test]
fn line_ends_of_the_checkouts_own_configuration_are_no_edits() {
    for follows in BOTH {
        let world = signalled(follows);
        world.git(&["config", "core.autocrlf", "true"]);
        world.git(&["rm", "-r", "--quiet", "--cached", "."]);
        world.git(&["reset", "--quiet", "--hard"]);
        assert_eq!(world.read("checkout/changed.txt"), "old\r\n");
        world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
        assert_eq!(world.read("checkout/changed.txt"), "new\r\n");
        assert_eq!(world.git(&["status", "--porcelain"]), "");
    }
}

/// The way back after a failed install, from every kind of change.
#[track_caller]
fn undone(world: &World, case: &str) {
    let facts = |world: &World| {
        let index = world.git(&["ls-files", "--stage", "-v", "-z"]);
        let branch = fs::read_to_string(world.path("checkout/.git/HEAD")).unwrap();
        (
            index,
            world.git(&["status", "--porcelain=v1", "-z"]),
            branch,
            world.git(&["for-each-ref", "refs/heads"]),
        )
    };
    let before = facts(world);
    let mut tree = prints::tree(&world.checkout());
    let run = world.run("apply-update", &["--json"]);
    let json = run.json();
    assert_eq!((run.code, json["outcome"].as_str()), (1, Some("rolled_back")), "{case}: {run:#?}");
    assert_eq!(json["reason"], "install_failed", "{case}");
    assert_eq!(json["kept"], json!([]), "{case}: nobody changed anything meanwhile: {json:#}");
    assert_eq!(world.steps(), ["install", "install"], "{case}: the daemon is not touched");
    let mut now = prints::tree(&world.checkout());
    without_folders(&mut tree);
    without_folders(&mut now);
    prints::assert_same_tree(&tree, &now, case);
    assert_eq!(before, facts(world), "{case}: index, status, HEAD, branches");
    assert_eq!(world.state_file("deploy_status.json")["status"], "rolled_back", "{case}");
}

fn breaking(follows: Follows) -> World {
    let world = shapes::world(follows, true);
    watch(&world);
    world
}

#[test]
fn undo_puts_every_kind_of_change_back() {
    for follows in BOTH {
        undone(&breaking(follows), &format!("{follows:?} clean"));
    }
    let world = breaking(Alpha);
    world.git(&["switch", "--quiet", "--detach"]);
    undone(&world, "alpha from detached");
    let world = breaking(Alpha);
    world.git(&["switch", "--quiet", "--detach"]);
    world.git(&["branch", "-q", "-D", "main"]);
    undone(&world, "alpha from detached, no branch");
    let world = breaking(Tags);
    world.git(&["switch", "--quiet", "main"]);
    undone(&world, "tags from the branch");
}

#[test]
fn undo_leaves_local_edits_alone() {
    for follows in BOTH {
        let world = breaking(follows);
        world.write("checkout/same.txt", "one\nmine\r\n");
        world.write("checkout/other.txt", "staged\n");
        world.write("checkout/mine.txt", "staged and new\n");
        world.git(&["add", "other.txt", "mine.txt"]);
        world.write("checkout/other.txt", "staged\nand more\n");
        world.write("checkout/emptied/mine.txt", "untracked\n");
        undone(&world, &format!("{follows:?}"));
    }
}

#[test]
fn undo_with_the_line_ends_of_the_checkouts_own_configuration() {
    for follows in BOTH {
        let world = breaking(follows);
        world.git(&["config", "core.autocrlf", "true"]);
        world.git(&["rm", "-r", "--quiet", "--cached", "."]);
        world.git(&["reset", "--quiet", "--hard"]);
        undone(&world, &format!("{follows:?}"));
    }
}
