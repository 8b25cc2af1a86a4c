//! A new script: the next number, from a template. Writes one file into the checkout, and only
//! because a person asked for it.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::MigrationId;
use super::tree::{FOLDER, Tree};
use crate::outcome::{Halt, Kind, Reason};
use crate::sys::store;
use crate::version::Version;

const TEMPLATE: &str = include_str!("template.py");

/// Writes the script; returns its id and where it is.
pub fn create(checkout: &Path, version: &Version, name: &str) -> Result<(MigrationId, PathBuf), Halt> {
    let words = words(name)?;
    let scripts = Tree::sound(checkout)?;
    let taken = scripts.iter().filter(|script| script.id.version() == version);
    let number = taken.filter_map(|script| script.id.number().parse::<u32>().ok()).max().map_or(1, |n| n + 1);
    let file = format!("{number:03}_{words}.py");
    let id = MigrationId::new(version.clone(), &file)
        .ok_or_else(|| invalid(format!("version {version} has no number left: {file}")))?;
    let dir = checkout.join(FOLDER).join(format!("v{version}"));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(&file);
    store::replace(&path, TEMPLATE.replace("{TITLE}", &title(name)).as_bytes(), 0o644, true)?;
    Ok((id, path))
}

/// The version a new script is for when none is said: the project's if it is not released yet,
/// else its next patch.
pub fn default_version(own: &Version, tags: &[String]) -> Version {
    let released = tags.iter().filter_map(|tag| Version::parse(tag)).any(|tag| tag == *own);
    if released { own.next_patch() } else { own.clone() }
}

/// Letters, digits and `_` out of what was typed.
fn words(name: &str) -> Result<String, Halt> {
    let name = name.strip_suffix(".py").unwrap_or(name);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let text: String = name.chars().map(plain).collect();
    let words = text.split_whitespace().collect::<Vec<_>>().join("_");
    if words.is_empty() || words.len() > 80 {
        return Err(invalid(format!(
            "{name:?} is no name for a migration: say in a few plain words what it does"
        )));
    }
    Ok(words)
}

fn title(name: &str) -> String {
    let text = name.strip_suffix(".py").unwrap_or(name).replace(['_', '\\', '"', '\n', '\r'], " ");
    let mut letters = text.trim().chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str().trim_end_matches('.'))
}

fn invalid(message: String) -> Halt {
    Halt::new(Kind::Invalid, Reason::UnknownMigration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_and_titles() {
        for (name, file, shown) in [
            ("Rename config key", "rename_config_key", "Rename config key"),
            ("rename_config-key.py", "rename_config_key", "Rename config-key"),
            ("  x  ", "x", "X"),
            ("a \"b\"\\", "a_b", "A  b"),
        ] {
            assert_eq!(words(name).unwrap(), file);
            assert_eq!(title(name), shown);
        }
        for name in ["", "...", "äö", &"x".repeat(81)] {
            assert!(words(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_default_is_a_version_that_is_not_released() {
        let own = Version::plain(1, 2, 3);
        assert_eq!(default_version(&own, &["v1.2.2".to_owned()]), own);
        assert_eq!(default_version(&own, &["v1.2.3".to_owned()]), Version::plain(1, 2, 4));
    }
}
