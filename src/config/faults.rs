//! What is wrong with a configuration, collected, so that a person mends it in one go. Each fault
//! names file, line and key. Owns their wording's shape; decides nothing.

use serde_json::{Value, json};

use crate::outcome::Halt;
use crate::sys::process::Redactor;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    line: Option<usize>,
    key: String,
    message: String,
}

/// Everything that is wrong with one file.
#[derive(Clone, Debug)]
pub struct Faults {
    file: String,
    found: Vec<Fault>,
}

impl Faults {
    /// None yet in `file`.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Adds one at a line; `key` empty: it is about the file.
    pub fn at(&mut self, line: usize, key: &str, message: impl Into<String>) {
        self.add(Some(line), key, message.into());
    }

    /// Adds one of a variable, which stands in no file of ours.
    pub fn whole(&mut self, key: &str, message: impl Into<String>) {
        self.add(None, key, message.into());
    }

    fn add(&mut self, line: Option<usize>, key: &str, message: String) {
        let fault = Fault { line, key: key.to_owned(), message };
        if !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }

    /// The whole as one error, in the order of the file; one line for each fault.
    pub fn into_result(mut self, redactor: &Redactor) -> Result<(), Halt> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|f| f.line);
        let lines: Vec<String> = self.found.iter().map(|f| redactor.clean(&self.sentence(f))).collect();
        let errors: Vec<Value> = self.found.iter().map(|f| self.json(f, redactor)).collect();
        Err(Halt::invalid(lines.join("\n")).with("errors", errors))
    }

    fn sentence(&self, fault: &Fault) -> String {
        let key = if fault.key.is_empty() { String::new() } else { format!("{}: ", fault.key) };
        match fault.line {
            Some(line) => format!("{}:{line}: {key}{}", self.file, fault.message),
            // It comes from the environment: the file is not what is to be mended.
            None => format!("{key}{}", fault.message),
        }
    }

    fn json(&self, fault: &Fault, redactor: &Redactor) -> Value {
        json!({
            "file": fault.line.map(|_| &self.file),
            "line": fault.line,
            "key": fault.key,
            "message": redactor.clean(&fault.message),
        })
    }
}
