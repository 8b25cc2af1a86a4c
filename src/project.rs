//! The deployed project's own name and version, as its files tell them, and which version is
//! installed. Reads three well-known files in the checkout; changes nothing.

use std::path::Path;

use serde::Deserialize;

use crate::sys::plain::{self, Unreadable};
use crate::version::Version;

/// What the project files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The project's name.
    pub name: Option<String>,
    /// Its version, where it is a strict one.
    pub version: Option<Version>,
}

/// A project file's parser.
type Parse = fn(&str) -> Option<Told>;

/// The files, in the order in which they are asked.
const FILES: &[(&str, Parse)] =
    &[("pyproject.toml", pyproject), ("Cargo.toml", cargo), ("package.json", package_json)];

impl Project {
    /// Reads the files of a checkout. One that is absent, unreadable or no project file is passed
    /// over: then the project has no name or version of its own.
    pub fn read(top: &Path) -> Self {
        Self::from_files(|name| match plain::read_linked(&top.join(name)) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(Unreadable::Missing) => None,
            Err(why) => {
                crate::sys::warning::warn(&format!("cannot read {}: {why}", top.join(name).display()));
                None
            }
        })
    }

    /// The same from any source of files, such as another commit's tree. Name and version are each
    /// the first that is told: a `pyproject.toml` whose version is dynamic leaves it to the others.
    pub fn from_files(mut text_of: impl FnMut(&str) -> Option<String>) -> Self {
        let mut told = Told::default();
        for (file, parse) in FILES {
            if told.name.is_some() && told.version.is_some() {
                break;
            }
            let Some(text) = text_of(file) else { continue };
            if let Some(more) = parse(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
                told = Told { name: told.name.or(more.name), version: told.version.or(more.version) };
            }
        }
        Self { name: told.name, version: told.version.and_then(|text| Version::parse(&text)) }
    }
}

/// The installed version: the highest version tag at HEAD, else the project file's version. Of tags
/// that differ in build metadata alone it is the one without.
pub fn installed_version(tags_at_head: &[String], project: &Project) -> Option<Version> {
    let highest = tags_at_head.iter().filter_map(|tag| Version::parse(tag)).max_by(|a, b| {
        let among_equals = |v: &Version| (!v.has_build(), v.clone());
        a.cmp_precedence(b).then_with(|| among_equals(a).cmp(&among_equals(b)))
    });
    highest.or_else(|| project.version.clone())
}

/// What one file tells, blanks left out. Its version may turn out to be no strict one.
#[derive(Default)]
struct Told {
    name: Option<String>,
    version: Option<String>,
}

impl Told {
    fn new(name: Option<&str>, version: Option<&str>) -> Self {
        let text = |told: Option<&str>| Some(told?.trim().to_owned()).filter(|text| !text.is_empty());
        Self { name: text(name), version: text(version) }
    }
}

/// Name and version in any of the tables; a field of another type (`version.workspace = true`)
/// counts as not told.
#[derive(Default, Deserialize)]
struct Table {
    name: Option<toml::Value>,
    version: Option<toml::Value>,
}

impl Table {
    fn told(&self) -> Told {
        Told::new(text(self.name.as_ref()), text(self.version.as_ref()))
    }
}

fn text(value: Option<&toml::Value>) -> Option<&str> {
    value?.as_str()
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Table>,
    tool: Option<PyTool>,
}

#[derive(Deserialize)]
struct PyTool {
    poetry: Option<Table>,
}

fn pyproject(text: &str) -> Option<Told> {
    let file: PyProject = toml::from_str(text).ok()?;
    let standard = file.project.unwrap_or_default();
    let poetry = file.tool.and_then(|t| t.poetry).unwrap_or_default();
    Some(Table { name: standard.name.or(poetry.name), version: standard.version.or(poetry.version) }.told())
}

#[derive(Deserialize)]
struct CargoToml {
    package: Option<Table>,
    workspace: Option<CargoWorkspace>,
}

#[derive(Deserialize)]
struct CargoWorkspace {
    package: Option<Table>,
}

fn cargo(text: &str) -> Option<Told> {
    let file: CargoToml = toml::from_str(text).ok()?;
    let package = file.package.unwrap_or_default();
    let shared = file.workspace.and_then(|w| w.package).unwrap_or_default();
    let is_text = |v: &toml::Value| v.is_str();
    Some(Table { name: package.name, version: package.version.filter(is_text).or(shared.version) }.told())
}

