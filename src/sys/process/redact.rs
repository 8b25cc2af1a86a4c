//! Known secrets never reach a file, a message or Redis: they become `***`.

/// What a secret is replaced by.
pub const MASK: &str = "***";

/// Secrets shorter than this would mask half of every log.
const SHORTEST: usize = 4;

/// Knows the secrets of this run.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// A redactor for the given secrets; the longest is masked first, so that one that contains
    /// another disappears whole.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> =
            secrets.into_iter().filter(|s| s.len() >= SHORTEST && s != MASK).collect();
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// One that knows these secrets too.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = String>) -> Self {
        Self::new(self.secrets.iter().cloned().chain(more))
    }

    /// The text without the secrets and without credentials in URLs.
    pub fn clean(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), MASK);
            }
        }
        mask_url_credentials(&out)
    }

    /// The same for bytes; what is not UTF-8 is replaced.
    pub fn clean_bytes(&self, bytes: &[u8]) -> String {
        self.clean(&String::from_utf8_lossy(bytes))
    }
}

/// `https://user:pass@host` and `https://token@host` become `https://***@host`.
fn mask_url_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>'))
            .unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(sign) if !is_plain_user(before, &after[..sign]) => {
                out.push_str(MASK);
                rest = &after[sign..];
            }
            _ => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// `ssh://git@host` names a user, not a secret.
fn is_plain_user(scheme: &str, user: &str) -> bool {
    scheme.ends_with("ssh://") && !user.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_url_credentials_are_masked() {
        let redactor = Redactor::new(["s3cret".to_owned(), "s3cret-longer".to_owned(), String::new()]);
        for (text, clean) in [
            ("token s3cret-longer and s3cret", "token *** and ***"),
            ("https://me:pw@host/x and http://tok@h", "https://***@host/x and http://***@h"),
            ("ssh://git@host/x a@b", "ssh://git@host/x a@b"),
            ("https://host/a@b", "https://host/a@b"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
    }
}
