//! Outcome → files and one line. Changes nothing else.

pub mod history;
pub mod logs;
pub mod status;
