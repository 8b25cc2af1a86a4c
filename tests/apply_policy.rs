//! Policy through the programs: what defers an update, until when, and that nothing is touched.
#![allow(clippy::disallowed_methods, reason = "tests write files and move folders")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use support::{World, prints};

/// A world with an update on signal and these settings of `deployment`.
fn world(settings: &str) -> World {
    let world = World::new();
    world.write("work/new.txt", "new");
    world.commit("second");
    configure(&world, settings);
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    world
}

fn configure(world: &World, settings: &str) {
    world.config(&format!(
        "computer: {{name: mac, timezone: Asia/Kolkata}}\ndeployment: {{channel: alpha, {settings}}}\n"
    ));
}

/// Lets the signal be this old.
fn age(world: &World, hours: i64) -> Timestamp {
    let at = Timestamp::from_second((now() - SignedDuration::from_hours(hours)).as_second()).unwrap();
    let mut signal = world.state_file("update_available.json");
    signal["detected_at"] = at.to_string().into();
    signal["published_at"] = Value::Null;
    world.write("home/.teleclaude/update_available.json", &signal.to_string());
    at
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// The run is deferred, says why and until when, and touches nothing. Returns until when.
#[track_caller]
fn deferred(world: &World, reason: &str) -> Option<Timestamp> {
    let (before, signal) = (prints::of(world), world.state_file("update_available.json"));
    let run = world.run("apply-update", &["--json"]).exits(0).tells("deferred", Some(reason));
    before.hold(world, reason);
    assert_eq!(world.steps(), Vec::<String>::new(), "{reason}");
    assert!(world.state_file("apply_journal.json").is_null(), "{reason}");
    assert_eq!(world.state_file("update_available.json"), signal, "{reason}: the signal stays");
    assert!(!world.state().join("deploy_history.jsonl").exists(), "{reason}: no attempt");
    let status = world.state_file("deploy_status.json");
    assert_eq!((&status["status"], &status["reason"]), (&"deferred".into(), &reason.into()), "{status:#}");
    let json = run.json();
    assert_eq!(status["message"], json["message"]);
    assert_eq!(status["next_try_at"], json["until"], "{status:#} {json:#}");
    let until = json["until"].as_str()?;
    let shown = json["message"].as_str().unwrap();
    assert!(shown.contains(until), "people see until when: {shown}");
    Some(until.parse().unwrap())
}

#[track_caller]
fn goes(world: &World, arguments: &[&str]) {
    let run = world.run("apply-update", &[&["--json"], arguments].concat());
    run.exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "restart", "status"]);
}

/// A window in the computer's zone, hours from now.
fn window(from: i64, to: i64) -> String {
    let zone = TimeZone::get("Asia/Kolkata").unwrap();
    let at = |hours| (now() + SignedDuration::from_hours(hours)).to_zoned(zone.clone());
    format!("window: [\"{}-{}\"]", at(from).strftime("%H:%M"), at(to).strftime("%H:%M"))
}

fn close(a: Timestamp, b: Timestamp) -> bool {
    a.duration_since(b).abs() <= SignedDuration::from_mins(2)
}

#[test]
fn a_hold() {
    let world = world("");
    world.run("telec", &["update", "hold", "--reason", "a demo"]).exits(0);
    assert_eq!(deferred(&world, "hold"), None, "until it is resumed");
    let message = world.state_file("deploy_status.json")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a demo") && message.contains("telec update resume"), "{message}");
    world.run("telec", &["update", "hold", "--until", "2099-01-02T03:04:05Z"]).exits(0);
    assert_eq!(deferred(&world, "hold"), Some("2099-01-02T03:04:05Z".parse().unwrap()));
    age(&world, 24 * 365);
    deferred(&world, "hold");
    world.run("telec", &["update", "resume"]).exits(0);
    goes(&world, &[]);
}

#[test]
fn a_window() {
    let world = world(&window(2, 3));
    let until = deferred(&world, "window").unwrap();
    assert!(close(until, now() + SignedDuration::from_hours(2)), "{until}");
    // Nobody waits longer than max_defer.
    configure(&world, &format!("{}, max_defer: 1h", window(2, 3)));
    let seen = age(&world, 0);
    assert_eq!(deferred(&world, "window"), Some(seen + SignedDuration::from_hours(1)));
    configure(&world, &window(-1, 1));
    goes(&world, &[]);
}

#[test]
fn a_window_gives_way_after_max_defer() {
    let world = world(&window(2, 3));
    age(&world, 25);
    goes(&world, &[]);
}

#[test]
fn now_waits_for_nothing() {
    let settings = format!("{}, minimum_age: 24h, stagger: 24h, max_defer: 48h, idle: 5m", window(2, 3));
    let world = world(&settings);
    sessions(&world, &[(0, None, None)]);
    world.run("telec", &["update", "hold"]).exits(0);
    deferred(&world, "hold");
    goes(&world, &["--now"]);
}

#[test]
fn a_minimum_age() {
    let world = world("minimum_age: 2h");
    let seen = age(&world, 1);
    assert_eq!(deferred(&world, "minimum_age"), Some(seen + SignedDuration::from_hours(2)));
    age(&world, 3);
    goes(&world, &[]);
}

