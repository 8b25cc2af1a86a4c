//! What the host's sessions are doing, from its session database (`SQLite`, read only). A session
//! that is open and was active lately, or whose last input has no answer yet, is activity.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags};

use super::Activity;

/// How long a writer of the database may keep us waiting.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// One open session, as the database has it.
#[derive(Debug, Default)]
struct Session {
    last_activity: Option<String>,
    last_input: Option<String>,
    last_output: Option<String>,
}

/// Looks at the database. None at all: idle. One that cannot be read: unknown, which counts as
/// busy.
pub fn probe(database: &Path, idle: Duration, now: Timestamp) -> Activity {
    let unknown = |error: &dyn std::fmt::Display| {
        Activity::Unknown(format!("the sessions in {} cannot be read ({error})", database.display()))
    };
    match database.metadata() {
        Err(error) if is_absence(&error) => Activity::Idle,
        Err(error) => unknown(&error),
        // A pipe, say, would be waited for.
        Ok(facts) if !facts.is_file() => unknown(&"it is no file"),
        Ok(_) => match open_sessions(database) {
            Ok(sessions) => judge(&sessions, idle, now),
            Err(error) => unknown(&error),
        },
    }
}

/// Whether nothing is there. A folder that may not be entered, say, only hides what is.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn open_sessions(database: &Path) -> rusqlite::Result<Vec<Session>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_WAIT)?;
    let mut query = connection.prepare(
        "SELECT last_activity, last_message_sent_at, last_output_at FROM sessions WHERE closed_at IS NULL",
    )?;
    let rows = query.query_map([], |row| {
        Ok(Session { last_activity: row.get(0)?, last_input: row.get(1)?, last_output: row.get(2)? })
    })?;
    rows.collect()
}

fn judge(sessions: &[Session], idle: Duration, now: Timestamp) -> Activity {
    let since = SignedDuration::try_from(idle).ok().and_then(|idle| now.checked_sub(idle).ok());
    let mut busy = 0_usize;
    for session in sessions {
        match is_busy(session, since.unwrap_or(Timestamp::MIN)) {
            Ok(active) => busy += usize::from(active),
            Err(text) => {
                return Activity::Unknown(format!("a session has a time that cannot be read ({text:?})"));
            }
        }
    }
    match busy {
        0 => Activity::Idle,
        1 => Activity::Active("1 session is active".to_owned()),
        n => Activity::Active(format!("{n} sessions are active")),
    }
}

fn is_busy(session: &Session, since: Timestamp) -> Result<bool, String> {
    let time = |text: &Option<String>| text.as_deref().map(parse).transpose();
    let recent = time(&session.last_activity)?.is_some_and(|at| at >= since);
    let unanswered = match (time(&session.last_input)?, time(&session.last_output)?) {
        (Some(input), Some(output)) => input > output,
        (input, None) => input.is_some(),
        (None, Some(_)) => false,
    };
    Ok(recent || unanswered)
}

/// `2026-11-22 13:00:00`, with blank or `T`, with or without fraction and offset; without: UTC.
fn parse(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let utc = || text.parse::<DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp());
    text.parse::<Timestamp>().ok().or_else(utc).ok_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(activity: Option<&str>, input: Option<&str>, output: Option<&str>) -> Activity {
        let own = |t: Option<&str>| t.map(str::to_owned);
        let session =
            Session { last_activity: own(activity), last_input: own(input), last_output: own(output) };
        judge(&[session], Duration::from_secs(120), "2026-06-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn activity_is_lately_or_unanswered() {
        let active = Activity::Active("1 session is active".into());
        for (activity, input, output, expected) in [
            (None, None, None, Activity::Idle),
            (Some("2026-06-01 11:58:01"), None, None, active.clone()),
            (Some("2026-06-01T11:57:59.5"), None, None, Activity::Idle),
            (Some("2026-06-01T13:59:00+02:00"), None, None, active.clone()),
            (Some("2026-06-01 10:00:00+00:00"), Some("2026-06-01 10:00:00"), None, active.clone()),
            (None, Some("2026-06-01T10:00:01Z"), Some("2026-06-01 10:00:00"), active.clone()),
            (None, Some("2026-06-01 10:00:00"), Some("2026-06-01 10:00:01.25"), Activity::Idle),
        ] {
            assert_eq!(seen(activity, input, output), expected, "{activity:?} {input:?} {output:?}");
        }
        assert!(matches!(seen(Some("yesterday"), None, None), Activity::Unknown(_)));
    }

    #[test]
    fn no_database_is_idle_and_an_unreadable_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(probe(&path, BUSY_WAIT, now), Activity::Idle);
        assert_eq!(probe(&path.join("x.db"), BUSY_WAIT, now), Activity::Idle);
        std::os::unix::fs::symlink("x.db", &path).unwrap();
        assert!(matches!(probe(&path, BUSY_WAIT, now), Activity::Unknown(_)), "nobody can tell");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(probe(&path, BUSY_WAIT, now), Activity::Unknown(_)), "nothing is waited for");
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
        assert!(matches!(probe(&path, BUSY_WAIT, now), Activity::Unknown(_)));
    }
}
