//! The configuration: what good ones mean, and what is said about bad ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::path::Path;
use std::time::Duration;

use teleclaude_deployment::config::{Channel, DotEnv, Restart, Settings, Source, Surroundings, Verify};
use teleclaude_deployment::outcome::{Halt, Reason};
use teleclaude_deployment::sys::env::Environment;
use teleclaude_deployment::version::Minor;

const TOP: &str = "/srv/checkout";

/// Reads a text with an environment, a `.env` and a remote URL around it.
fn read(text: &str, env: &[(&str, &str)], dotenv: &str, url: Option<&str>) -> Result<Settings, Halt> {
    Settings::from_yaml(
        text,
        &Surroundings {
            file: "config.yml",
            checkout: Path::new(TOP),
            env: &Environment::from_pairs(env.iter().copied()),
            dotenv: &DotEnv::parse(dotenv, &|_| None),
            remote_url: &|_| Ok(url.map(str::to_owned)),
        },
    )
}

#[track_caller]
fn good(text: &str) -> Settings {
    Settings::from_text(text, Path::new(TOP)).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

#[track_caller]
fn bad(text: &str) -> String {
    match Settings::from_text(text, Path::new(TOP)) {
        Ok(settings) => panic!("{text}\n{settings:?}"),
        Err(halt) => {
            assert_eq!(halt.reason, Reason::InvalidConfig);
            halt.message
        }
    }
}

#[test]
fn nothing_configured_means_the_defaults() {
    for text in
        ["", "\u{feff}", "---\n", "# only a comment\n", "null\n", "other: 1\n", "deployment:\n", "{}\n"]
    {
        let s = good(text);
        assert_eq!(s.channel, Channel::Alpha);
        assert_eq!((s.remote.as_str(), s.branch.as_str()), ("origin", "main"));
        assert_eq!(s.source, Source::Releases);
        assert_eq!(s.github_repo, None);
        assert_eq!(s.api_url, "https://api.github.com");
        assert!(s.token.is_none());
        assert_eq!(s.install, ["make", "install"]);
        assert_eq!(s.restart, Restart::Command(vec!["make".into(), "restart".into()]));
        assert_eq!(s.health, ["make", "status"]);
        assert_eq!(s.python, None);
        assert_eq!(s.snapshot, [Path::new("config.yml"), Path::new(".env")]);
        assert!(s.rollback);
        assert_eq!(s.max_attempts, 5);
        assert!(s.policy.window.is_empty());
        assert_eq!(s.policy.idle, Duration::from_secs(120));
        assert_eq!(s.policy.idle_limit, Duration::from_secs(3600));
        assert_eq!(s.policy.max_defer, Duration::from_secs(86_400));
        assert_eq!(s.policy.minimum_age, Duration::ZERO);
        assert_eq!(s.policy.stagger, Duration::ZERO);
        assert_eq!(s.policy.max_parallel, 0);
        assert_eq!(s.verify, Verify::None);
        assert_eq!(s.allowed_signers, None);
        let t = s.timeouts;
        let seconds = [t.check, t.fetch, t.checkout, t.migrate, t.install, t.restart, t.health];
        assert_eq!(seconds.map(|d| d.as_secs()), [30, 120, 300, 600, 900, 60, 60]);
        assert!(!s.computer.name.is_empty() && !s.computer.name.contains('.'));
        assert_eq!(s.database, Path::new("/srv/checkout/teleclaude.db"));
        assert!(s.redis.is_none());
    }
}

#[test]
fn every_key_is_read() {
    let s = good(
        "deployment:\n  channel: stable\n  pinned_minor: 1.10\n  remote: up/stream\n  branch: release/1\n  source: tags\n  \
         github_repo: o-1/n.x_y\n  api_url: http://127.0.0.1:9/api/v3//\n  install: []\n  restart: exit-code\n  \
         health:\n    - sleep\n    - 5\n  python: py/bin/python\n  snapshot: [a/b, /etc/c]\n  rollback: false\n  \
         max_attempts: 7\n  window: [22:00-03:30, \"12:00-24:00\"]\n  idle: 0\n  idle_limit: 90m\n  max_defer: 2d\n  \
         minimum_age: 1h\n  stagger: 30m\n  max_parallel: 2\n  verify: tag\n  allowed_signers: ../signers\n  \
         timeouts: {check: 1s, health: 2m}\n\
         computer: {name: Mac, timezone: Europe/Amsterdam, role: x}\ndatabase: {path: data/x.db, pool: 3}\n\
         redis: {enabled: yes, url: 'rediss://h:1/0', password: p4ss, socket_timeout: 3}\n"
            .replace("../signers", "/dev/null").replace("verify: tag", "verify: none").as_str(),
    );
    assert_eq!(s.channel, Channel::Stable(Minor { major: 1, minor: 10 }));
    assert_eq!((s.remote.as_str(), s.branch.as_str()), ("up/stream", "release/1"));
    assert_eq!(s.source, Source::Tags);
    assert_eq!(s.github_repo.as_deref(), Some("o-1/n.x_y"));
    assert_eq!(s.api_url, "http://127.0.0.1:9/api/v3");
    assert!(s.install.is_empty());
    assert_eq!(s.restart, Restart::ExitCode);
    assert_eq!(s.health, ["sleep", "5"]);
    assert_eq!(s.python.as_deref(), Some(Path::new("/srv/checkout/py/bin/python")));
    assert_eq!(s.snapshot, [Path::new("a/b"), Path::new("/etc/c")]);
    assert!(!s.rollback);
    assert_eq!(s.max_attempts, 7);
    assert_eq!(s.policy.window.len(), 2);
    assert!(s.policy.window[0].contains(jiff::civil::time(23, 0, 0, 0)));
    assert!(s.policy.window[0].contains(jiff::civil::time(3, 29, 59, 0)));
    assert!(!s.policy.window[0].contains(jiff::civil::time(3, 30, 0, 0)));
    assert!(s.policy.window[1].contains(jiff::civil::time(23, 59, 0, 0)));
    assert!(!s.policy.window[1].contains(jiff::civil::time(0, 0, 0, 0)));
    assert_eq!(s.policy.idle, Duration::ZERO);
    assert_eq!(s.policy.idle_limit, Duration::from_secs(5400));
    assert_eq!(s.policy.max_defer, Duration::from_secs(2 * 86_400));
    assert_eq!(s.policy.minimum_age, Duration::from_secs(3600));
    assert_eq!(s.policy.stagger, Duration::from_secs(1800));
    assert_eq!(s.policy.max_parallel, 2);
    assert_eq!(s.allowed_signers.as_deref(), Some(Path::new("/dev/null")));
    assert_eq!(
        (s.timeouts.check.as_secs(), s.timeouts.health.as_secs(), s.timeouts.fetch.as_secs()),
        (1, 120, 120)
    );
    assert_eq!(s.computer.name, "Mac");
    assert_eq!(s.computer.zone().iana_name(), Some("Europe/Amsterdam"));
    assert_eq!(s.database, Path::new("/srv/checkout/data/x.db"));
    let redis = s.redis.unwrap();
    assert_eq!((redis.url.expose(), redis.password.unwrap().expose()), ("rediss://h:1/0", "p4ss"));
}

/// A text, and the whole message about it.
const BAD: &[(&str, &str)] = &[
    (
        "a: 1\ndeployment:\n  chanel: beta\n",
        "config.yml:3: deployment.chanel: unknown key; did you mean 'channel'?",
    ),
    (
        "deployment: {timeouts: {instal: 1s}}",
        "config.yml:1: deployment.timeouts.instal: unknown key; did you mean 'install'?",
    ),
    (
        "deployment:\n  channel: Beta\n",
        "config.yml:2: deployment.channel: \"Beta\" is none of alpha, beta, stable; did you mean 'beta'?",
    ),
    (
        "deployment:\n  channel:\n",
        "config.yml:2: deployment.channel: has no value; write one, or remove the line to have the default",
    ),
    (
        "deployment:\n  channel: stable\n",
        "config.yml:2: deployment.pinned_minor: channel stable needs it; write for example \"1.3\"",
    ),
    (
        "deployment:\n  channel: stable\n  pinned_minor: ''\n",
        "config.yml:3: deployment.pinned_minor: channel stable needs it; write for example \"1.3\"",
    ),
    (
        "deployment:\n  channel: stable\n  pinned_minor: 1\n",
        "config.yml:3: deployment.pinned_minor: \"1\" is no minor version; write for example \"1.3\"",
    ),
    (
        "deployment:\n  pinned_minor: 1.3.0\n",
        "config.yml:2: deployment.pinned_minor: \"1.3.0\" is no minor version; write for example \"1.3\"",
    ),
    (
        "deployment:\n  install: make install\n",
        "config.yml:2: deployment.install: must be a list; write [make, install]",
    ),
    (
        "deployment:\n  health: 'sh -c \"x\"'\n",
        "config.yml:2: deployment.health: must be a list; write [sh, -c, \"\\\"x\\\"\"]",
    ),
    ("deployment:\n  health: {a: b}\n", "config.yml:2: deployment.health: must be a list; write [] for none"),
    (
        "deployment:\n  install:\n    - make\n    - ''\n",
        "config.yml:4: deployment.install: an entry of the command is empty",
    ),
    (
        "deployment:\n  install:\n    - make\n    -\n",
        "config.yml:4: deployment.install: an entry of the list has no value",
    ),
    ("deployment:\n  install: [[make]]\n", "config.yml:2: deployment.install: must be a single value"),
    ("deployment:\n  install: [\"a\\0b\"]\n", "config.yml:2: deployment.install: contains a NUL character"),
    (
        "deployment:\n  restart: exit_code\n",
        "config.yml:2: deployment.restart: \"exit_code\" is neither a list nor the word exit-code; did you mean 'exit-code'?",
    ),
    (
        "deployment:\n  restart: make restart\n",
        "config.yml:2: deployment.restart: must be a list; write [make, restart], or the word exit-code",
    ),
    (
        "deployment:\n  restart: []\n",
        "config.yml:2: deployment.restart: is empty; write [make, restart], or the word exit-code",
    ),
    (
        "deployment:\n  idle: 30\n",
        "config.yml:2: deployment.idle: \"30\" is not a duration; write for example 30s, 2m, 1h, 1d or 0",
    ),
    (
        "deployment:\n  idle: -1s\n",
        "config.yml:2: deployment.idle: \"-1s\" is not a duration; write for example 30s, 2m, 1h, 1d or 0",
    ),
    (
        "deployment:\n  idle: 1é\n",
        "config.yml:2: deployment.idle: \"1é\" is not a duration; write for example 30s, 2m, 1h, 1d or 0",
    ),
    (
        "deployment:\n  idle: s\n",
        "config.yml:2: deployment.idle: \"s\" is not a duration; write for example 30s, 2m, 1h, 1d or 0",
    ),
    (
        "deployment:\n  idle: 99999999999999999999d\n",
        "config.yml:2: deployment.idle: \"99999999999999999999d\" is not a duration; write for example 30s, 2m, 1h, 1d or 0",
    ),
    ("deployment:\n  max_defer: 367d\n", "config.yml:2: deployment.max_defer: 367d is longer than 366d"),
    (
        "deployment:\n  timeouts:\n    check: 0\n",
        "config.yml:3: deployment.timeouts.check: must be longer than 0; write for example 30s",
    ),
    (
        "deployment:\n  timeouts: 5s\n",
        "config.yml:2: deployment.timeouts: must be a mapping of keys to values",
    ),
    (
        "deployment:\n  window: ['02:00-02:00']\n",
        "config.yml:2: deployment.window: \"02:00-02:00\" begins and ends at the same time; for the whole day write 00:00-24:00",
    ),
    (
        "deployment:\n  window: ['24:00-02:00']\n",
        "config.yml:2: deployment.window: \"24:00-02:00\" is not a window; write for example \"02:00-05:00\"",
    ),
    (
        "deployment:\n  window:\n    - 02:00-05:00\n    - 2-5\n",
        "config.yml:4: deployment.window: \"2-5\" is not a window; write for example \"02:00-05:00\"",
    ),
    (
        "deployment:\n  window: 02:00-05:00\n",
        "config.yml:2: deployment.window: must be a list; write [\"02:00-05:00\"]",
    ),
    (
        "deployment:\n  rollback: yes\n",
        "config.yml:2: deployment.rollback: \"yes\" is neither true nor false",
    ),
    ("deployment:\n  max_attempts: 0\n", "config.yml:2: deployment.max_attempts: must be at least 1"),
    (
        "deployment:\n  max_attempts: +5\n",
        "config.yml:2: deployment.max_attempts: \"+5\" is not a whole number from 0 to 4294967295",
    ),
    (
        "deployment:\n  max_parallel: 1\n",
        "config.yml:2: deployment.max_parallel: needs redis to take turns; set redis.enabled: true, or max_parallel: 0",
    ),
    (
        "deployment:\n  verify: tag\n",
        "config.yml:2: deployment.verify: alpha follows a branch and has no tags to verify; write verify: commit",
    ),
    (
        "deployment:\n  allowed_signers: keys/signers\n",
        "config.yml:2: deployment.allowed_signers: must lie outside the checkout, where no update can change it",
    ),
    (
        "deployment:\n  allowed_signers: /srv/x/../checkout/signers\n",
        "config.yml:2: deployment.allowed_signers: must lie outside the checkout, where no update can change it",
    ),
    (
        "deployment:\n  verify: commit\n  allowed_signers: /nowhere/signers\n",
        "config.yml:3: deployment.allowed_signers: /nowhere/signers is not a file",
    ),
    (
        "deployment:\n  branch: --upload-pack=x\n",
        "config.yml:2: deployment.branch: \"--upload-pack=x\" is not a name that git allows",
    ),
    (
        "deployment:\n  branch: a..b\n",
        "config.yml:2: deployment.branch: \"a..b\" is not a name that git allows",
    ),
    ("deployment:\n  remote: ''\n", "config.yml:2: deployment.remote: \"\" is not a name that git allows"),
    (
        "deployment:\n  remote: https://example.org/x\n",
        "config.yml:2: deployment.remote: \"https://example.org/x\" is not a name that git allows",
    ),
    (
        "deployment:\n  github_repo: owner\n",
        "config.yml:2: deployment.github_repo: \"owner\" is not of the form owner/name",
    ),
    (
        "deployment:\n  github_repo: o/..\n",
        "config.yml:2: deployment.github_repo: \"o/..\" is not of the form owner/name",
    ),
    (
        "deployment:\n  api_url: ftp://h\n",
        "config.yml:2: deployment.api_url: \"ftp://h\" is not an http or https URL; write for example https://api.github.com",
    ),
    (
        "deployment:\n  api_url: https:///x\n",
        "config.yml:2: deployment.api_url: \"https:///x\" names no host; write for example https://api.github.com",
    ),
    (
        "deployment:\n  api_url: https://me:pw@h\n",
        "config.yml:2: deployment.api_url: \"https://***@h\" carries credentials, which belong in GITHUB_TOKEN; write for example https://api.github.com",
    ),
    (
        "deployment:\n  snapshot: [../x]\n",
        "config.yml:2: deployment.snapshot: \"../x\" names no file in the checkout; write a plain or an absolute path",
    ),
    (
        "deployment:\n  install: ['${NOPE}']\n",
        "config.yml:2: deployment.install: ${NOPE} is not set; set NOPE in the environment or in .env, or write ${NOPE:-default}",
    ),
    (
        "deployment:\n  idle: 1m\n  idle: 2m\n",
        "config.yml:3: deployment.idle: is given twice, first on line 2; keep one",
    ),
    (
        "deployment: {}\nx: 1\ndeployment: {}\n",
        "config.yml:3: deployment: is given twice, first on line 1; keep one",
    ),
    ("deployment:\n  [a]: 1\n", "config.yml:2: deployment: a key here must be a plain word"),
    ("deployment: [a]\n", "config.yml:1: deployment: must be a mapping of keys to values"),
    ("deployment:\n  <<: x\n", "config.yml:2: deployment.<<: merges something that is no mapping"),
    ("- a\n", "config.yml:1: the file must hold a mapping of keys to values"),
    ("just text\n", "config.yml:1: the file must hold a mapping of keys to values"),
    ("a: 1\n---\nb: 2\n", "config.yml:2: a second document begins here; keep only one"),
    ("a: 1\nb: \0\n", "config.yml:2: a NUL character is not allowed in YAML"),
    ("computer: Mac\n", "config.yml:1: computer: must be a mapping of keys to values"),
    (
        "computer:\n  name: 'a:b'\n",
        "config.yml:2: computer.name: \"a:b\" has a colon, a control character, or blanks around it",
    ),
    ("computer:\n  name: ' '\n", "config.yml:2: computer.name: must not be empty"),
    ("computer:\n  name: [a]\n", "config.yml:2: computer.name: must be a single value"),
    (
        "computer:\n  timezone: Mars/Base\n",
        "config.yml:2: computer.timezone: \"Mars/Base\" is no time zone that is known here; write for example Europe/Amsterdam",
    ),
    (
        "computer:\n  timezone: ../../etc/localtime\n",
        "config.yml:2: computer.timezone: \"../../etc/localtime\" is no time zone that is known here; write for example Europe/Amsterdam",
    ),
    ("redis:\n  enabled: maybe\n", "config.yml:2: redis.enabled: \"maybe\" is neither true nor false"),
    (
        "redis:\n  enabled: true\n  url: http://secret@h\n",
        "config.yml:3: redis.url: is not of the form redis://host:6379 or rediss://host:6379",
    ),
];

#[test]
fn every_error_names_file_line_and_key() {
    for (text, message) in BAD {
        assert_eq!(bad(text), *message, "{text}");
        // The same with Windows line ends.
        assert_eq!(bad(&text.replace('\n', "\r\n")), *message, "{text} with CRLF");
    }
}

#[test]
fn broken_yaml_names_its_line() {
    for (text, line) in [
        ("a: 1\n\tb: 2\n", 2),
        ("deployment:\n\tchannel: beta\n", 2),
        ("a: [1\n", 2),
        ("a: 'x\n", 1),
        ("a: b: c\n", 1),
        ("a: *nope\n", 1),
        ("%YAML 9.x\n---\na: 1\n", 1),
    ] {
        let message = bad(text);
        assert!(message.starts_with(&format!("config.yml:{line}: not valid YAML: ")), "{text:?}: {message}");
    }
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = "computer:\n  name: 'a:b'\ndeployment:\n  chanel: beta\n  idle: soon\n";
    let halt = Settings::from_text(text, Path::new(TOP)).unwrap_err();
    let lines: Vec<&str> = halt.message.lines().map(|l| &l[..13]).collect();
    assert_eq!(lines, ["config.yml:2:", "config.yml:4:", "config.yml:5:"]);
    assert_eq!(halt.details["errors"][1]["line"], 4);
    assert_eq!(halt.details["errors"][1]["key"], "deployment.chanel");
}

#[test]
fn what_is_not_ours_never_matters() {
    good("computer: {host: null, name: a, tmux: '${NOPE}'}\nredis: {url: '${NOPE}', password: '${NOPE}'}\n");
    good("x: '${NOPE}'\nx: 2\n? [a, b]\n: c\nanchors: &a [1, *a]\ny: !secret z\n1: 2\n<<: {z: 1}\n");
    good("deployment:\n  install: [sh, -c, 'echo ${x%y} $${HOME} $HOME']\n");
}

#[test]
fn anchors_and_merge_keys_work() {
    let s = good(
        "base: &base {channel: beta, branch: b1, timeouts: &t {check: 7s}}\nmore: &more {branch: b2, remote: r}\n\
         deployment:\n  <<: [*base, *more]\n  channel: alpha\n  timeouts:\n    <<: *t\n    fetch: 9s\n",
    );
    assert_eq!(s.channel, Channel::Alpha);
    assert_eq!((s.branch.as_str(), s.remote.as_str()), ("b1", "r"));
    assert_eq!((s.timeouts.check.as_secs(), s.timeouts.fetch.as_secs()), (7, 9));
    assert!(
        bad("base: &b {chanel: x}\ndeployment: {<<: *b}\n")
            .starts_with("config.yml:1: deployment.chanel: unknown")
    );
}

#[test]
fn hostile_documents_end_quickly() {
    let bomb: String = (1..40)
        .map(|i| format!("a{i}: &a{i} {{<<: [*a{p}, *a{p}]}}\n", p = i - 1))
        .fold("a0: &a0 {channel: beta}\n".to_owned(), |all, line| all + &line);
    assert!(bad(&(bomb + "deployment: *a39\n")).contains("too many"));
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(200), "? ".repeat(100_000)] {
        bad(&deep);
    }
    let chain: String = (1..5000).map(|i| format!("- &a{i} [*a{}]\n", i - 1)).collect();
    bad(&format!("x:\n- &a0 []\n{chain}"));
}

