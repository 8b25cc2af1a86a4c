//! The environment, captured once at the start. After settings are made nothing else reads it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// A variable is set to something that is not Unicode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl std::fmt::Display for NotText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("is not UTF-8 text; set it to a value that is, or unset it")
    }
}

/// A captured environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    vars: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn capture() -> Self {
        Self { vars: std::env::vars_os().collect() }
    }

    /// An environment made of the given pairs, for tests.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { vars: pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect() }
    }

    /// A variable that is set, not empty, and valid Unicode.
    pub fn get(&self, name: &str) -> Option<String> {
        self.vars.get(OsStr::new(name)).and_then(|v| v.to_str()).filter(|v| !v.is_empty()).map(str::to_owned)
    }

    /// The same, where one that is set but not Unicode must not count as unset: then an error that
    /// says what is wrong.
    pub fn text(&self, name: &str) -> Result<Option<String>, NotText> {
        match self.get_os(name) {
            Some(value) if value.to_str().is_none() => Err(NotText),
            _ => Ok(self.get(name)),
        }
    }

    /// A variable as it is, empty ones too.
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}
