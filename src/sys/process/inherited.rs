//! Signals that this program was started to ignore: by `nohup`, or in a shell's background. They
//! stay ignored, here and in every step; a handler of ours would undo what the caller wanted.
//! Asked before the first handler is set.

use std::process::{Command, Stdio};

/// Tells which of these signals a process ignores: what it ignores its children ignore too, and a
/// shell that does survives sending it to itself. Source: POSIX, `trap`.
const ASK: &str = r#"for s in HUP INT TERM; do /bin/sh -c "kill -$s \$\$" && echo $s; done"#;

/// The numbers of those that are ignored; of HUP, INT and TERM at least.
pub(super) fn ignored() -> Vec<i32> {
    of_proc().or_else(|| of_shell(&mut ask())).unwrap_or_default()
}

/// The mask of ignored signals, bit 0 for signal 1. Source: proc(5), `SigIgn`.
fn of_proc() -> Option<Vec<i32>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some((1..=64).filter(|number| mask >> (number - 1) & 1 == 1).collect())
}

#[expect(clippy::disallowed_methods, reason = "this is the door; nothing may be watched for yet")]
fn ask() -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", ASK]);
    shell
}

fn of_shell(shell: &mut Command) -> Option<Vec<i32>> {
    let found = shell.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let number =
        |name: &str| [("HUP", 1), ("INT", 2), ("TERM", 15)].iter().find(|s| s.0 == name).map(|s| s.1);
    Some(String::from_utf8_lossy(&found.stdout).lines().filter_map(number).collect())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start programs")]
mod tests {
    use super::*;

    #[test]
    fn a_shell_tells_what_is_ignored_as_proc_does() {
        for (ignored, number) in [("HUP", 1), ("TERM", 15)] {
            let mut shell = Command::new("/bin/sh");
            let script = format!("trap '' {ignored}; exec /bin/sh -c \"$0\"");
            let found = of_shell(shell.args(["-c", &script, ASK])).unwrap();
            // The tests themselves may have been started with others.
            assert!(found.contains(&number), "{ignored}: {found:?}");
        }
        let here = of_shell(&mut ask()).unwrap();
        if let Some(mut proc) = of_proc() {
            proc.retain(|number| [1, 2, 15].contains(number));
            assert_eq!(here, proc);
        }
    }
}
