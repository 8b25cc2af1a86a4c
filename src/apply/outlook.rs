//! `--plan`: what an update would do and what stands against it. Fetches objects, changes nothing
//! in the working tree, begins nothing.

use serde_json::{Value, json};

use super::{Applier, Request};
use crate::outcome::{Exit, Halt, Outcome};

/// Tells what `apply-update` would do now.
pub fn show(applier: &Applier<'_>, request: &Request) -> Result<Outcome, Halt> {
    let target = match applier.choose(request)? {
        Ok(target) => target,
        Err(outcome) => return Ok(outcome),
    };
    let _ = json!({});
    Ok(Outcome::new(Exit::Done, "planned", format!("{} would be installed", target.version))
        .with("to", target.version)
        .with("to_commit", Value::from(target.commit.as_str())))
}
