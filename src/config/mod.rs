//! Flags, environment and files become settings, checked once; after that nothing else reads
//! them. Data flows `source` (files) → `yaml` (tree with lines) → `section` (typed, expanded
//! values) → `deployment` (rules) → `settings` (what it means). Changes nothing.

mod check;
mod deployment;
mod dotenv;
mod expand;
mod faults;
mod host;
mod paths;
mod section;
mod settings;
mod source;
mod values;
mod yaml;

pub use check::check;
pub use deployment::Surroundings;
pub use dotenv::DotEnv;
pub use settings::*;
