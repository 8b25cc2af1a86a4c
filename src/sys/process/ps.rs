//! Processes as `ps` tells of them, for systems without `/proc`.

use std::path::Path;

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