#[test]
fn variables_come_from_the_environment_then_dotenv() {
    let text = "deployment:\n  branch: ${BRANCH}\n  remote: ${REMOTE:-up}\n  max_attempts: ${N:-9}\n  \
                rollback: \"${ROLLBACK}\"\n  github_repo: ${REPO:-}\ndatabase: {path: '${WORKING_DIR}/a.db'}\n";
    let s = read(text, &[("BRANCH", "env")], "BRANCH=file\nROLLBACK=false\n", None).unwrap();
    assert_eq!((s.branch.as_str(), s.remote.as_str(), s.max_attempts), ("env", "up", 9));
    assert!(!s.rollback);
    assert_eq!(s.github_repo, None);
    assert_eq!(s.database, Path::new("/srv/checkout/a.db"));
    let s = read("database: {path: ~/x.db}", &[("HOME", "/home/me")], "", None).unwrap();
    assert_eq!(s.database, Path::new("/home/me/x.db"));
}

#[test]
fn the_repository_is_found_in_the_remote_url() {
    let beta = "deployment: {channel: beta}";
    for (url, repo) in [
        ("https://github.com/o/n.git", Some("o/n")),
        ("https://github.com/o/n/", Some("o/n")),
        ("http://host:8080/o/n", Some("o/n")),
        ("https://me:pass@github.com/o/n.git", Some("o/n")),
        ("ssh://git@github.com/o/n.git", Some("o/n")),
        ("ssh://git@ssh.github.com:443/o/n.git", Some("o/n")),
        ("git@github.com:o/n.git", Some("o/n")),
        ("github-work:o/n.x", Some("o/n.x")),
        ("git@host:/o/n", Some("o/n")),
        ("/srv/o/n", None),
        ("../o/n", None),
        ("file:///o/n", None),
        ("https://host/group/sub/n", None),
        ("https://host/n", None),
        ("https://host", None),
        ("", None),
    ] {
        let s = read(beta, &[], "", Some(url)).unwrap();
        assert_eq!(s.github_repo.as_deref(), repo, "{url}");
        assert_eq!(s.require_github_repo().is_ok(), repo.is_some());
    }
    let error = read(beta, &[], "", None).unwrap().require_github_repo().unwrap_err();
    assert!(error.message.starts_with("config.yml: deployment.github_repo: "), "{error}");
}

