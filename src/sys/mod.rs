//! The only doors to the operating system: environment, clock, locks, stored files, processes,
//! git and HTTP. Each module is the one place that makes its kind of call; none of them decides
//! anything about updates.

pub mod append;
pub mod clock;
pub mod durable;
pub mod env;
pub mod failpoint;
pub mod folder;
pub mod git;
pub mod http;
pub mod lock;
pub mod plain;
pub mod process;
pub mod store;
pub mod warning;
