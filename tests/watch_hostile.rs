//! `version-watch` and answers that nobody should believe: odd lists of references, odd tags, odd
//! bodies, a memory that somebody changed. Never a panic, never a signal from garbage; what was
//! signalled before stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests write files")]

mod support;

use serde_json::{Value, json};
use support::api::{Api, Reply};
use support::{Run, World};

const TOKEN: &str = "ghp_thisIsNoRealToken0123456789";
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn signal(world: &World) -> Value {
    world.state_file("update_available.json")
}

/// A world with a signal, whose git then takes the answer of `ls-remote` from a file.
fn fed(config: &str) -> World {
    let mut world = World::new();
    world.config(&format!("deployment: {{{config}}}\n"));
    world.release("1.0.1");
    watch(&world).exits(0).tells("available", None);
    let (real, answer) = (support::real_git(), world.path("answer"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *ls-remote*) exec cat '{}';; esac\nexec '{}' \"$@\"\n",
        answer.display(),
        real.display()
    );
    world.put_on_path("git", &script);
    world
}

fn api() -> (World, Api) {
    let (world, api) = (World::new(), Api::start());
    world.config(&format!("deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\"}}\n", api.url()));
    world.release("1.1.0");
    api.release("v1.1.0");
    watch(&world).exits(0).tells("available", None);
    (world, api)
}

#[test]
fn lists_of_references_that_cannot_be_are_no_answer() {
    let (zeros, long) = ("0".repeat(40), "a".repeat(64));
    for (channel, name) in
        [("channel: alpha", "refs/heads/main"), ("channel: beta, source: tags", "refs/tags/v1.1.0")]
    {
        let world = fed(channel);
        let before = signal(&world);
        for (case, answer) in [
            ("no object", format!("{zeros}\t{name}\n")),
            ("another kind of ids", format!("{long}\t{name}\n")),
            ("two kinds of ids", format!("{A}\t{name}\n{long}\trefs/heads/x\n")),
            ("twice", format!("{A}\t{name}\n{B}\t{name}\n")),
            ("capital letters", format!("{}\t{name}\n", "A".repeat(40))),
            ("an option for an id", format!("{}\t{name}\n", "-".repeat(40))),
            ("a blank line", format!("\n{A}\t{name}\n")),
            ("a warning in between", format!("warning: x\n{A}\t{name}\n")),
            ("HTML", "<html>".to_owned()),
        ] {
            world.write("answer", &answer);
            let run = watch(&world).exits(75).tells("unreachable", Some("bad_response"));
            assert_eq!(run.stderr, "", "{case}");
            assert_eq!(signal(&world), before, "{channel}, {case}");
        }
    }
}

#[test]
fn only_the_very_name_is_the_branch() {
    let world = fed("channel: alpha");
    let before = signal(&world);
    for name in [
        "refs/heads/main\u{0}",
        "\trefs/heads/main",
        "refs/heads/main^{}",
        "refs/heads/main ",
        "refs/heads/\u{1b}[1mmain",
        "refs/heads/mai",
        "refs/heads/x/refs/heads/main",
        "HEAD",
        "main",
    ] {
        world.write("answer", &format!("{A}\t{name}\n"));
        watch(&world).exits(1).tells("failed", Some("branch_missing"));
        assert_eq!(signal(&world), before, "{name:?}");
    }
}

#[test]
fn hostile_tags_are_counted_and_passed_over() {
    let world = fed("channel: beta, source: tags");
    let hostile = [
        "--upload-pack=touch pwned",
        "-v9.9.9",
        "v9.9.9\u{1b}[2J",
        "v9.9.9/../x",
        "../v9.9.9",
        "v9.9.9\u{7f}",
        "v9.9.9 ",
        "v9.9.9;touch pwned",
        "v9.9.9$(touch pwned)",
        "v９.9.9",
        "v9.9.9\u{202e}",
        "v99999999999999999999.0.0",
        "v9.09.9",
    ];
    let lines: String = hostile.iter().map(|tag| format!("{B}\trefs/tags/{tag}\n")).collect();
    world.write("answer", &format!("{lines}{A}\trefs/tags/v1.1.0\n"));
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!((&run.json()["tag"], &run.json()["skipped_tags"]), (&json!("v1.1.0"), &json!(hostile.len())));
    assert_eq!(signal(&world)["available_commit"], A);
    assert!(!world.path("checkout/pwned").exists());
    // The same names as releases.
    let (world, api) = api();
    world.release("1.2.0");
    let mut releases: Vec<_> = hostile.iter().map(|tag| json!({"tag_name": tag})).collect();
    releases.push(json!({"tag_name": "v1.2.0"}));
    api.order(Reply::body(&Value::from(releases).to_string()));
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!((&run.json()["tag"], &run.json()["skipped_tags"]), (&json!("v1.2.0"), &json!(hostile.len())));
}

#[test]
fn two_hundred_thousand_tags_are_looked_through_and_few_remembered() {
    let world = fed("channel: beta, source: tags");
    let many: String = (0..200_000).map(|n| format!("{A}\trefs/tags/v1.{n}.0\n")).collect();
    world.write("answer", &many);
    let run = watch(&world).exits(0).tells("available", None);
    assert_eq!(run.json()["available"], "1.199999.0");
    let memory = std::fs::metadata(world.state().join("version_watch.json")).unwrap().len();
    assert!(memory < 100_000, "{memory} bytes");
}