#[test]
fn the_remote_is_asked_only_where_it_matters() {
    for (text, asks) in [
        ("", false),
        ("deployment: {channel: beta}", true),
        ("deployment: {channel: stable, pinned_minor: 1.2}", true),
        ("deployment: {channel: beta, source: tags}", false),
        ("deployment: {channel: beta, github_repo: o/n}", false),
    ] {
        let asked = std::cell::RefCell::new(Vec::new());
        let remote_url = |remote: &str| {
            asked.borrow_mut().push(remote.to_owned());
            Ok(None)
        };
        let (env, dotenv) = (Environment::default(), DotEnv::default());
        let around = Surroundings {
            file: "config.yml",
            checkout: Path::new(TOP),
            env: &env,
            dotenv: &dotenv,
            remote_url: &remote_url,
        };
        Settings::from_yaml(text, &around).unwrap();
        assert_eq!(asked.borrow().len(), usize::from(asks), "{text}");
    }
}

#[test]
fn tokens_and_the_api_come_from_the_environment_too() {
    let beta = "deployment: {channel: beta, github_repo: o/n}";
    for (env, dotenv, token) in [
        (vec![("GITHUB_TOKEN", "one1"), ("GH_TOKEN", "two2")], "GITHUB_TOKEN=three", Some("one1")),
        (vec![("GITHUB_TOKEN", ""), ("GH_TOKEN", "two2")], "GITHUB_TOKEN=three", Some("two2")),
        (vec![], "GH_TOKEN=four\nGITHUB_TOKEN=three", Some("three")),
        (vec![], "export GH_TOKEN='four' # x", Some("four")),
        (vec![], "", None),
    ] {
        let s = read(beta, &env, dotenv, None).unwrap();
        assert_eq!(s.token.as_ref().map(teleclaude_deployment::config::Secret::expose), token);
    }
    let api =
        |text, env: &[(&str, &str)]| read(text, env, "", None).map(|s| s.api_url).map_err(|e| e.message);
    assert_eq!(
        api(beta, &[("GITHUB_API_URL", "https://ghe.example/api/v3/")]).unwrap(),
        "https://ghe.example/api/v3"
    );
    assert!(
        api(beta, &[("GITHUB_API_URL", "nonsense")]).unwrap_err().contains("GITHUB_API_URL: \"nonsense\"")
    );
    assert_eq!(api("", &[("GITHUB_API_URL", "nonsense")]).unwrap(), "https://api.github.com");
    let own = "deployment: {channel: beta, api_url: 'http://a/'}";
    assert_eq!(api(own, &[("GITHUB_API_URL", "http://b")]).unwrap(), "http://a");
}

