//! `version-watch` and a releases API that refuses, stalls, lies or limits: through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::api::{Api, Reply};
use support::{Run, World};

const TOKEN: &str = "ghp_thisIsNoRealToken0123456789";

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn signal(world: &World) -> Value {
    world.state_file("update_available.json")
}

fn cache(world: &World) -> Value {
    world.state_file("version_watch.json")
}

/// A computer on beta that has seen 1.1.0, and the API it asks.
fn signalled() -> (World, Api) {
    let (world, api) = (World::new(), Api::start());
    world.config(&format!(
        "deployment: {{channel: beta, github_repo: acme/app, api_url: \"{}\", timeouts: {{check: 2s}}}}\n",
        api.url()
    ));
    world.release("1.1.0");
    api.release("v1.1.0");
    watch(&world).exits(0).tells("available", None);
    (world, api)
}

/// Lets the wait that the cache holds be over.
fn wait_is_over(world: &World) {
    let mut cache = cache(world);
    cache["retry_at"] = Value::Null;
    world.write("home/.teleclaude/version_watch.json", &cache.to_string());
}

/// Every file below a folder, as one text.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &all_text(&path)
        } else {
            text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap())
        }
    }
    text
}

#[test]
fn every_refusal_has_its_reason_and_the_signal_survives() {
    let header = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    for (reply, code, outcome, reason) in [
        (Reply::status(401), 1, "failed", "unauthorized"),
        (Reply::status(403), 75, "unreachable", "forbidden"),
        (Reply::status(404), 1, "failed", "not_found"),
        (Reply::status(410), 1, "failed", "not_found"),
        (Reply::status(429), 75, "unreachable", "rate_limited"),
        (Reply::status(500), 75, "unreachable", "server_error"),
        (Reply::status(502), 75, "unreachable", "server_error"),
        (Reply::status(503), 75, "unreachable", "server_error"),
        (Reply::status(204), 75, "unreachable", "bad_response"),
        (Reply::status(418), 75, "unreachable", "bad_response"),
        (Reply::secondary_limit(403, Some(60)), 75, "unreachable", "rate_limited"),
        (Reply::secondary_limit(429, None), 75, "unreachable", "rate_limited"),
        (Reply::Plain(302, header("location", "nowhere"), String::new()), 75, "unreachable", "bad_response"),
        (Reply::Plain(301, Vec::new(), String::new()), 75, "unreachable", "bad_response"),
        (Reply::body(""), 75, "unreachable", "bad_response"),
        (Reply::body("<!DOCTYPE html><title>Sign in</title>"), 75, "unreachable", "bad_response"),
        (Reply::body("[{\"tag_name\": \"v9.9.9\""), 75, "unreachable", "bad_response"),
        (Reply::body("{\"tag_name\": \"v9.9.9\"}"), 75, "unreachable", "bad_response"),
        (Reply::body("[{\"name\": \"v9.9.9\"}]"), 75, "unreachable", "bad_response"),
        (Reply::body("null"), 75, "unreachable", "bad_response"),
        (Reply::Truncated, 75, "unreachable", "bad_response"),
        (Reply::Rubbish, 75, "unreachable", "bad_response"),
        (Reply::HangUp, 75, "unreachable", "unreachable"),
    ] {
        let (world, api) = signalled();
        let before = signal(&world);
        api.order(reply.clone());
        let run = watch(&world);
        assert_eq!(run.code, code, "{reply:?} {run:#?}");
        let run = run.tells(outcome, Some(reason));
        assert!(run.json()["message"].as_str().unwrap().len() > 20, "{run:#?}");
        assert_eq!(signal(&world), before, "{reply:?}");
        assert_eq!(cache(&world)["failures"], 1, "{reply:?}");
        wait_is_over(&world);
        watch(&world).exits(0).tells("available", None);
        assert_eq!(cache(&world)["failures"], 0);
    }
}

#[test]
fn an_answer_that_never_ends_is_cut() {
    for (reply, reason) in
        [(Reply::Silence, "timeout"), (Reply::Trickle, "timeout"), (Reply::Endless, "bad_response")]
    {
        let (world, api) = signalled();
        let before = signal(&world);
        api.order(reply.clone());
        let began = std::time::Instant::now();
        let run = watch(&world).exits(75);
        assert!(began.elapsed().as_secs() < 10, "{reply:?}");
        let told = run.json()["reason"].as_str().unwrap().to_owned();
        // A slow machine may not get through the whole limit within the deadline.
        assert!(told == reason || matches!(reply, Reply::Endless) && told == "timeout", "{reply:?} {told}");
        assert_eq!(signal(&world), before, "{reply:?}");
    }
}

