//! `${VAR}` and `${VAR:-default}` in values: from the environment, then from `.env`. Remembers
//! the values of secret-looking names, so that they can be masked. Reads no file.

use std::cell::RefCell;
use std::path::Path;

use super::dotenv::DotEnv;
use crate::sys::env::{Environment, NotText};

/// Defaults inside defaults, at most this deep.
const DEEPEST: usize = 8;

/// Where variables come from.
#[derive(Debug)]
pub struct Variables<'a> {
    env: &'a Environment,
    dotenv: &'a DotEnv,
    checkout: &'a Path,
    secrets: RefCell<Vec<String>>,
}

impl<'a> Variables<'a> {
    /// The environment first, then `.env`, then `WORKING_DIR`, which the host sets to the checkout.
    pub fn new(env: &'a Environment, dotenv: &'a DotEnv, checkout: &'a Path) -> Self {
        Self { env, dotenv, checkout, secrets: RefCell::default() }
    }

    /// A variable; set and empty is a value too.
    pub fn get(&self, name: &str) -> Result<Option<String>, NotText> {
        let from_env = match self.env.get_os(name) {
            Some(value) => Some(value.to_str().ok_or(NotText)?.to_owned()),
            None => None,
        };
        let value = from_env
            .or_else(|| self.dotenv.get(name).map(str::to_owned))
            .or_else(|| (name == "WORKING_DIR").then(|| self.checkout.to_string_lossy().into_owned()));
        if let Some(value) = value.as_ref().filter(|_| looks_secret(name)) {
            self.secrets.borrow_mut().push(value.clone());
        }
        Ok(value)
    }

    /// A variable that is set to something.
    pub fn filled(&self, name: &str) -> Result<Option<String>, NotText> {
        let from_env = self.env.text(name)?.filter(|v| !v.trim().is_empty());
        Ok(from_env.or_else(|| self.dotenv.get(name).filter(|v| !v.trim().is_empty()).map(str::to_owned)))
    }

    /// Values of secret-looking variables that were used so far.
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.borrow().clone()
    }

    /// The text with its variables replaced; an unset one is an error.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let odd = RefCell::new(None);
        let lookup = |name: &str| {
            self.get(name).unwrap_or_else(|fault| {
                odd.borrow_mut().get_or_insert_with(|| format!("${{{name}}} {fault}"));
                None
            })
        };
        let expanded = expand(text, &lookup, DEEPEST);
        odd.into_inner().map_or(expanded, Err)
    }
}

/// Names whose values are never shown.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|word| name.contains(word))
}

/// Replaces variables; `depth` bounds defaults inside defaults. `$${` is a literal `${`, and what
/// is no variable's name (a shell's `${x%y}`) stays as it is.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = &reference[2..];
            continue;
        }
        out.push_str(before);
        let Some(end) = closing_brace(reference) else {
            rest = reference;
            break;
        };
        match value(&reference[2..end], lookup, depth)? {
            Some(value) => out.push_str(&value),
            None => out.push_str(&reference[..=end]),
        }
        rest = &reference[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// What a reference stands for; `None`: it is no reference.
fn value(
    inside: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<Option<String>, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Ok(None);
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(Some(value)),
        (Some(value), Some(_)) if !value.is_empty() => Ok(Some(value)),
        (_, Some(_)) if depth == 0 => Err(format!("the default of ${{{name}}} is nested too deep")),
        (_, Some(default)) => expand(default, lookup, depth - 1).map(Some),
        (None, None) => Err(format!(
            "${{{name}}} is not set; set {name} in the environment or in .env, or write ${{{name}:-default}}"
        )),
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Position of the brace that closes the reference at the beginning of `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"${") {
            open += 1;
            at += 1;
        } else if bytes[at] == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${A}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("plain $A $ {A}", "plain $A $ {A}"),
            ("${A}", "a"),
            ("x${A}y${A}z", "xayaz"),
            ("${TRICKY}", "${A}"),
            ("${EMPTY}|", "|"),
            ("${EMPTY:-d}", "d"),
            ("${NO:-}|", "|"),
            ("${NO:-d:-e}", "d:-e"),
            ("${NO:-${A}}!", "a!"),
            ("${NO:-${NO2:-x}}!", "x!"),
            ("$${A}", "${A}"),
            ("${x%y} ${} ${1} ${a b}", "${x%y} ${} ${1} ${a b}"),
            ("${A", "${A"),
            ("é${A}é", "éaé"),
            ("}", "}"),
        ] {
            assert_eq!(expand(text, &lookup, DEEPEST).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = expand("x ${NOPE}", &|_| None, DEEPEST).unwrap_err();
        assert!(error.starts_with("${NOPE} is not set"), "{error}");
        let deep = "${A:-".repeat(50_000) + &"}".repeat(50_000);
        assert!(expand(&deep, &|_| None, DEEPEST).is_err());
    }
}
