//! The identity of a process beyond its number: numbers are reused, start times are not.

use serde::{Deserialize, Serialize};

/// A process or process group as it stands in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Process id; for a step also its process group id.
    pub pid: u32,
    /// When it began, in the platform's own notation; empty when it could not be told.
    pub started: String,
}

impl ProcessMark {
    /// The mark of the process `pid`.
    pub fn of(pid: u32) -> Self {
        Self { pid, started: start_time(pid).unwrap_or_default() }
    }

    /// The mark of this process.
    pub fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Whether this very process is still there.
    pub fn is_alive(&self) -> bool {
        match start_time(self.pid) {
            Some(started) => started == self.started,
            None => false,
        }
    }

    /// Whether the number now belongs to a process that began at another time.
    pub fn is_reused(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started != self.started)
    }

    /// Whether it belongs to an earlier boot of this machine, and so is surely gone. Where the
    /// platform's start time does not tell the boot, this is false.
    pub fn is_of_another_boot(&self) -> bool {
        let boot = |text: &str| text.split_once('/').map(|(boot, _)| boot.to_owned());
        match (boot(&self.started), boot(&Self::own().started)) {
            (Some(then), Some(now)) => then != now,
            _ => false,
        }
    }
}

/// Whether a process group has a process that still runs. In a container whose first process reaps
/// nobody, the dead of a killed run stay as zombies, and their group answers to signals for ever.
#[cfg(target_os = "linux")]
pub(super) fn has_living(group: u32) -> bool {
    // Where only one's own processes are shown (`hidepid`), another user's could not be seen.
    let (Some(_), Ok(entries)) = (stat_fields(1), std::fs::read_dir("/proc")) else { return true };
    let wanted = group.to_string();
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(stat_fields).any(|fields| fields.get(2) == Some(&wanted) && fields[0] != "Z")
}

#[cfg(not(target_os = "linux"))]
pub(super) fn has_living(group: u32) -> bool {
    super::ps::has_living(group)
}

/// `/proc/pid/stat` from its third field (the state) on. Source: proc(5).
#[cfg(target_os = "linux")]
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything, so count from its end.
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Boot id and clock ticks since boot. Source: proc(5), `/proc/pid/stat` field 22.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> Option<String> {
    let fields = stat_fields(pid)?;
    if fields.first().is_some_and(|state| state == "Z") {
        return None;
    }
    let ticks = fields.get(19)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{}/{ticks}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn start_time(pid: u32) -> Option<String> {
    super::ps::start_time(pid)
}
