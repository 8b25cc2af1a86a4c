//! Paths as configured → absolute paths; and whether one lies inside the checkout. Touches no file
//! but to follow links.

use std::path::{Component, Path, PathBuf};

/// `~` is the home folder, a relative path begins at the checkout.
pub fn absolute(text: &str, checkout: &Path, home: Option<&str>) -> PathBuf {
    let path = match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => PathBuf::from(home),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            Path::new(home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    };
    checkout.join(path)
}

/// Whether `path` lies in the checkout, as written or with links followed.
pub fn inside(path: &Path, checkout: &Path) -> bool {
    let real = |p: &Path| p.canonicalize().unwrap_or_else(|_| lexical(p));
    lexical(path).starts_with(lexical(checkout)) || real(path).starts_with(real(checkout))
}

/// Without `.` and `..`.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
