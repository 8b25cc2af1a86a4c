//! One mapping of the configuration: typed values by key, expanded, with faults collected instead
//! of returned, so that one run finds them all. Knows YAML and variables, no rules of updates.

use std::cell::RefCell;
use std::rc::Rc;

use super::expand::Variables;
use super::faults::Faults;
use super::yaml::{Entry, Kind, Node};

/// Mappings that one `<<` may draw in, all levels together.
const MERGE_LIMIT: usize = 200;

/// What reading needs besides the tree.
#[derive(Debug)]
pub struct Reader<'a> {
    /// Where variables come from.
    pub vars: Variables<'a>,
    /// What was found wrong.
    pub faults: RefCell<Faults>,
}

impl Reader<'_> {
    /// Notes a fault.
    pub fn fault(&self, line: usize, key: &str, message: impl Into<String>) {
        self.faults.borrow_mut().at(line, key, message);
    }
}

/// Which keys of a mapping are ours.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// These; any other one is an error.
    All(&'static [&'static str]),
    /// These; the others are somebody else's.
    Among(&'static [&'static str]),
}

/// A mapping, or its absence.
#[derive(Debug)]
pub struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    line: usize,
    entries: Vec<Entry>,
}

/// What is wrong has been noted as a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted;

/// A value as text, with where it stands.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    line: usize,
}

impl<'a> Section<'a> {
    /// The mapping `node`; `path` names it in messages (empty at the top).
    pub fn new(reader: &'a Reader<'a>, path: &str, line: usize, node: Option<&Rc<Node>>, keys: Keys) -> Self {
        let mut section = Self { reader, path: path.to_owned(), line, entries: Vec::new() };
        match node.map(|n| (n, &n.kind)) {
            Some((_, Kind::Map(entries))) => section.fill(entries, keys),
            Some((node, _)) if !node.is_null() => {
                let what = if path.is_empty() { "the file must hold" } else { "must be" };
                reader.fault(line, path, format!("{what} a mapping of keys to values"));
            }
            _ => {}
        }
        section
    }

