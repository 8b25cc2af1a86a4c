//! Texts → values: durations, windows, counts, names, URLs. Pure; an error says what is wrong with
//! the text and what to write instead.

use std::time::Duration;

use jiff::civil::Time;

use super::section::closest;
use super::settings::DayWindow;

/// Longest duration that makes sense; keeps every later sum far from overflow.
const LONGEST_DAYS: u64 = 366;

/// `30s`, `2m`, `24h`, `1d` or a plain `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("{text:?} is not a duration; write for example 30s, 2m, 1h, 1d or 0");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = digits(text[..text.len() - 1].trim_end()).ok_or_else(wrong)?;
    let seconds = number.checked_mul(unit).filter(|s| *s <= LONGEST_DAYS * 24 * 60 * 60);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("{text} is longer than {LONGEST_DAYS}d"))
}

/// A duration that is not zero.
pub fn deadline(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than 0; write for example 30s".to_owned()),
        length => Ok(length),
    }
}

/// A whole number from 0.
pub fn count(text: &str) -> Result<u32, String> {
    digits(text).ok_or_else(|| format!("{text:?} is not a whole number from 0 to {}", u32::MAX))
}

/// A whole number from 1.
pub fn positive(text: &str) -> Result<u32, String> {
    match count(text)? {
        0 => Err("must be at least 1".to_owned()),
        number => Ok(number),
    }
}

/// `str::parse` would take a sign.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The words YAML 1.2 has.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// The words YAML 1.1 has, too: the host reads the key with such a parser.
pub fn loose_yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Ok(true),
        "no" | "off" | "n" => Ok(false),
        _ => yes_or_no(text),
    }
}

/// One of some words.
pub fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = closest(text, &names).map_or(String::new(), |near| format!("; did you mean '{near}'?"));
    Err(format!("{text:?} is none of {}{hint}", names.join(", ")))
}

/// `HH:MM-HH:MM`; may cross midnight; `24:00` is allowed as the end.
pub fn window(text: &str) -> Result<DayWindow, String> {
    let wrong = || format!("{text:?} is not a window; write for example \"02:00-05:00\"");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (from.trim(), to.trim());
    let begin = time(from).ok_or_else(wrong)?;
    let end = if to == "24:00" { Time::midnight() } else { time(to).ok_or_else(wrong)? };
    if from == to {
        return Err(format!(
            "{text:?} begins and ends at the same time; for the whole day write 00:00-24:00"
        ));
    }
    Ok(DayWindow { from: begin, to: end })
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |t: &str| (t.len() == 2).then(|| digits::<i8>(t)).flatten();
    Time::new(two(hour)?, two(minute)?, 0, 0).ok()
}

/// A word of a command.
pub fn command_word(text: &str) -> Result<String, String> {
    match text {
        "" => Err("an entry of the command is empty".to_owned()),
        word => Ok(word.to_owned()),
    }
}

/// How a command that was written as one string looks as a list.
pub fn as_list(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '=');
    let quote = |w: &str| if w.chars().all(plain) { w.to_owned() } else { format!("{w:?}") };
    format!("[{}]", text.split_whitespace().map(quote).collect::<Vec<_>>().join(", "))
}

/// The name of a branch or remote: git's rules for reference names, and no leading `-`, which a
/// command line would take for a flag.
pub fn git_name(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let bad_part = |p: &str| p.is_empty() || p.starts_with('.') || p.strip_suffix(".lock").is_some();
    let wrong = text.starts_with('-')
        || text.ends_with('.')
        || matches!(text, "@" | "HEAD")
        || text.contains("..")
        || text.contains("@{")
        || text.contains(bad)
        || text.split('/').any(bad_part);
    if wrong { Err(format!("{text:?} is not a name that git allows")) } else { Ok(text.to_owned()) }
}

/// `owner/name` on the API.
pub fn github_repo(text: &str) -> Result<String, String> {
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    // As it stands in a URL, and no name on the API ends like that.
    let plain = text.strip_suffix(".git").unwrap_or(text);
    match plain.split_once('/') {
        Some((owner, name)) if good(owner) && good(name) => Ok(plain.to_owned()),
        _ => Err(format!("{text:?} is not of the form owner/name")),
    }
}

/// `owner/name` out of a remote's URL: `https://host/owner/name.git`, `ssh://git@host:22/owner/name`,
/// `git@host:owner/name`. `None`: a path, or something else.
pub fn repo_of_url(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some(("https" | "http" | "ssh" | "git" | "git+ssh" | "ssh+git", rest)) => rest.split_once('/')?.1,
        Some(_) => return None,
        None => {
            let (host, path) = url.split_once(':')?;
            (!host.is_empty() && !host.contains('/')).then_some(path)?
        }
    };
    let path = path.trim_matches('/');
    github_repo(path.strip_suffix(".git").unwrap_or(path)).ok()
}

/// The secret in a URL, as written and decoded: the password, or an http(s) user without one.
pub fn url_passwords(url: &str) -> Vec<String> {
    let (scheme, authority) = url.split_once("://").unwrap_or(("", ""));
    let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
    let Some((user, _)) = authority.rsplit_once('@') else { return Vec::new() };
    let secret = match user.split_once(':') {
        Some((_, password)) => password,
        None if scheme.starts_with("http") => user,
        None => return Vec::new(),
    };
    vec![secret.to_owned(), percent_decoded(secret)]
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = after.get(..2).filter(|_| *first == b'%').and_then(hex);
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

/// An http(s) base without the slashes at its end.
pub fn api_url(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{text:?} {why}; write for example https://api.github.com"));
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.unwrap_or("").split('/').next().unwrap_or("");
    match rest {
        None => wrong("is not an http or https URL"),
        Some(_) if host.is_empty() => wrong("names no host"),
        Some(_) if host.contains('@') => wrong("carries credentials, which belong in GITHUB_TOKEN"),
        Some(r) if r.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) => {
            wrong("is not a plain base URL")
        }
        Some(_) => Ok(text.trim_end_matches('/').to_owned()),
    }
}

/// A computer's name becomes part of Redis keys that are separated by colons.
pub fn computer_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.trim() != text || text.contains(|c: char| c.is_control() || c == ':') {
        return Err(format!("{text:?} has a colon, a control character, or blanks around it"));
    }
    Ok(text.to_owned())
}