#[test]
fn a_place_in_the_span() {
    let world = world("stagger: 1000h, max_defer: 2000h");
    let seen = age(&world, 0);
    let until = deferred(&world, "stagger").unwrap();
    let turn = until.duration_since(seen);
    assert!(turn > SignedDuration::ZERO && turn < SignedDuration::from_hours(1000), "{turn}");
    assert_eq!(deferred(&world, "stagger"), Some(until), "the same at every run");
    let past = turn.as_secs() / 3600 + 1;
    age(&world, past);
    goes(&world, &[]);
}

/// The clock was ahead when the update was found, and has been put right since.
#[test]
fn a_detection_that_lies_ahead_counts_as_now() {
    let world = world("");
    let spans = [
        ("minimum_age: 2h".to_owned(), "minimum_age", 2),
        ("stagger: 2h".to_owned(), "stagger", 2),
        (format!("{}, max_defer: 1h", window(2, 3)), "window", 1),
        ("idle: 10m, idle_limit: 3h".to_owned(), "idle", 3),
    ];
    sessions(&world, &[(0, None, None)]);
    for (settings, reason, hours) in &spans {
        configure(&world, settings);
        age(&world, -10 * 365 * 24);
        let until = deferred(&world, reason).unwrap();
        let latest = now() + SignedDuration::from_hours(*hours) + SignedDuration::from_mins(1);
        assert!(until <= latest, "{settings}: {until}");
    }
    // From the next check on the wait counts from there, and so it ends.
    world.run("version-watch", &["--json"]).exits(0).tells("available", None);
    let signal = world.state_file("update_available.json");
    let seen: Timestamp = signal["detected_at"].as_str().unwrap().parse().unwrap();
    assert!(close(seen, now()), "{seen}");
}

/// The host's database with open sessions: minutes since the last activity, the last input and the
/// last output.
fn sessions(world: &World, rows: &[(i64, Option<i64>, Option<i64>)]) {
    let at = |minutes: i64| {
        let time = now() - SignedDuration::from_mins(minutes);
        format!("'{}'", time.strftime("%Y-%m-%d %H:%M:%S"))
    };
    let or_null = |minutes: Option<i64>| minutes.map_or("NULL".to_owned(), at);
    let mut sql = "DROP TABLE IF EXISTS sessions; CREATE TABLE sessions (id TEXT, closed_at TEXT, \
         last_activity TEXT, last_message_sent_at TEXT, last_output_at TEXT);\n"
        .to_owned();
    sql += &format!("INSERT INTO sessions VALUES ('closed', {0}, {0}, {0}, NULL);\n", at(0));
    for (activity, input, output) in rows {
        sql += &format!(
            "INSERT INTO sessions VALUES ('open', NULL, {}, {}, {});\n",
            at(*activity),
            or_null(*input),
            or_null(*output)
        );
    }
    world.write("sessions.sql", &sql);
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
         c.executescript(open(sys.argv[2]).read())\nc.commit()\nc.close()\n";
    let (database, sql) = (world.checkout().join("teleclaude.db"), world.path("sessions.sql"));
    let output = world
        .command("python3", &world.checkout())
        .args(["-c", script])
        .args([database, sql])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn sessions_that_are_active() {
    let world = world("idle: 10m, idle_limit: 3h");
    for (case, rows) in [
        ("active lately", vec![(1, None, None)]),
        ("input without an answer", vec![(60, Some(30), Some(40))]),
        ("input without any output", vec![(60, Some(60), None)]),
        ("one of two", vec![(90, None, None), (2, Some(5), Some(4))]),
    ] {
        let seen = age(&world, 1);
        sessions(&world, &rows);
        assert_eq!(deferred(&world, "idle"), Some(seen + SignedDuration::from_hours(3)), "{case}");
    }
    sessions(&world, &[(11, Some(30), Some(29)), (600, None, None)]);
    goes(&world, &[]);
}

#[test]
fn sessions_hold_it_back_no_longer_than_the_limit() {
    let world = world("idle: 10m, idle_limit: 3h");
    sessions(&world, &[(0, None, None)]);
    age(&world, 4);
    goes(&world, &[]);
}

#[test]
fn a_database_that_cannot_be_read_counts_as_busy() {
    let world = world("idle: 10m");
    for content in ["this is no database at all, and it is long enough to be looked at as one ...", ""] {
        world.write("checkout/teleclaude.db", content);
        deferred(&world, "idle");
    }
    fs::remove_file(world.checkout().join("teleclaude.db")).unwrap();
    goes(&world, &[]);
}

/// Whether there is one cannot be seen: a link that leads to itself, which not even root can follow.
#[test]
fn a_database_that_cannot_be_reached_counts_as_busy() {
    let world = world("idle: 10m");
    std::os::unix::fs::symlink("around", world.path("around")).unwrap();
    let place = |name: &str| {
        let path = world.path(name);
        world.config(&format!("deployment: {{channel: alpha}}\ndatabase: {{path: {}}}\n", path.display()));
    };
    for unreachable in ["around", "around/sessions.db"] {
        place(unreachable);
        deferred(&world, "idle");
    }
    // Below a file there can be none.
    place("steps.log.not-a-folder/sessions.db");
    world.write("steps.log.not-a-folder", "");
    goes(&world, &[]);
}

#[test]
fn sessions_are_not_looked_at_with_idle_0() {
    let world = world("idle: 0");
    sessions(&world, &[(0, Some(0), None)]);
    goes(&world, &[]);
}