    /// A mapping inside this one.
    pub fn section(&self, key: &str, keys: Keys) -> Section<'a> {
        let entry = self.entry(key);
        let line = entry.map_or(self.line, |e| e.line);
        Section::new(self.reader, &self.key(key), line, entry.map(|e| &e.value), keys)
    }

    fn fill(&mut self, entries: &[Entry], keys: Keys) {
        let mut merges: Vec<Rc<Node>> = Vec::new();
        for entry in entries {
            match entry.key.as_deref() {
                Some("<<") => merges.push(Rc::clone(&entry.value)),
                Some(key) if self.wants(key, entry.line, keys) => self.add(key, entry, true),
                None if matches!(keys, Keys::All(_)) => {
                    self.reader.fault(entry.line, &self.path, "a key here must be a plain word");
                }
                _ => {}
            }
        }
        self.merge(merges, keys);
    }

    /// `<<: *base`: what is not given here comes from there; the first one wins.
    fn merge(&mut self, nodes: Vec<Rc<Node>>, keys: Keys) {
        let mut waiting: std::collections::VecDeque<Rc<Node>> = nodes.into();
        let mut seen = 0;
        while let Some(node) = waiting.pop_front() {
            seen += 1;
            match &node.kind {
                _ if seen > MERGE_LIMIT => {
                    self.reader.fault(node.line, &self.key("<<"), "merges too many mappings");
                    return;
                }
                Kind::List(items) => items.iter().rev().for_each(|n| waiting.push_front(Rc::clone(n))),
                Kind::Map(entries) => {
                    for entry in entries {
                        match entry.key.as_deref() {
                            Some("<<") => waiting.push_front(Rc::clone(&entry.value)),
                            Some(key) if self.wants(key, entry.line, keys) => self.add(key, entry, false),
                            _ => {}
                        }
                    }
                }
                _ => self.reader.fault(node.line, &self.key("<<"), "merges something that is no mapping"),
            }
        }
    }

    fn wants(&self, key: &str, line: usize, keys: Keys) -> bool {
        match keys {
            Keys::All(known) if !known.contains(&key) => {
                self.reader.fault(line, &self.key(key), unknown(key, known));
                false
            }
            Keys::Among(known) => known.contains(&key),
            Keys::All(_) => true,
        }
    }

    fn add(&mut self, key: &str, entry: &Entry, own: bool) {
        match self.entry(key) {
            Some(first) if own => {
                let message = format!("is given twice, first on line {}; keep one", first.line);
                self.reader.fault(entry.line, &self.key(key), message);
            }
            Some(_) => {}
            None => self.entries.push(entry.clone()),
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key.as_deref() == Some(key))
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The line of a key, or of the section where the key is not given.
    pub fn line(&self, key: &str) -> usize {
        self.entry(key).map_or(self.line, |e| e.line)
    }

    /// Notes a fault of a key.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.reader.fault(self.line(key), &self.key(key), message);
    }

    /// Notes a fault of `key` at the line of another key, which makes it one.
    pub fn fault_of(&self, key: &str, because: &str, message: impl Into<String>) {
        let line = if self.entry(key).is_some() { self.line(key) } else { self.line(because) };
        self.reader.fault(line, &self.key(key), message);
    }

    /// Whether a key is given and not null.
    pub fn has_value(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|e| !e.value.is_null())
    }

    /// Whether a key's value cannot be expanded: no fault where nothing uses it.
    pub fn is_unset(&self, key: &str) -> bool {
        let text = self.entry(key).and_then(|e| match &e.value.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        });
        text.is_some_and(|text| self.reader.vars.expand(text).is_err())
    }

    /// A value that has a default; written without a value it is an error.
    pub fn value<T>(&self, key: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.given(key, parse).ok().flatten().unwrap_or(default)
    }

    /// The same, without the default: `None` where the key is not there.
    pub fn given<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Noted> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        if entry.value.is_null() {
            self.fault(key, "has no value; write one, or remove the line to have the default");
            return Err(Noted);
        }
        let word = self.word(key, entry.line, &entry.value).ok_or(Noted)?;
        self.parse(key, &word, parse).map(Some).ok_or(Noted)
    }

    /// A value that may be absent: not given, null and empty are the same.
    pub fn look<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Noted> {
        let Some(entry) = self.entry(key).filter(|e| !e.value.is_null()) else { return Ok(None) };
        let word = self.word(key, entry.line, &entry.value).ok_or(Noted)?;
        if word.text.is_empty() {
            return Ok(None);
        }
        self.parse(key, &word, parse).map(Some).ok_or(Noted)
    }

    /// The same, where a wrong value may count as an absent one.
    pub fn optional<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.look(key, parse).ok().flatten()
    }

    /// A list. `None`: not given, or wrong (and noted). `hint` shows, for a plain string, the list
    /// that was probably meant.
    pub fn list<T>(
        &self,
        key: &str,
        hint: impl Fn(&str) -> String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let entry = self.entry(key)?;
        match &entry.value.kind {
            Kind::List(items) => {
                let words = items.iter().filter_map(|n| self.item(key, n));
                Some(words.filter_map(|w| self.parse(key, &w, &parse)).collect())
            }
            Kind::Scalar { text, .. } if !entry.value.is_null() => {
                self.fault(key, format!("must be a list; write {}", hint(text)));
                None
            }
            _ => {
                self.fault(key, format!("must be a list; write {}", hint("")));
                None
            }
        }
    }

    /// The text of a key that may hold a word or a list; `None` where it is no scalar.
    pub fn plain_word(&self, key: &str) -> Option<String> {
        let entry = self.entry(key)?;
        match &entry.value.kind {
            Kind::Scalar { .. } if !entry.value.is_null() => {
                self.word(key, entry.line, &entry.value).map(|w| w.text)
            }
            _ => None,
        }
    }

    fn item(&self, key: &str, node: &Rc<Node>) -> Option<Word> {
        if node.is_null() {
            self.reader.fault(node.line, &self.key(key), "an entry of the list has no value");
            return None;
        }
        self.word(key, node.line, node)
    }

    fn word(&self, key: &str, line: usize, node: &Node) -> Option<Word> {
        let refuse = |message: String| {
            self.reader.fault(line, &self.key(key), message);
            None
        };
        let Kind::Scalar { text, .. } = &node.kind else {
            return refuse("must be a single value".to_owned());
        };
        match self.reader.vars.expand(text) {
            Ok(text) if text.contains('\0') => refuse("contains a NUL character".to_owned()),
            Ok(text) => Some(Word { text, line }),
            Err(message) => refuse(message),
        }
    }

    fn parse<T>(&self, key: &str, word: &Word, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        parse(&word.text).map_err(|message| self.reader.fault(word.line, &self.key(key), message)).ok()
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    match closest(key, known) {
        Some(near) => format!("unknown key; did you mean '{near}'?"),
        None => format!("unknown key; known are {}", known.join(", ")),
    }
}

/// The known word that is most like `word`, where one is. A part of a known word counts much:
/// people shorten (`repo`) and lengthen (`health_check`).
pub fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase().replace('-', "_");
    let near = |k: &&str| {
        let k = k.replace('-', "_");
        let part = word.len() > 2 && (k.contains(&word) || word.contains(&k));
        strsim::normalized_damerau_levenshtein(&word, &k) + if part { 0.5 } else { 0.0 }
    };
    let best = known.iter().copied().max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) > 0.4).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rules::DEPLOYMENT_KEYS;

    #[test]
    fn the_closest_key_is_the_one_that_was_meant() {
        for (word, meant) in [
            ("chanel", Some("channel")),
            ("Channel", Some("channel")),
            ("minor", Some("pinned_minor")),
            ("pinned", Some("pinned_minor")),
            ("pinned-minor", Some("pinned_minor")),
            ("repo", Some("github_repo")),
            ("timeout", Some("timeouts")),
            ("health_check", Some("health")),
            ("instal", Some("install")),
            ("windows", Some("window")),
            ("max_attempt", Some("max_attempts")),
            ("min_age", Some("minimum_age")),
            ("signers", Some("allowed_signers")),
            ("idle_max", Some("idle")),
            ("zzzzzzzz", None),
            ("", None),
        ] {
            assert_eq!(closest(word, DEPLOYMENT_KEYS), meant, "{word}");
        }
    }
}
