//! Each computer's place in a span of time: the same at every run, another one for every version,
//! and spread evenly, so that the share of computers whose turn it is grows evenly with time.

use sha2::{Digest, Sha256};

/// A number in 0 ≤ x < 1 that depends on computer and version alone.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
pub fn fraction(computer: &str, version: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(computer.as_bytes());
    hash.update([0]);
    hash.update(version.as_bytes());
    let digest = hash.finalize();
    let bits = digest.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
