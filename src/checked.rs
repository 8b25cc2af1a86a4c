//! What the values in a state file must be, beyond their types: names that go to git, paths, and
//! texts that people are shown. For serde's `deserialize_with`. Pure.

use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error};

use crate::version::Version;

/// Longest name or version.
const LONGEST_NAME: usize = 128;
/// Longest address of a release's page.
const LONGEST_URL: usize = 2048;
/// Where an offer can come from.
const SOURCES: &[&str] = &["releases", "tags", "branch"];

/// The version a tag stands for: strict semver, an optional `v` before it. Such a name holds
/// nothing but ASCII letters, digits, `.`, `-` and `+`, so it is safe on a command line.
pub fn version_of_tag(tag: &str) -> Option<Version> {
    if tag.len() > LONGEST_NAME { None } else { Version::parse(tag) }
}

/// An address that can be shown and opened.
pub fn is_web_address(text: &str) -> bool {
    let web = text.starts_with("https://") || text.starts_with("http://");
    web && text.len() <= LONGEST_URL && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_label(text: &str) -> bool {
    let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    digits || version_of_tag(text).is_some()
}

/// A version, or the first 12 digits of a commit.
pub fn label<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if is_label(&text) { Ok(text) } else { Err(D::Error::custom(format!("{text:?} is no version"))) }
}

/// None, or a tag that names a version.
pub fn tag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    match text.as_deref().map(version_of_tag) {
        Some(None) => Err(D::Error::custom(format!("{:?} is no tag of a version", text.unwrap_or_default()))),
        _ => Ok(text),
    }
}

/// An absolute path.
pub fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(D::Error::custom(format!("{} is not absolute", path.display())))
    }
}

/// `releases`, `tags` or `branch`.
pub fn source<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if SOURCES.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(D::Error::custom(format!("{text:?} is none of {}", SOURCES.join(", "))))
}

/// None, or an address that can be shown.
pub fn web_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    match text.as_deref().map(is_web_address) {
        Some(false) => Err(D::Error::custom("release_url is no web address")),
        _ => Ok(text),
    }
}
