//! The tests' stand-in for the releases API as a program of its own, for `make demo`:
//! `release-api RELEASES.json` prints its base URL on the first line and serves the file, read
//! anew for each request, until its standard input ends or it is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a stand-in")]

use std::io::{Read, Write};

#[path = "../tests/support/api.rs"]
mod api;

fn main() {
    let file = std::env::args_os().nth(1).expect("usage: release-api RELEASES.json");
    let api = api::Api::serving_file(file.into());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", api.url()).and_then(|()| out.flush()).expect("standard output is closed");
    std::io::stdin().lock().read_to_end(&mut Vec::new()).expect("cannot wait for standard input");
}
