//! What is pending, late or missing: a pure function of the tree, the record and the range.

use std::collections::HashSet;

use super::MigrationId;
use super::state::State;
use super::tree::Script;
use crate::version::Version;

/// The versions a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Above this one exactly, whatever the baseline; `None`: above the baseline.
    pub from: Option<Version>,
    /// Up to and with this one.
    pub to: Version,
}

/// What a range comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// To be run, in order.
    pub pending: Vec<MigrationId>,
    /// Of those, the ones in a version that was installed already.
    pub late: Vec<MigrationId>,
    /// In range and on record.
    pub done: Vec<MigrationId>,
    /// On record and no longer in the tree.
    pub missing: Vec<String>,
}

/// Tells what is to be done. `state` has its baseline made explicit.
pub fn select(scripts: &[Script], state: &State, range: &Range) -> Selection {
    let on_record = state.ids();
    let mut selection = Selection { missing: missing(scripts, state), ..Selection::default() };
    for id in scripts.iter().map(|script| &script.id).filter(|id| *id.version() <= range.to) {
        let above = |bound: &Option<Version>| bound.as_ref().is_none_or(|bound| id.version() > bound);
        let in_range = range.from.is_none() || above(&range.from);
        if in_range && on_record.contains(id.as_str()) {
            selection.done.push(id.clone());
        } else if in_range && (range.from.is_some() || above(&state.baseline)) {
            if state.installed.as_ref().is_some_and(|installed| id.version() <= installed) {
                selection.late.push(id.clone());
            }
            selection.pending.push(id.clone());
        }
    }
    selection
}

/// What `installed` is when everything pending in `range` has been done.
pub fn installed_after(scripts: &[Script], state: &State, range: &Range) -> Option<Version> {
    let on_record = state.ids();
    let counts_as_done = |id: &MigrationId| {
        state.baseline.as_ref().is_some_and(|bound| id.version() <= bound) || on_record.contains(id.as_str())
    };
    let ids = scripts.iter().map(|script| &script.id);
    if ids.filter(|id| *id.version() <= range.to).all(counts_as_done) {
        state.installed.clone().max(Some(range.to.clone()))
    } else {
        state.installed.clone()
    }
}

fn missing(scripts: &[Script], state: &State) -> Vec<String> {
    let there: HashSet<&str> = scripts.iter().map(|script| script.id.as_str()).collect();
    state.applied.iter().filter(|id| !there.contains(id.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &[&str] =
        &["1.0.0/001_a.py", "1.1.0/001_b.py", "1.1.0/002_c.py", "1.2.0/001_d.py", "1.10.0/001_e.py"];

    fn scripts() -> Vec<Script> {
        let script = |id: &&str| Script { id: MigrationId::parse(id).unwrap(), path: id.into() };
        TREE.iter().map(script).collect()
    }

    fn shown(ids: &[MigrationId]) -> String {
        ids.iter().map(|id| &id.file()[4..5]).collect()
    }

    #[test]
    fn ranges() {
        let version = |text: &str| Version::parse(text);
        // applied, baseline, installed, from, to → pending, late, done
        for (applied, baseline, installed, from, to, pending, late, done) in [
            ("", "1.0.0", "", "", "1.2.0", "bcd", "", ""),
            ("", "1.0.0", "1.1.0", "", "1.2.0", "bcd", "bc", ""),
            ("bc", "1.0.0", "1.1.0", "", "1.10.0", "de", "", "bc"),
            ("b", "1.0.0", "1.1.0", "", "1.2.0", "cd", "c", "b"),
            ("b", "1.0.0", "1.1.0", "1.1.0", "1.2.0", "d", "", ""),
            ("b", "1.2.0", "1.2.0", "1.0.0", "1.1.0", "c", "c", "b"),
            ("abcde", "", "1.10.0", "", "1.10.0", "", "", "abcde"),
            ("", "", "", "", "1.10.0", "abcde", "", ""),
            ("", "1.0.0", "", "2.0.0", "1.0.0", "", "", ""),
            ("", "1.0.0", "", "1.2.0", "1.2.0", "", "", ""),
            ("", "1.2.0-0", "1.2.0", "", "1.10.0", "de", "d", ""),
        ] {
            let mut state = State::new();
            state.baseline = version(baseline);
            state.installed = version(installed);
            for id in TREE.iter().filter(|id| applied.contains(&id[id.len() - 4..id.len() - 3])) {
                state.applied.insert((*id).to_owned());
            }
            let range = Range { from: version(from), to: version(to).unwrap() };
            let found = select(&scripts(), &state, &range);
            let case = format!("{applied} {baseline} {installed} {from} {to}");
            assert_eq!(shown(&found.pending), pending, "{case}");
            assert_eq!(shown(&found.late), late, "{case}");
            assert_eq!(shown(&found.done), done, "{case}");
        }
    }

    #[test]
    fn a_version_is_installed_when_nothing_below_it_is_left() {
        let mut state = State::new();
        state.baseline = Version::parse("1.0.0");
        let to = |text: &str| Range { from: None, to: Version::parse(text).unwrap() };
        assert_eq!(installed_after(&scripts(), &state, &to("1.1.0")), None);
        state.applied = TREE.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(installed_after(&scripts(), &state, &to("1.1.0")), Version::parse("1.1.0"));
        state.installed = Version::parse("1.10.0");
        assert_eq!(installed_after(&scripts(), &state, &to("1.1.0")), Version::parse("1.10.0"));
    }

    #[test]
    fn what_is_on_record_and_gone_is_missing() {
        let mut state = State::new();
        state.applied.extend(["1.0.0/001_a.py".to_owned(), "0.9.0/001_old.py".to_owned()]);
        let range = Range { from: None, to: Version::plain(2, 0, 0) };
        assert_eq!(select(&scripts(), &state, &range).missing, ["0.9.0/001_old.py"]);
    }
}
