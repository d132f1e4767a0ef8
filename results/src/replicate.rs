//! Published claims put to the test: what was claimed, what a stored run measured, and a verdict
//! that follows from both.
//!
//! A claim stands in the scenario that tests it, so a run folder holds everything that its verdict
//! needs. Running scenarios is the business of the binary.

mod claim;
mod judge;
mod render;
mod verdict;

pub use claim::{Claim, ClaimError, Measured, Term, Test};
pub use judge::judge;
pub use render::document;
pub use verdict::{ClaimPoint, ClaimVerdict, JudgedClaim, untested};
