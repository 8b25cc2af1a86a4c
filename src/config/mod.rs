//! Flags, environment and files become settings, checked once. `raw` is what was written,
//! `settings` is what it means.

mod settings;

pub use settings::*;

impl Settings {
    /// Reads, expands and checks the configuration of a checkout.
    pub fn load(
        _checkout: &crate::checkout::Checkout,
        _env: &crate::sys::env::Environment,
    ) -> Result<Self, crate::outcome::Halt> {
        unreachable!()
    }
}
