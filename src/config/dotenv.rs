//! The `.env` file: `NAME=value` lines with `export`, quotes and comments. A line that is none of
//! these is somebody else's and is passed over. Parsing only; reads no file.

use std::collections::BTreeMap;

use super::expand::{expand, looks_secret};

/// The variables of a `.env` file.
#[derive(Clone, Debug, Default)]
pub struct DotEnv {
    vars: BTreeMap<String, String>,
}

impl DotEnv {
    /// Parses the text. `${NAME}` in unquoted and double-quoted values is replaced, from `outer`
    /// first, then from the lines above; unset is empty.
    pub fn parse(text: &str, outer: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut vars = BTreeMap::new();
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        while !rest.is_empty() {
            let line = rest.lines().next().unwrap_or("");
            let Some((name, start)) = assignment(line) else {
                rest = after_line(rest);
                continue;
            };
            let (value, verbatim, left) = read_value(start, &rest[line.len() - start.len()..]);
            rest = after_line(left);
            let lookup = |n: &str| outer(n).or_else(|| vars.get(n).cloned()).or(Some(String::new()));
            let value = if verbatim { value } else { expand(&value, &lookup, 8).unwrap_or(value) };
            vars.insert(name.to_owned(), value);
        }
        Self { vars }
    }

    /// A variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// Values that must never be shown, and the lines of those that have several.
    pub fn secrets(&self) -> Vec<String> {
        let values = self.vars.iter().filter(|(name, _)| looks_secret(name)).map(|(_, value)| value);
        values.flat_map(|v| std::iter::once(v.as_str()).chain(v.lines())).map(str::to_owned).collect()
    }
}

/// `NAME` and what comes after the `=`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(after) if after.starts_with([' ', '\t']) => after.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix('\'').and_then(|n| n.strip_suffix('\'')).unwrap_or(name);
    let good = !name.is_empty() && !name.starts_with('#') && !name.contains(char::is_whitespace);
    good.then_some((name, value.trim_start_matches([' ', '\t'])))
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}

/// The value, whether it is verbatim (single quotes), and the text after it. `line` is the rest
/// of the line, `text` the same with the lines below, which a quoted value may go on in.
fn read_value<'a>(line: &str, text: &'a str) -> (String, bool, &'a str) {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote)
            && let Some((value, used)) = quoted(inside, quote)
        {
            return (value, quote == '\'', &inside[used..]);
        }
    }
    (unquoted(line), false, text)
}

/// The content up to the closing quote, and how many bytes were used, the quote included.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((value, at + c.len_utf8()));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let (_, escaped) = chars.next()?;
        match (quote, escaped) {
            (_, '\\') => value.push('\\'),
            (_, e) if e == quote => value.push(e),
            ('"', 'n') => value.push('\n'),
            ('"', 'r') => value.push('\r'),
            ('"', 't') => value.push('\t'),
            (_, other) => value.extend(['\\', other]),
        }
    }
    None
}

/// Without the comment and the blanks around it.
fn unquoted(line: &str) -> String {
    let mut end = line.len();
    let mut before_is_blank = true;
    for (at, c) in line.char_indices() {
        if c == '#' && before_is_blank {
            end = at;
            break;
        }
        before_is_blank = c.is_whitespace();
    }
    line[..end].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_would() {
        let text = "\u{feff}A=1\r\n# comment=2\n\nexport B = two words # tail\nC='it''s # ${A}'\n\
            D=\"a\\n\\\"b\\\" ${A}\" # tail\nE=x#y\nF=\nno assignment\nG=\"two\nlines\" # t\nH=after\n\
            exported=yes\nI='open\nJ=${H}-${OUT}-${NONE}\n=z\nK=\"\"\nA B=1\n";
        let env = DotEnv::parse(text, &|n| (n == "OUT").then(|| "out".to_owned()));
        for (name, value) in [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("it")),
            ("D", Some("a\n\"b\" 1")),
            ("E", Some("x#y")),
            ("F", Some("")),
            ("G", Some("two\nlines")),
            ("H", Some("after")),
            ("exported", Some("yes")),
            ("I", Some("'open")),
            ("J", Some("after-out-")),
            ("K", Some("")),
            ("no", None),
            ("", None),
        ] {
            assert_eq!(env.get(name), value, "{name}");
        }
    }

    #[test]
    fn secret_values_are_known() {
        let env = DotEnv::parse("API_TOKEN=abcd\nPLAIN=x\nPrivate_Key=\"one\ntwo\"\n", &|_| None);
        assert_eq!(env.secrets(), ["abcd", "abcd", "one\ntwo", "one", "two"]);
    }
}
