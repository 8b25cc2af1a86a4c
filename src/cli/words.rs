//! Words as people type them → words as argh takes them: `--name=value`, and help wherever it
//! stands. Knows which flags of the workers have a value; nothing of what they mean.

/// The flags of the workers that have a value.
const VALUED: &[&str] = &["--repo", "--to", "--from", "--for", "--timeout", "--lock-timeout", "--python"];

/// `--name=value` in two words, where the flag has a value.
pub(super) fn split_values(words: &[&str]) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut flags = true;
    let mut value = false;
    for word in words {
        flags = flags && (value || *word != "--");
        match word.split_once('=') {
            Some((name, text)) if flags && !value && VALUED.contains(&name) => {
                out.extend([name.to_owned(), text.to_owned()]);
            }
            _ => {
                value = flags && !value && VALUED.contains(word);
                out.push((*word).to_owned());
            }
        }
    }
    out
}

/// Whether help is asked for: not by a flag's value, nor behind `--`.
pub(super) fn ask_for_help(words: &[&str]) -> bool {
    flags_and_words(words).any(|word| matches!(word, "--help" | "-h"))
}

/// The first word that is no flag and no flag's value.
pub(super) fn first_command<'w>(words: &[&'w str]) -> Option<&'w str> {
    flags_and_words(words).find(|word| !word.starts_with('-'))
}

/// Without the values of flags and what is behind `--`.
fn flags_and_words<'w>(words: &[&'w str]) -> impl Iterator<Item = &'w str> {
    let mut value = false;
    words.iter().copied().take_while(|word| *word != "--").filter(move |word| {
        let is_value = std::mem::take(&mut value);
        value = !is_value && VALUED.contains(word);
        !is_value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_off_where_a_flag_has_one() {
        for (words, split) in [
            (&["--to=1=2", "--json=yes"][..], &["--to", "1=2", "--json=yes"][..]),
            (&["--to", "--repo=x"], &["--to", "--repo=x"]),
            (&["--repo="], &["--repo", ""]),
            (&["a", "--", "--to=1"], &["a", "--", "--to=1"]),
        ] {
            assert_eq!(split_values(words), split, "{words:?}");
        }
    }

    #[test]
    fn help_and_the_command_are_found_between_flags() {
        for (words, help, command) in [
            (&["--json", "lint", "-h"][..], true, Some("lint")),
            (&["--to", "-h"], false, None),
            (&["--repo", "x", "--help"], true, None),
            (&["new", "--", "-h"], false, Some("new")),
        ] {
            assert_eq!((ask_for_help(words), first_command(words)), (help, command), "{words:?}");
        }
    }
}
