//! What only tests have: invented runs, and the committed schemas.

pub(crate) mod fixture;
pub(crate) mod schema;
