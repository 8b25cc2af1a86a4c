//! The deployed project's own name and version, as its files tell them, and which version is
//! installed. Reads three well-known files in the checkout; changes nothing.

use std::path::Path;

use serde::Deserialize;

use crate::sys::plain::{self, Unreadable};
use crate::version::Version;

/// What a project file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The project's name.
    pub name: Option<String>,
    /// Its version, where it is a strict one.
    pub version: Option<Version>,
    /// The file it was read from.
    pub file: Option<&'static str>,
}

/// A project file's parser.
type Parse = fn(&str) -> Option<Project>;

/// The files, the first that tells a name or version wins.
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

    /// The same from any source of files, such as another commit's tree.
    pub fn from_files(mut text_of: impl FnMut(&str) -> Option<String>) -> Self {
        let told = FILES.iter().find_map(|(file, parse)| {
            let text = text_of(file)?;
            let project = parse(text.strip_prefix('\u{feff}').unwrap_or(&text))?;
            Some(Self { file: Some(file), ..project })
        });
        told.unwrap_or_default()
    }

    fn new(name: Option<String>, version: Option<&str>) -> Option<Self> {
        let version = version.and_then(|v| Version::parse(v.trim()));
        let name = name.filter(|n| !n.trim().is_empty());
        (name.is_some() || version.is_some()).then_some(Self { name, version, file: None })
    }
}

/// The installed version: the highest version tag at HEAD, else the project file's version.
pub fn installed_version(tags_at_head: &[String], project: &Project) -> Option<Version> {
    let highest = tags_at_head.iter().filter_map(|tag| Version::parse(tag)).max();
    highest.or_else(|| project.version.clone())
}

/// Name and version in any of the tables; a field of another type (`version.workspace = true`)
/// counts as not told.
#[derive(Default, Deserialize)]
struct Told {
    name: Option<toml::Value>,
    version: Option<toml::Value>,
}

impl Told {
    fn project(self) -> Option<Project> {
        let name = self.name.as_ref().and_then(toml::Value::as_str).map(str::to_owned);
        Project::new(name, self.version.as_ref().and_then(toml::Value::as_str))
    }
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Told>,
    tool: Option<PyTool>,
}

#[derive(Deserialize)]
struct PyTool {
    poetry: Option<Told>,
}

fn pyproject(text: &str) -> Option<Project> {
    let file: PyProject = toml::from_str(text).ok()?;
    let standard = file.project.unwrap_or_default();
    let poetry = file.tool.and_then(|t| t.poetry).unwrap_or_default();
    Told { name: standard.name.or(poetry.name), version: standard.version.or(poetry.version) }.project()
}

#[derive(Deserialize)]
struct CargoToml {
    package: Option<Told>,
    workspace: Option<CargoWorkspace>,
}

#[derive(Deserialize)]
struct CargoWorkspace {
    package: Option<Told>,
}

fn cargo(text: &str) -> Option<Project> {
    let file: CargoToml = toml::from_str(text).ok()?;
    let package = file.package.unwrap_or_default();
    let shared = file.workspace.and_then(|w| w.package).unwrap_or_default();
    let is_text = |v: &toml::Value| v.is_str();
    Told { name: package.name, version: package.version.filter(is_text).or(shared.version) }.project()
}

fn package_json(text: &str) -> Option<Project> {
    let file: serde_json::Value = serde_json::from_str(text).ok()?;
    let field = |key: &str| file.get(key)?.as_str();
    Project::new(field("name").map(str::to_owned), field("version"))
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

    #[test]
    fn the_first_file_that_tells_anything_wins() {
        let project = Project::from_files(|file| {
            Some(match file {
                "pyproject.toml" => "[tool.black]\n".to_owned(),
                "Cargo.toml" => "[package]\nname = \"c\"\nversion = \"1.0.0\"".to_owned(),
                _ => "{\"name\": \"j\", \"version\": \"9.0.0\"}".to_owned(),
            })
        });
        assert_eq!((project.file, project.name.as_deref()), (Some("Cargo.toml"), Some("c")));
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