fn package_json(text: &str) -> Option<Told> {
    let file: serde_json::Value = serde_json::from_str(text).ok()?;
    let field = |key: &str| file.get(key)?.as_str();
    Some(Told::new(field("name"), field("version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<Version> {
        Version::parse(text)
    }

    #[test]
    fn files_tell_name_and_version() {
        for (file, text, name, told) in [
            ("pyproject.toml", "[project]\nname = \"A\"\nversion = \"1.2.3\"", Some("A"), version("1.2.3")),
            (
                "pyproject.toml",
                "[tool.poetry]\nname = \"B\"\nversion = \"0.1.0\"",
                Some("B"),
                version("0.1.0"),
            ),
            (
                "pyproject.toml",
                "[project]\nname = \"A\"\ndynamic = [\"version\"]\n[tool.poetry]\nversion = \"2.0.0\"",
                Some("A"),
                version("2.0.0"),
            ),
            ("pyproject.toml", "[project]\nname = \"A\"\nversion = \"2024.1\"", Some("A"), None),
            ("Cargo.toml", "[package]\nname = \"c\"\nversion = \"1.0.0\"", Some("c"), version("1.0.0")),
            (
                "Cargo.toml",
                "[package]\nname = \"c\"\nversion.workspace = true\n[workspace.package]\nversion = \"3.1.0\"",
                Some("c"),
                version("3.1.0"),
            ),
            (
                "package.json",
                "\u{20}{\"name\": \"@x/y\", \"version\": \"1.0.0-rc.1\"}",
                Some("@x/y"),
                version("1.0.0-rc.1"),
            ),
            ("package.json", "[1]", None, None),
            ("pyproject.toml", "[tool.ruff]\nx = 1", None, None),
            ("pyproject.toml", "not toml [", None, None),
            ("pyproject.toml", "[project]\nname = 3\nversion = []", None, None),
        ] {
            let project = Project::from_files(|f| (f == file).then(|| text.to_owned()));
            assert_eq!((project.name.as_deref(), project.version), (name, told), "{file}: {text}");
        }
    }

    /// Name and version where the three files are these.
    fn of_three(files: [&str; 3]) -> (Option<String>, Option<Version>) {
        let place = |file: &str| FILES.iter().position(|(name, _)| *name == file).unwrap();
        let project = Project::from_files(|file| Some(files[place(file)].to_owned()));
        (project.name, project.version)
    }

    #[test]
    fn name_and_version_are_each_the_first_that_is_told() {
        let cargo = "[package]\nname = \"c\"\nversion = \"1.0.0\"";
        let package = "{\"name\": \"j\", \"version\": \"9.0.0\"}";
        let dynamic = "[project]\nname = \"p\"\ndynamic = [\"version\"]";
        for (files, name, told) in [
            (["[tool.black]\n", cargo, package], "c", version("1.0.0")),
            ([dynamic, cargo, package], "p", version("1.0.0")),
            ([dynamic, "[workspace]", package], "p", version("9.0.0")),
            ([dynamic, "[workspace]", "{}"], "p", None),
            (["[project]\nversion = \"2.0.0\"", cargo, package], "c", version("2.0.0")),
            // A version that is not a strict one is still the project's: no other file's counts.
            (["[project]\nname = \"p\"\nversion = \"2024.1\"", cargo, package], "p", None),
        ] {
            assert_eq!(of_three(files), (Some(name.to_owned()), told), "{files:?}");
        }
    }

    #[test]
    fn installed_is_the_highest_tag_else_the_file() {
        let project = Project { version: version("1.0.0"), ..Project::default() };
        for (tags, installed) in [
            (vec!["v1.9.0", "v1.10.0", "nightly", "v2"], "1.10.0"),
            (vec!["1.2.0"], "1.2.0"),
            (vec!["nightly"], "1.0.0"),
            (vec![], "1.0.0"),
        ] {
            let tags: Vec<String> = tags.into_iter().map(str::to_owned).collect();
            assert_eq!(installed_version(&tags, &project), version(installed), "{tags:?}");
        }
        assert_eq!(installed_version(&[], &Project::default()), None);
    }
}
