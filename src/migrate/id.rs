//! A migration's name: version, number and file. No I/O.

use std::cmp::Ordering;
use std::fmt;

use crate::version::Version;

/// `1.3.0/001_description.py`; ordered by version (semver), then by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MigrationId {
    version: Version,
    /// The whole id; kept, because each of thousands is looked up several times in a run.
    text: String,
    file_at: usize,
}

impl MigrationId {
    /// The id of a file in a version's folder; `None` when the file's name is not
    /// `NNN_description.py`.
    pub fn new(version: Version, file: &str) -> Option<Self> {
        is_script_name(file).then(|| {
            let text = format!("{version}/{file}");
            Self { version, file_at: text.len() - file.len(), text }
        })
    }

    /// Reads an id; one leading `v` is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, file) = text.trim().split_once('/')?;
        Self::new(Version::parse_release(version)?, file)
    }

    /// The version it belongs to.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The script's file name.
    pub fn file(&self) -> &str {
        &self.text[self.file_at..]
    }

    /// The whole id, as it is on record.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its place within the version.
    pub fn number(&self) -> &str {
        &self.file()[..3]
    }
}

/// `NNN_description.py`: three digits, then letters, digits and `_`.
fn is_script_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = bytes.len() > 4 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b'_';
    digits
        && name[4..].strip_suffix(".py").is_some_and(|text| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

impl Ord for MigrationId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.version.cmp(&other.version).then_with(|| self.file().cmp(other.file()))
    }
}

impl PartialOrd for MigrationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_ids() {
        for (text, right) in [
            ("1.3.0/001_a.py", true),
            ("v1.3.0/001_rename_Key2.py", true),
            ("1.3.0/1_a.py", false),
            ("1.3.0/0001_a.py", false),
            ("1.3.0/001-a.py", false),
            ("1.3.0/001_.py", false),
            ("1.3.0/001_a.PY", false),
            ("1.3.0/001_a b.py", false),
            ("1.3.0/001_ä.py", false),
            ("1.3/001_a.py", false),
            ("1.3.0-rc.1/001_a.py", false),
            ("01.3.0/001_a.py", false),
            ("001_a.py", false),
            ("", false),
        ] {
            assert_eq!(MigrationId::parse(text).is_some(), right, "{text}");
        }
    }

    #[test]
    fn order_is_by_version_then_number() {
        let mut ids: Vec<_> = ["1.10.0/001_a.py", "1.9.0/010_a.py", "1.9.0/002_b.py", "1.2.0/999_z.py"]
            .iter()
            .map(|t| MigrationId::parse(t).unwrap())
            .collect();
        ids.sort();
        let shown: Vec<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["1.2.0/999_z.py", "1.9.0/002_b.py", "1.9.0/010_a.py", "1.10.0/001_a.py"]);
    }
}