#[test]
fn secrets_are_known_and_never_shown() {
    let text = "deployment: {channel: beta}\nredis: {enabled: true, url: 'redis://u:ur%40pw@h', password: '${REDIS_PASSWORD}'}\n";
    let env = [("GH_TOKEN", "gh-token-1"), ("REDIS_PASSWORD", "redis-pw")];
    let dotenv = "API_KEY=from-dotenv\nPLAIN=plainvalue\n";
    let s = read(text, &env, dotenv, Some("https://me:urlsecret@host/o/n")).unwrap();
    let shown = s.redactor.clean("gh-token-1 redis-pw ur%40pw ur@pw from-dotenv urlsecret plainvalue");
    assert_eq!(shown, "*** *** *** *** *** *** plainvalue");
    let debug = format!("{:?}", (&s.token, &s.redis));
    assert!(!debug.contains("gh-token") && !debug.contains("pw"), "{debug}");
    let leak = "deployment: {channel: '${API_KEY}', idle: '${MY_SECRET}'}";
    let error = read(leak, &[("MY_SECRET", "in-the-env")], dotenv, None).unwrap_err();
    let told = format!("{} {:?}", error.message, error.details);
    assert!(told.contains("***") && !told.contains("from-dotenv") && !told.contains("in-the-env"), "{told}");
}

