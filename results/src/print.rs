//! Text for a terminal, and Markdown, from the same tables.

pub(crate) mod markdown;
pub(crate) mod terminal;
