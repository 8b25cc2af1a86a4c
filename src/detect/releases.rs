//! Beta and stable by the releases API: what its answers say. Pure; the conversation is in `api`.
//! Source for the fields: <https://docs.github.com/en/rest/releases/releases#list-releases>.

use serde_json::Value;

use crate::checked::is_web_address;

use super::cache::Release;
use super::choose::{Candidate, Offers, version_of_tag};

/// Reads one page. Anything but a list of releases is an error: silence is not "no release".
pub fn parse_page(body: &[u8]) -> Result<Vec<Release>, String> {
    if body.is_empty() {
        return Err("the body is empty".to_owned());
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON ({e})"))?;
    let Value::Array(entries) = value else { return Err("the body is not a list of releases".to_owned()) };
    entries.iter().map(parse_release).collect()
}

fn parse_release(entry: &Value) -> Result<Release, String> {
    let tag = entry.get("tag_name").and_then(Value::as_str).ok_or("a release has no tag_name")?;
    Ok(Release {
        tag: tag.to_owned(),
        draft: flag(entry, "draft")?,
        prerelease: flag(entry, "prerelease")?,
        published_at: entry.get("published_at").and_then(Value::as_str).and_then(|t| t.parse().ok()),
        url: entry.get("html_url").and_then(Value::as_str).filter(|u| is_web_address(u)).map(str::to_owned),
    })
}

fn flag(entry: &Value, key: &str) -> Result<bool, String> {
    match entry.get(key) {
        None => Ok(false),
        Some(Value::Bool(set)) => Ok(*set),
        Some(_) => Err(format!("a release's {key} is neither true nor false")),
    }
}

/// The versions among releases: no drafts, no prereleases; odd tags are counted.
pub fn offers<'a>(releases: impl Iterator<Item = &'a Release>) -> Offers {
    let mut offers = Offers::default();
    for release in releases.filter(|r| !r.draft && !r.prerelease) {
        match version_of_tag(&release.tag) {
            Some(version) => offers.candidates.push(Candidate {
                version,
                tag: release.tag.clone(),
                commit: None,
                published_at: release.published_at,
                release_url: release.url.clone(),
            }),
            None => offers.skipped_tags += 1,
        }
    }
    offers
}

/// When a release was published and its page: what a list of tags does not say.
pub fn adorn(candidates: &mut [Candidate], releases: &[Release]) {
    for candidate in candidates {
        if let Some(release) = releases.iter().find(|r| r.tag == candidate.tag) {
            candidate.published_at = candidate.published_at.or(release.published_at);
            candidate.release_url.clone_from(&release.url);
        }
    }
}

/// The address with `rel="next"` in a `Link` header (RFC 8288).
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
pub fn next_page(link: &str) -> Option<String> {
    let mut rest = link;
    while let Some(begin) = rest.find('<') {
        let (address, after) = rest[begin + 1..].split_once('>')?;
        // Parameters end at the comma before the next `<`.
        let end = after.find('<').unwrap_or(after.len());
        if after[..end].split([';', ',']).any(|parameter| is_next(parameter.trim())) {
            return Some(address.to_owned());
        }
        rest = &after[end..];
    }
    None
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && value.split_whitespace().any(|w| w.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(tag: &str, draft: bool, prerelease: bool) -> Release {
        Release { tag: tag.to_owned(), draft, prerelease, published_at: None, url: None }
    }

    #[test]
    fn garbage_is_an_error_and_never_an_empty_list() {
        assert_eq!(parse_page(b"[]").unwrap(), []);
        for garbage in [
            &b""[..],
            b"<html></html>",
            b"{}",
            b"null",
            b"[{\"tag_name\": \"v1.0.0\"",
            b"[1]",
            b"[{}]",
            b"[{\"tag_name\": 7}]",
            b"[{\"tag_name\": \"v1.0.0\", \"draft\": \"no\"}]",
            b"\xff\xfe",
        ] {
            assert!(parse_page(garbage).is_err(), "{}", String::from_utf8_lossy(garbage));
        }
        assert!(parse_page("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn optional_fields_are_taken_only_when_they_are_sound() {
        let page = parse_page(
            br#"[{"tag_name": "v1.0.0", "published_at": "2026-01-02T03:04:05Z", "html_url": "https://h/x"},
                {"tag_name": "v1.1.0", "published_at": null, "html_url": "javascript:x"},
                {"tag_name": "v1.2.0", "html_url": "https://u:p@h/x"}]"#,
        )
        .unwrap();
        assert_eq!(page[0].published_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(page[0].url.as_deref(), Some("https://h/x"));
        for page in &page[1..] {
            assert_eq!((page.published_at, page.url.as_deref()), (None, None));
        }
    }

    #[test]
    fn drafts_prereleases_and_odd_tags_are_passed_over() {
        let releases = [
            release("v1.0.0", false, false),
            release("v1.1.0", true, false),
            release("v1.2.0", false, true),
            release("nightly", false, false),
        ];
        let found = offers(releases.iter());
        assert_eq!(found.candidates.len(), 1);
        assert_eq!((found.candidates[0].tag.as_str(), found.skipped_tags), ("v1.0.0", 1));
    }

    #[test]
    fn the_next_page_is_found_in_every_way_to_write_it() {
        for (link, next) in [
            (
                r#"<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last""#,
                Some("https://h/a?page=2"),
            ),
            (r#"<https://h/a,b>; rel="prev", <https://h/c>; title="x"; rel=next"#, Some("https://h/c")),
            (r#"<https://h/c>; rel="last next""#, Some("https://h/c")),
            (r#"<https://h/a>; rel="last""#, None),
            ("rubbish <", None),
            ("", None),
        ] {
            assert_eq!(next_page(link).as_deref(), next, "{link}");
        }
    }
}
