//! Keeps a daemon that runs from a git checkout up to date.
//!
//! Data flows one way:
//!
//! 1. [`config`]: flags, environment and files become settings;
//! 2. [`detect`]: what the remote offers;
//! 3. [`signal`]: the offer, published for the applier;
//! 4. [`plan`]: settings + signal + checkout → a plan, or the reason why not;
//! 5. [`apply`]: performs the plan, [`migrate`] runs the migrations in it;
//! 6. [`report`]: what happened, to files, people and other programs.
//!
//! [`sys`] holds the doors to the operating system, [`cli`] turns arguments into requests.

pub mod apply;
pub mod checked;
pub mod checkout;
pub mod cli;
pub mod config;
pub mod detect;
pub mod failed;
pub mod hold;
pub mod home;
pub mod migrate;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod project;
pub mod report;
pub mod signal;
pub mod sys;
pub mod version;
