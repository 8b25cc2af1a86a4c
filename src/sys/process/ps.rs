//! Processes as `ps` tells of them, for systems without `/proc`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether `ps` is being asked: one that has to be ended itself is not asked about.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Whether a process group has a process that is not dead; true where that cannot be told.
pub(super) fn has_living(group: u32) -> bool {
    if ASKING.swap(true, Ordering::SeqCst) {
        return true;
    }
    let told = ask(&["-A", "-o", "pgid=", "-o", "stat="]);
    ASKING.store(false, Ordering::SeqCst);
    told.is_none_or(|told| lives_in(&told, group))
}

fn lives_in(told: &str, group: u32) -> bool {
    let mut lines = told.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let group = group.to_string();
    lines.any(|(of, state)| of == group && !state.trim().starts_with('Z'))
}

/// When a process began, to the second; `None`: it is gone, dead, or cannot be asked about.
pub(super) fn start_time(pid: u32) -> Option<String> {
    let told = ask(&["-o", "stat=", "-o", "lstart=", "-p", &pid.to_string()])?;
    let (state, started) = told.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Always the same words and the same zone: what a run has on record is compared by the next one,
/// which may have been started with other ones.
fn ask(arguments: &[&str]) -> Option<String> {
    let words: Vec<&str> = std::iter::once("ps").chain(arguments.iter().copied()).collect();
    let command = super::Invocation::new(&words, Path::new("/")).env("LC_ALL", "C").env("TZ", "UTC");
    let found = command.capture().ok().filter(|found| found.end.success())?;
    Some(String::from_utf8_lossy(&found.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_not_living() {
        let told = "    1 Ss\n   70 Z+\n   71 Z\n   71 S\n";
        assert_eq!([1, 7, 70, 71].map(|group| lives_in(told, group)), [true, false, false, true]);
        assert!(has_living(rustix::process::getpgrp().as_raw_pid().cast_unsigned()));
    }

    #[test]
    fn a_start_time_is_in_utc_wherever_one_asks() {
        let Some(told) = start_time(std::process::id()) else {
            println!("skipped: there is no ps here");
            return;
        };
        let parsed = jiff::civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", &told).unwrap();
        let age = parsed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().duration_until(&jiff::Zoned::now());
        assert!((-5..300).contains(&age.as_secs()), "{told}: {age}");
    }
}