#[test]
fn forbidden_twice_in_a_row_is_a_failure() {
    let (world, api) = signalled();
    api.order(Reply::status(403)).order(Reply::status(403));
    watch(&world).exits(75).tells("unreachable", Some("forbidden"));
    watch(&world).exits(1).tells("failed", Some("forbidden"));
    watch(&world).exits(0).tells("available", None);
    api.order(Reply::status(403));
    watch(&world).exits(75).tells("unreachable", Some("forbidden"));
}

#[test]
fn an_unchanged_list_is_not_sent_again() {
    let (world, api) = signalled();
    let before = signal(&world);
    for _ in 0..2 {
        watch(&world).exits(0).tells("available", None);
    }
    let statuses: Vec<_> = api.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [200, 304, 304]);
    assert_eq!(signal(&world), before);
    world.release("1.2.0");
    api.release("v1.2.0");
    watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available"], "1.2.0");
    assert_eq!(api.requests().last().unwrap().status, 200);
}

#[test]
fn a_304_that_nobody_asked_for_is_no_answer() {
    let (world, api) = signalled();
    std::fs::remove_file(world.state().join("version_watch.json")).unwrap();
    api.order(Reply::Plain(304, Vec::new(), String::new()));
    watch(&world).exits(75).tells("unreachable", Some("bad_response"));
}

#[test]
fn requests_are_made_as_the_api_wants_them() {
    let (mut world, api) = signalled();
    world.env("GH_TOKEN", TOKEN);
    watch(&world).exits(0);
    let requests = api.requests();
    assert_eq!(requests[0].header("authorization"), None);
    let asked = &requests[1];
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
    assert!(asked.header("user-agent").unwrap().starts_with("teleclaude-deployment/"), "{asked:?}");
    assert!(asked.header("x-github-api-version").is_some());
    assert_eq!(asked.header("if-none-match"), None, "another token's validator is not used");
    // The user of the old validator gets it back neither.
    watch(&world).exits(0);
    assert!(api.requests()[2].header("if-none-match").is_some());
}

#[test]
fn while_a_limit_lasts_nothing_is_asked() {
    let (world, api) = signalled();
    let before = signal(&world);
    api.order(Reply::secondary_limit(429, Some(600)));
    let run = watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
    let retry_at = run.json()["retry_at"].as_str().unwrap().to_owned();
    assert_eq!(cache(&world)["retry_at"], retry_at.as_str());
    let asked = api.requests().len();
    for _ in 0..3 {
        watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
    }
    assert_eq!(api.requests().len(), asked);
    assert_eq!(cache(&world)["retry_at"], retry_at.as_str(), "waiting does not make it longer");
    assert_eq!(signal(&world), before);
    wait_is_over(&world);
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn a_used_up_quota_is_waited_for_until_its_reset() {
    let (mut world, api) = signalled();
    world.env("GITHUB_TOKEN", TOKEN);
    api.quota(1, 1800);
    watch(&world).exits(0).tells("available", None);
    // The answer said that nothing is left: the next question would be refused.
    let asked = api.requests().len();
    watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
    assert_eq!(api.requests().len(), asked);
    let headers = vec![
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", "4102444800".to_owned()),
        ("date", "Thu, 31 Dec 2099 23:50:00 GMT".to_owned()),
    ];
    world.env("GITHUB_TOKEN", "another-token-0001");
    api.order(Reply::Plain(403, headers, String::new()));
    let run = watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
    let retry_at: i64 = seconds(run.json()["retry_at"].as_str().unwrap());
    let ahead = retry_at - seconds("now");
    assert!((590..=610).contains(&ahead), "ten minutes by the server's clock, got {ahead} s");
}

fn seconds(time: &str) -> i64 {
    match time {
        "now" => jiff::Timestamp::now().as_second(),
        text => text.parse::<jiff::Timestamp>().unwrap().as_second(),
    }
}

#[test]
fn waits_grow_with_each_refusal() {
    let (world, api) = signalled();
    let mut waits = Vec::new();
    for _ in 0..3 {
        api.order(Reply::status(429));
        let run = watch(&world).exits(75);
        waits.push(seconds(run.json()["retry_at"].as_str().unwrap()) - seconds("now"));
        wait_is_over(&world);
    }
    assert!(waits[0] > 50 && waits[1] > 110 && waits[2] > 230, "{waits:?}");
}

#[test]
fn clock_jumps_of_a_year_do_no_harm() {
    let (world, api) = signalled();
    for jumped in ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let mut cache = cache(&world);
        for key in ["retry_at", "checked_at", "tags_checked_at"] {
            cache[key] = jumped.into();
        }
        cache["api"]["reset_at"] = jumped.into();
        cache["api"]["remaining"] = 0.into();
        world.write("home/.teleclaude/version_watch.json", &cache.to_string());
        let asked = api.requests().len();
        watch(&world).exits(0).tells("available", None);
        assert_eq!(api.requests().len(), asked + 1, "{jumped}");
    }
}

