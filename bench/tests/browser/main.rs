//! Pages in a real browser: a report, what it tells, hides, sorts and filters; and of every page, that
//! it is sound and can be read in the dark, on a phone and in print.
//!
//! Needs `chromium`, `chromedriver` and `tidy`; `scripts/test` runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;
mod pages;
mod report;
mod texts;
