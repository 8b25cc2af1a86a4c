//! What tells whether a script is still the one that was run. Reads files, changes nothing.

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::tree::Script;
use crate::sys::folder::Folder;
use crate::version::Version;

/// Reads scripts, one after the other: every one on record in every run. The folder of the last
/// version and the room for a text are kept.
#[derive(Debug)]
pub struct Reader {
    folder: Option<(Version, Folder)>,
    text: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { folder: None, text: Vec::with_capacity(64 << 10) }
    }
}

impl Reader {
    /// See [`fingerprint`].
    pub fn fingerprint(&mut self, script: &Script) -> anyhow::Result<String> {
        self.read(script).with_context(|| format!("cannot read {}", script.path.display()))?;
        Ok(fingerprint(&self.text))
    }

    fn read(&mut self, script: &Script) -> std::io::Result<()> {
        let version = script.id.version();
        let folder = match self.folder.take() {
            Some((known, folder)) if known == *version => folder,
            _ => Folder::open(script.path.parent().unwrap_or(&script.path))?,
        };
        let done = folder.read(script.id.file(), &mut self.text);
        self.folder = Some((version.clone(), folder));
        done
    }
}

impl Script {
    /// See [`fingerprint`].
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        Reader::default().fingerprint(self)
    }
}

/// The sha256 (hex) of a script's text with LF line ends and without a byte order mark.
pub fn fingerprint(bytes: &[u8]) -> String {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let digest =
        if text.contains(&b'\r') { Sha256::digest(with_line_feeds(text)) } else { Sha256::digest(text) };
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn with_line_feeds(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        if *byte == b'\r' {
            bytes.next_if_eq(&&b'\n');
            out.push(b'\n');
        } else {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_text_not_of_its_line_ends() {
        let plain = fingerprint(b"a\nb\n");
        assert_eq!(plain, fingerprint(b"\xef\xbb\xbfa\r\nb\r\n"));
        assert_eq!(plain, fingerprint(b"a\rb\n"));
        assert_ne!(plain, fingerprint(b"a\n\nb\n"));
        assert_eq!(fingerprint(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
