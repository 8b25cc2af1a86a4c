//! `version-watch` on beta and stable: releases and tags, through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::api::{Api, Reply};
use support::{Run, World};

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn signal(world: &World) -> Value {
    world.state_file("update_available.json")
}

fn by_api(channel: &str) -> (World, Api) {
    let (world, api) = (World::new(), Api::start());
    world.config(&format!("deployment: {{{channel}, github_repo: acme/app, api_url: \"{}\"}}\n", api.url()));
    (world, api)
}

fn by_tags(channel: &str) -> World {
    let world = World::new();
    world.config(&format!("deployment: {{{channel}, source: tags}}\n"));
    world
}

#[test]
fn the_highest_release_is_signalled_with_its_commit() {
    let (world, api) = by_api("channel: beta");
    let before = world.head();
    let ten = world.release("1.10.0");
    world.release("1.9.0");
    api.release("v1.10.0").release("v1.9.0");
    let run = watch(&world).exits(0).tells("available", None);
    for told in [run.json(), signal(&world)] {
        assert_eq!(told["current"], "1.0.0");
        assert_eq!(told["available"], "1.10.0");
        assert_eq!(told["current_commit"], before);
        assert_eq!(told["available_commit"], ten);
        assert_eq!(told["tag"], "v1.10.0");
        assert_eq!(told["source"], "releases");
        assert_eq!(told["channel"], "beta");
        assert_eq!(told["published_at"], "2026-11-22T12:58:00Z");
        assert_eq!(told["release_url"], "https://example.org/releases/v1.10.0");
    }
    let text = world.run("version-watch", &["--exit-code"]).exits(10).stdout;
    assert_eq!(text, "1.10.0 is available (installed 1.0.0, channel beta); apply-update installs it\n");
    assert_eq!(api.requests()[0].path, "/repos/acme/app/releases?per_page=100");
}

#[test]
fn the_highest_tag_is_signalled_with_its_commit() {
    let world = by_tags("channel: beta");
    let ten = world.release("1.10.0");
    world.release("1.9.0");
    for odd in ["nightly", "v2", "2.0", "v9.9.9-rc.1", "x/refs/tags/v9.9.9", "V9.9.9"] {
        world.tag(odd);
    }
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available_commit"], ten);
    assert_eq!(signal(&world)["source"], "tags");
    assert_eq!(run.json()["skipped_tags"], 5);
}

#[test]
fn lightweight_tags_count_as_well() {
    for source in ["tags", "releases"] {
        let (world, api) = by_api(&format!("channel: beta, source: {source}"));
        let commit = world.commit("light");
        let work = world.path("work");
        world.git_in(&work, &["tag", "1.1.0"]);
        world.git_in(&work, &["push", "--quiet", "origin", "refs/tags/1.1.0"]);
        api.release("1.1.0");
        watch(&world).exits(0).tells("available", None);
        assert_eq!(signal(&world)["available_commit"], commit, "{source}");
        assert_eq!(signal(&world)["tag"], "1.1.0", "{source}");
    }
}

#[test]
fn drafts_prereleases_and_odd_tags_are_passed_over() {
    let (world, api) = by_api("channel: beta");
    for version in ["1.1.0", "1.2.0", "1.3.0", "2.0.0-rc.1"] {
        world.release(version);
    }
    api.release("v1.1.0").release("v2.0.0-rc.1").release("nightly").release("--upload-pack=touch x");
    api.publish(json!({"tag_name": "v1.2.0", "draft": true}));
    api.publish(json!({"tag_name": "v1.3.0", "prerelease": true}));
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available"], "1.1.0");
    assert_eq!(run.json()["skipped_tags"], 2);
}

#[test]
fn stable_takes_the_highest_patch_of_its_minor() {
    for source in ["tags", "releases"] {
        let (world, api) = by_api(&format!("channel: stable, pinned_minor: \"1.2\", source: {source}"));
        for version in ["1.2.0", "1.2.10", "1.2.9", "1.3.0", "1.20.0", "2.2.99"] {
            world.release(version);
            api.release(&format!("v{version}"));
        }
        watch(&world).exits(0).tells("available", None);
        assert_eq!(signal(&world)["available"], "1.2.10", "{source}");
        assert_eq!(signal(&world)["channel"], "stable");
    }
}

#[test]
fn a_pin_below_what_is_installed_offers_nothing_and_says_why() {
    let world = by_tags("channel: stable, pinned_minor: \"1.3\"");
    world.release("1.3.7");
    world.release("1.4.0");
    world.git(&["pull", "--quiet", "--ff-only", "--tags"]);
    let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    let message = run.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("1.4.0") && message.contains("pinned_minor"), "{message}");
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn a_release_whose_project_file_was_not_bumped_is_up_to_date_once_installed() {
    for source in ["tags", "releases"] {
        let (world, api) = by_api(&format!("channel: beta, source: {source}"));
        let commit = world.commit("release without a bump");
        world.tag("v1.5.0");
        api.release("v1.5.0");
        watch(&world).exits(0).tells("available", None);
        world.git(&["fetch", "--quiet", "--no-tags", "origin", &commit]);
        world.git(&["checkout", "--quiet", "--detach", &commit]);
        watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
        assert_eq!(signal(&world), Value::Null);
        world.git(&["fetch", "--quiet", "--tags"]);
        let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
        assert_eq!(run.json()["current"], "1.5.0", "{source}");
    }
}