#[test]
fn near_the_anonymous_limit_git_is_asked_instead() {
    let (world, api) = signalled();
    api.quota(12, 3000);
    watch(&world).exits(0);
    watch(&world).exits(0);
    let asked = api.requests().len();
    let three = world.release("1.3.0");
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!(api.requests().len(), asked, "the rest of the quota is left to people");
    assert_eq!(signal(&world)["available_commit"], three);
    assert!(run.json()["note"].as_str().unwrap().contains("GITHUB_TOKEN"), "{run:#?}");
    let text = world.run("version-watch", &[]).exits(0).stdout;
    assert!(text.contains("asked git"), "{text}");
}

#[test]
fn near_the_limit_what_the_owner_did_not_release_stays_out() {
    let (world, api) = signalled();
    for version in ["1.2.0", "1.3.0", "1.4.0"] {
        world.release(version);
    }
    api.release("v1.4.0");
    watch(&world).exits(0);
    api.withdraw("v1.4.0");
    api.publish(json!({"tag_name": "v1.2.0", "draft": true}));
    api.publish(json!({"tag_name": "v1.3.0", "prerelease": true}));
    api.quota(3, 3000);
    watch(&world).exits(0);
    let asked = api.requests().len();
    watch(&world).exits(0).tells("available", None);
    assert_eq!(api.requests().len(), asked);
    assert_eq!(signal(&world)["available"], "1.1.0");
    assert_eq!(signal(&world)["release_url"], "https://example.org/releases/v1.1.0");
}

#[test]
fn a_redirect_is_followed_and_the_token_stays_with_its_host() {
    let (mut world, api) = signalled();
    let elsewhere = Api::start();
    elsewhere.always(Some(Reply::body("[]")));
    world.env("GITHUB_TOKEN", TOKEN);
    let moved = |to: String| Reply::redirect(301, &to);
    api.order(moved("/repos/acme/renamed/releases?per_page=100".into()));
    watch(&world).exits(0).tells("available", None);
    let requests = api.requests();
    assert!(requests.last().unwrap().path.contains("renamed"), "{requests:#?}");
    assert!(requests.last().unwrap().header("authorization").is_some(), "the same host");
    api.order(moved(format!("{}/x", elsewhere.url())));
    watch(&world).exits(0);
    assert_eq!(elsewhere.requests().len(), 1);
    assert_eq!(elsewhere.requests()[0].header("authorization"), None, "another host");
    for _ in 0..9 {
        api.order(moved("/repos/acme/app/releases?per_page=100".into()));
    }
    watch(&world).exits(75).tells("unreachable", Some("bad_response"));
}

#[test]
fn the_token_is_in_no_file_and_no_output() {
    let (mut world, api) = signalled();
    world.write("checkout/.env", &format!("GITHUB_TOKEN={TOKEN}\n"));
    world.env("UNRELATED", "x");
    let echo = |code| Reply::Plain(code, Vec::new(), format!("{{\"message\": \"bad token {TOKEN}\"}}"));
    api.order(echo(200)).order(echo(401)).order(echo(403)).order(echo(500));
    let mut said = String::new();
    for arguments in [&["--json"][..], &["--verbose"], &[], &["--json"], &["--verbose"]] {
        let run = world.run("version-watch", arguments);
        said += &run.stdout;
        said += &run.stderr;
    }
    let asked = api.requests();
    assert!(asked.iter().any(|r| r.header("authorization").is_some_and(|a| a.contains(TOKEN))));
    assert!(!said.contains(TOKEN), "{said}");
    assert!(!all_text(&world.state()).contains(TOKEN));
}

#[test]
fn credentials_in_the_remotes_url_are_in_no_file_and_no_output() {
    let world = World::new();
    world.git(&["remote", "set-url", "origin", "http://me:hunter2secret@127.0.0.1:1/x.git"]);
    let run = watch(&world).exits(75).tells("unreachable", Some("unreachable"));
    assert!(!run.stdout.contains("hunter2secret") && !run.stderr.contains("hunter2secret"), "{run:#?}");
    assert!(!all_text(&world.state()).contains("hunter2secret"));
}

#[test]
fn no_server_at_all_is_unreachable() {
    let (world, api) = signalled();
    let before = signal(&world);
    world.config("deployment: {channel: beta, github_repo: a/b, api_url: \"http://127.0.0.1:1\"}\n");
    watch(&world).exits(75).tells("unreachable", Some("unreachable"));
    assert_eq!(signal(&world), before);
    drop(api);
}

#[test]
fn a_token_that_cannot_be_one_is_said_without_showing_it() {
    let (mut world, _api) = signalled();
    world.env("GITHUB_TOKEN", "secret-with-\u{7}-bell");
    let run = watch(&world).exits(2).tells("invalid", Some("invalid_config"));
    assert!(run.json()["message"].as_str().unwrap().contains("GITHUB_TOKEN"), "{run:#?}");
    assert!(!run.stdout.contains("secret-with"), "{run:#?}");
}