#[test]
fn bodies_that_are_no_list_of_releases_are_no_answer() {
    let (world, api) = api();
    let before = signal(&world);
    for body in [
        "\u{feff}[]",
        "[] []",
        "{\"message\": \"x\"}",
        "null",
        "\"v9.9.9\"",
        "[null]",
        "[[]]",
        "[{\"tag_name\": null}]",
        "[{\"tag_name\": \"v9.9.9\\ud800\"}]",
        "[{\"tag_name\": \"v9.9.9\", \"draft\": null}]",
        "[{\"tag_name\": \"v9.9.9\", \"x\": 1e999999}]",
        "[{\"tag_name\": \"v9.9.9\"},]",
    ] {
        api.order(Reply::body(body));
        let run = watch(&world).exits(75).tells("unreachable", Some("bad_response"));
        assert_eq!(run.stderr, "", "{body}");
        assert_eq!(signal(&world), before, "{body}");
    }
    api.order(Reply::body(&"[".repeat(200_000)));
    watch(&world).exits(75).tells("unreachable", Some("bad_response"));
    // One release more than once is one release.
    api.order(Reply::body("[{\"tag_name\": \"v1.1.0\"}, {\"tag_name\": \"v1.1.0\"}]"));
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn headers_out_of_range_do_no_harm() {
    for headers in [
        [("x-ratelimit-remaining", "-1"), ("x-ratelimit-reset", "-9"), ("etag", "\"a b\"")],
        [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "9223372036854775807"),
            ("x-ratelimit-limit", "18446744073709551615"),
        ],
        [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "-9223372036854775808"),
            ("date", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ],
        [
            ("x-ratelimit-remaining", "18446744073709551615"),
            ("x-ratelimit-reset", "soon"),
            ("date", "yesterday"),
        ],
    ] {
        let (world, api) = api();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let body = "[{\"tag_name\": \"v1.1.0\"}]";
        api.order(Reply::Plain(200, headers, body.into())).order(Reply::body(body));
        for _ in 0..2 {
            let run = watch(&world).exits(0).tells("available", None);
            assert_eq!(run.stderr, "");
        }
        assert_eq!(world.state_file("version_watch.json")["retry_at"], Value::Null);
    }
    for told in
        ["18446744073709551615", "99999999999999999999999", "-5", "0", "", "Fri, 31 Dec 9999 23:59:59 GMT"]
    {
        let (world, api) = api();
        api.order(Reply::Plain(429, vec![("retry-after", told.into())], String::new()));
        let run = watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
        let until: jiff::Timestamp = run.json()["retry_at"].as_str().unwrap().parse().unwrap();
        let wait = until.as_second() - jiff::Timestamp::now().as_second();
        assert!((0..=86_400).contains(&wait), "{told:?}: {wait} s");
    }
}

#[test]
fn a_secondary_limit_that_only_the_text_tells_of_is_a_limit() {
    let (world, api) = api();
    let before = signal(&world);
    let mut waits = Vec::new();
    for _ in 0..3 {
        api.order(Reply::secondary_limit(403, None));
        let run = watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
        let until: jiff::Timestamp = run.json()["retry_at"].as_str().unwrap().parse().unwrap();
        waits.push(until.as_second() - jiff::Timestamp::now().as_second());
        let asked = api.requests().len();
        watch(&world).exits(75).tells("unreachable", Some("rate_limited"));
        assert_eq!(api.requests().len(), asked, "while it lasts nothing is asked");
        let mut memory = world.state_file("version_watch.json");
        memory["retry_at"] = Value::Null;
        world.write("home/.teleclaude/version_watch.json", &memory.to_string());
    }
    assert!(waits[0] > 50 && waits[1] > 110 && waits[2] > 230, "{waits:?}");
    assert_eq!(signal(&world), before);
}

#[test]
fn a_redirect_without_a_scheme_goes_to_that_host_without_the_token() {
    let (mut world, api) = api();
    world.env("GITHUB_TOKEN", TOKEN);
    let elsewhere = Api::start();
    elsewhere.always(Some(Reply::body("[]")));
    let there = elsewhere.url().trim_start_matches("http:").to_owned() + "/x";
    api.order(Reply::redirect(302, &there));
    watch(&world).exits(0);
    assert_eq!(elsewhere.requests().len(), 1);
    assert_eq!(elsewhere.requests()[0].path, "/x");
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
    for nowhere in ["file:///etc/passwd", "x", "", "ftp://127.0.0.1/x", "http://"] {
        api.order(Reply::redirect(302, nowhere));
        watch(&world).exits(75).tells("unreachable", Some("bad_response"));
    }
}

#[test]
fn a_next_page_that_somebody_wrote_into_the_memory_is_not_asked() {
    let (world, api) = api();
    let elsewhere = Api::start();
    let mut memory = world.state_file("version_watch.json");
    for page in memory["api"]["pages"].as_object_mut().unwrap().values_mut() {
        page["next"] = format!("{}/repos/a/b/releases", elsewhere.url()).into();
    }
    world.write("home/.teleclaude/version_watch.json", &memory.to_string());
    watch(&world).exits(75).tells("unreachable", Some("bad_response"));
    assert_eq!(api.requests().last().unwrap().status, 304);
    assert_eq!(elsewhere.requests().len(), 0);
}
