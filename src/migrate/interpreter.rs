//! Which Python runs the migrations. Looks at files; starts nothing.

use std::path::{Path, PathBuf};

/// What a virtual environment in the checkout is expected to be.
const VENV: &str = ".venv/bin/python";

/// The interpreter that is asked for or configured, else the checkout's virtual environment where
/// it is there, else `python3` on the path. A path with a `/` is relative to the checkout.
pub fn choose(checkout: &Path, asked: Option<&Path>) -> PathBuf {
    match asked {
        Some(python) if python.components().count() > 1 => checkout.join(python),
        Some(python) => python.to_owned(),
        None => Some(checkout.join(VENV)).filter(|venv| venv.exists()).unwrap_or_else(|| "python3".into()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use super::*;

    #[test]
    fn the_choice() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        assert_eq!(choose(top, None), Path::new("python3"));
        assert_eq!(choose(top, Some(Path::new("python3.12"))), Path::new("python3.12"));
        assert_eq!(choose(top, Some(Path::new("/usr/bin/python3"))), Path::new("/usr/bin/python3"));
        assert_eq!(choose(top, Some(Path::new("env/bin/python"))), top.join("env/bin/python"));
        std::fs::create_dir_all(top.join(".venv/bin")).unwrap();
        std::fs::write(top.join(".venv/bin/python"), "").unwrap();
        assert_eq!(choose(top, None), top.join(".venv/bin/python"));
    }
}
