//! Flags, environment and files become settings, checked once; after that nothing else reads
//! them. Data flows `source` (files) → `yaml` (tree with lines) → `section` (typed, expanded
//! values) → `rules` (what must hold) →
//! `deployment` (all of it together) → `settings` (what it means). Changes nothing.

mod check;
mod deployment;
mod dotenv;
mod expand;
mod faults;
mod host;
mod paths;
mod rules;
mod section;
mod settings;
mod source;
mod values;
mod yaml;

pub use check::check;
pub use deployment::Surroundings;
pub use dotenv::DotEnv;
pub use settings::*;
pub use values::url_passwords;