#[test]
fn redis_has_the_hosts_default_and_needs_its_variables_only_when_enabled() {
    let s = good("redis: {enabled: on}\ndeployment: {max_parallel: 1}\n");
    let redis = s.redis.unwrap();
    assert_eq!(redis.url.expose(), "redis://localhost:6379");
    assert!(redis.password.is_none());
    assert!(
        bad("redis:\n  enabled: true\n  password: ${PW}\n")
            .starts_with("config.yml:3: redis.password: ${PW} is not set")
    );
}

/// Pieces that configurations are made of, and pieces that break them.
const PIECES: &[&str] = &[
    "deployment",
    "channel",
    "stable",
    "pinned_minor",
    "timeouts",
    "window",
    "redis",
    "enabled",
    "${A",
    "${A:-",
    "}",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n- ",
    "-",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: ",
    "|\n",
    ">-\n ",
    "!!str ",
    "!x ",
    "%TAG ! x\n",
    "---\n",
    "...\n",
    "\t",
    "\r",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "é",
    "#",
    " #",
    "~",
    "1.10",
    "02:00-24:00",
    "99999999999999999999",
    "s",
    "1d",
    "\\u12",
    "\\",
    "@",
    "`",
];

/// Numbers that look random and are the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[test]
fn garbage_is_an_answer_never_a_panic() {
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut dice = Dice(1);
    let mut refused = 0;
    for _ in 0..rounds {
        let mut text: String = (0..dice.roll(25)).map(|_| PIECES[dice.roll(PIECES.len())]).collect();
        if dice.roll(2) == 0 {
            text = format!("deployment:\n  {text}");
        }
        if dice.roll(3) == 0 {
            let sample = BAD[dice.roll(BAD.len())].0;
            let cut = (0..=dice.roll(sample.len() + 1)).rev().find(|i| sample.is_char_boundary(*i)).unwrap();
            text = format!("{}{text}{}", &sample[..cut], &sample[cut..]);
        }
        match read(&text, &[("A", "x")], &text, Some(&text)) {
            Ok(_) => {}
            Err(halt) => {
                refused += 1;
                assert_eq!(halt.reason, Reason::InvalidConfig, "{text:?}");
                assert!(halt.message.starts_with("config.yml"), "{text:?}: {}", halt.message);
            }
        }
    }
    assert!(refused > rounds / 10 && refused < rounds, "{refused} of {rounds}");
}
