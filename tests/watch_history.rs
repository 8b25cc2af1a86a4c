//! What becomes of a remote branch between two looks, or between a look and the update, that only
//! a fetch can tell: through `version-watch` and `apply-update`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::Value;
use support::{Run, World};

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

/// A checkout whose branch has been looked at while it was up to date.
fn looked_at() -> World {
    let world = World::new();
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    world
}

/// The origin's branch as its owner would move it.
fn push(world: &World, what: &str) {
    let work = world.path("work");
    world.git_in(&work, &["push", "--quiet", "--force", "origin", &format!("{what}:refs/heads/main")]);
}

/// Everything after `commit` is thrown away, and one other commit follows it.
fn rewrite_after(world: &World, commit: &str) -> String {
    world.git_in(&world.path("work"), &["reset", "--quiet", "--hard", commit]);
    world.commit("another history")
}

/// The update stops with `reason`, nothing of the checkout moves, and the signal is gone.
#[track_caller]
fn blocked(world: &World, reason: &str) -> String {
    let head = world.head();
    let run = world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some(reason));
    assert_eq!(world.head(), head);
    assert_eq!(world.steps(), Vec::<String>::new());
    assert_eq!(world.state_file("update_available.json"), Value::Null, "the signal does not hold");
    assert_eq!(world.state_file("deploy_status.json")["reason"], reason);
    run.json()["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_rewrite_of_what_is_installed_is_found_by_the_update() {
    for remembered in [true, false] {
        let world = looked_at();
        let work = world.path("work");
        world.git_in(&work, &["commit", "--quiet", "--amend", "-m", "first version, rewritten"]);
        push(&world, "HEAD");
        let tip = world.git_in(&work, &["rev-parse", "HEAD"]);
        // The new commit is not here: only a fetch can tell.
        watch(&world).exits(0).tells("available", None);
        if !remembered {
            // git itself knows where the branch was when it was cloned.
            std::fs::remove_file(world.state().join("version_watch.json")).unwrap();
        }
        let told = blocked(&world, "diverged");
        assert!(told.contains("was rewritten") && !told.contains("rebase"), "{told}");
        let way = format!("git -C {} reset --keep {tip}", world.checkout().display());
        assert!(told.contains(&way), "{told}");
        // From now on a look can tell as well.
        watch(&world).exits(3).tells("blocked", Some("diverged"));
        // And a person accepts it with the command that was told.
        world.git(&["reset", "--keep", "--quiet", &tip]);
        watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    }
}

#[test]
fn a_rewrite_of_what_was_seen_and_never_installed_is_found_by_the_update() {
    let world = looked_at();
    let first = world.head();
    let second = world.commit("second");
    watch(&world).exits(0).tells("available", None);
    rewrite_after(&world, &first);
    watch(&world).exits(0).tells("available", None);
    let told = blocked(&world, "diverged");
    assert!(told.contains(&second[..12]), "{told}");
}

#[test]
fn a_branch_that_went_back_to_what_was_signalled_before_is_found_by_the_update() {
    let world = looked_at();
    let second = world.commit("second");
    watch(&world).exits(0).tells("available", None);
    let third = world.commit("third");
    watch(&world).exits(0).tells("available", None);
    // Somebody fetched, so the commit that went is here; then the branch goes back.
    world.git(&["fetch", "--quiet"]);
    push(&world, &second);
    watch(&world).exits(3).tells("blocked", Some("rolled_back_remote"));
    assert_eq!(world.state_file("update_available.json"), Value::Null);
    // The same where nobody has the third commit: it is no part of what is there now.
    let world = looked_at();
    let second = world.commit("second");
    watch(&world).exits(0).tells("available", None);
    let gone = world.commit("third");
    watch(&world).exits(0).tells("available", None);
    push(&world, &second);
    watch(&world).exits(0).tells("available", None);
    let told = blocked(&world, "diverged");
    assert!(told.contains(&gone[..12]), "{told}");
    assert_ne!(third, second);
}

#[test]
fn a_branch_that_goes_back_after_the_signal_is_found_by_the_update() {
    let world = looked_at();
    let first = world.head();
    let second = world.commit("second");
    world.commit("third");
    watch(&world).exits(0).tells("available", None);
    world.git(&["fetch", "--quiet"]);
    push(&world, &first);
    let told = blocked(&world, "rolled_back_remote");
    assert!(told.contains("went back"), "{told}");
    // One step back is back as well, whatever of it is here.
    push(&world, &second);
    watch(&world).exits(3).tells("blocked", Some("rolled_back_remote"));
}

#[test]
fn a_branch_that_only_went_on_is_followed_to_what_was_signalled() {
    let world = looked_at();
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    let third = world.commit("third");
    watch(&world).exits(0).tells("available", None);
    let fourth = world.commit("fourth");
    world.run("apply-update", &["--json"]).exits(42).tells("updated", None);
    assert_eq!(world.head(), third);
    watch(&world).exits(0).tells("available", None);
    assert_eq!(world.state_file("update_available.json")["available_commit"], fourth);
}

#[test]
fn local_commits_keep_their_own_advice() {
    let world = looked_at();
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "mine"]);
    world.commit("theirs");
    watch(&world).exits(0).tells("available", None);
    let run = world.run("apply-update", &["--json"]).exits(3).tells("blocked", Some("diverged"));
    let told = run.json()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("rebase") && !told.contains("rewritten"), "{told}");
}

#[test]
fn a_plan_tells_of_a_rewrite_and_withdraws_nothing() {
    let world = looked_at();
    world.git_in(&world.path("work"), &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    push(&world, "HEAD");
    watch(&world).exits(0).tells("available", None);
    let run = world.run("apply-update", &["--plan", "--json"]);
    assert!(run.stdout.contains("was rewritten"), "{run:#?}");
    assert_ne!(world.state_file("update_available.json"), Value::Null, "a plan changes nothing");
}

#[test]
fn a_rewrite_is_found_in_a_shallow_clone_once_its_history_is_here() {
    let world = World::new();
    let first = world.head();
    world.commit("second");
    let url = format!("file://{}", world.path("origin").display());
    std::fs::remove_dir_all(world.checkout()).unwrap();
    world.git_in(&world.path("work"), &["clone", "--quiet", "--depth=1", &url, "../checkout"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    rewrite_after(&world, &first);
    watch(&world).exits(0).tells("available", None);
    let told = blocked(&world, "diverged");
    assert!(told.contains("was rewritten"), "{told}");
}

#[test]
fn what_git_says_of_a_failed_fetch_is_why_and_not_its_advice() {
    let world = looked_at();
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    std::fs::rename(world.path("origin"), world.path("gone")).unwrap();
    let run = world.run("apply-update", &["--json"]).exits(75);
    let told = run.json()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("does not appear to be a git repository"), "{told}");
    assert!(!told.contains("and the repository exists"), "{told}");
}