#[test]
fn nothing_is_ever_downgraded() {
    let world = by_tags("channel: beta");
    world.release("1.5.0");
    world.release("2.0.0");
    world.git(&["pull", "--quiet", "--ff-only", "--tags"]);
    world.git_in(&world.path("work"), &["push", "--quiet", "origin", ":refs/tags/v2.0.0"]);
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn a_release_that_was_withdrawn_is_no_longer_on_offer() {
    let (world, api) = by_api("channel: beta");
    let one = world.release("1.1.0");
    world.release("1.2.0");
    api.release("v1.1.0").release("v1.2.0");
    watch(&world).exits(0);
    assert_eq!(signal(&world)["available"], "1.2.0");
    api.withdraw("v1.2.0");
    watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available_commit"], one);
    api.withdraw("v1.1.0");
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(signal(&world), Value::Null);
}

#[test]
fn a_release_without_its_tag_is_not_signalled_and_the_signal_stays() {
    let (world, api) = by_api("channel: beta");
    api.release("v1.1.0");
    watch(&world).exits(75).tells("unreachable", Some("tag_missing"));
    assert_eq!(signal(&world), Value::Null);
    // A tag whose name only ends the same is not it.
    world.release("1.0.1");
    world.tag("x/refs/tags/v1.1.0");
    watch(&world).exits(75).tells("unreachable", Some("tag_missing"));
    let commit = world.release("1.1.0");
    watch(&world).exits(0).tells("available", None);
    let before = signal(&world);
    assert_eq!(before["available_commit"], commit);
    api.release("v1.2.0");
    watch(&world).exits(75).tells("unreachable", Some("tag_missing"));
    assert_eq!(signal(&world), before);
}

#[test]
fn a_tag_that_moved_is_blocked_until_a_person_follows_it() {
    for source in ["tags", "releases"] {
        let (world, api) = by_api(&format!("channel: beta, source: {source}"));
        let work = world.path("work");
        world.release("1.1.0");
        api.release("v1.1.0");
        watch(&world).exits(0).tells("available", None);
        let moved = world.commit("something else");
        world.git_in(&work, &["tag", "--force", "-a", "-m", "x", "v1.1.0"]);
        world.git_in(&work, &["push", "--quiet", "--force", "origin", "refs/tags/v1.1.0"]);
        for _ in 0..2 {
            let run = watch(&world).exits(3).tells("blocked", Some("tag_moved"));
            assert!(run.json()["message"].as_str().unwrap().contains(&moved), "{source} {run:#?}");
            assert_eq!(signal(&world), Value::Null, "{source}");
        }
        world.git(&["fetch", "--quiet", "--no-tags", "origin", &moved]);
        world.git(&["checkout", "--quiet", "--detach", &moved]);
        watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
        world.release("1.2.0");
        api.release("v1.2.0");
        watch(&world).exits(0).tells("available", None);
    }
}

#[test]
fn the_installed_versions_tag_may_not_move_either() {
    for source in ["tags", "releases"] {
        let (world, api) = by_api(&format!("channel: beta, source: {source}"));
        let work = world.path("work");
        world.release("1.1.0");
        world.git(&["pull", "--quiet", "--ff-only", "--tags"]);
        world.commit("something else");
        world.git_in(&work, &["tag", "--force", "-a", "-m", "x", "v1.1.0"]);
        world.git_in(&work, &["push", "--quiet", "--force", "origin", "refs/tags/v1.1.0"]);
        api.release("v1.1.0");
        let run = watch(&world).exits(3).tells("blocked", Some("tag_moved"));
        assert!(run.json()["message"].as_str().unwrap().contains("tag -d v1.1.0"), "{source} {run:#?}");
    }
}

#[test]
fn releases_on_later_pages_count() {
    let (world, api) = by_api("channel: beta");
    api.per_page(2);
    let best = world.release("1.9.0");
    api.release("v1.9.0");
    for patch in 1..=6 {
        api.release(&format!("v1.0.{patch}"));
    }
    watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available_commit"], best);
    let paths: Vec<_> = api.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(paths[3].contains("page=4"), "followed, as the server wrote it: {paths:?}");
    // The same once more, of which nothing is sent again.
    watch(&world).exits(0).tells("available", None);
    assert!(api.requests()[4..].iter().all(|r| r.status == 304), "{:#?}", api.requests());
    assert_eq!(signal(&world)["available_commit"], best);
}

#[test]
fn pages_in_a_circle_or_elsewhere_are_no_answer() {
    for next in
        ["<{url}/repos/acme/app/releases?per_page=100>; rel=\"next\"", "<http://127.0.0.1:1/x>; rel=\"next\""]
    {
        let (world, api) = by_api("channel: beta");
        let link = next.replace("{url}", api.url());
        api.always(Some(Reply::Plain(200, vec![("link", link)], "[]".into())));
        watch(&world).exits(75).tells("unreachable", Some("bad_response"));
        assert_eq!(api.requests().len(), 1);
    }
}

#[test]
fn an_empty_list_is_an_answer() {
    let (world, _api) = by_api("channel: beta");
    let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert_eq!(run.json()["current"], "1.0.0");
}

#[test]
fn a_checkout_without_any_version_is_offered_the_highest() {
    let world = by_tags("channel: beta");
    world.release("0.1.0");
    std::fs::remove_file(world.path("checkout/pyproject.toml")).unwrap();
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!(run.json()["current"], world.head()[..12]);
}

#[test]
fn an_unknown_repository_address_is_a_wrong_configuration() {
    let world = World::new();
    world.config("deployment: {channel: beta}\n");
    let run = watch(&world).exits(2).tells("invalid", Some("invalid_config"));
    assert!(run.json()["message"].as_str().unwrap().contains("github_repo"), "{run:#?}");
}
