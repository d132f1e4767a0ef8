//! One page of HTML that fetches nothing. All text is escaped by the templates; plots are ours.

use askama::Template;
use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::document::{Block, Document};
use crate::plots::theme;

/// What the page can do beside being read.
const SCRIPT: &str = include_str!("explore.js");

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'d> {
    document: &'d Document,
    plot_style: String,
    script: &'static str,
    script_hash: String,
}

#[derive(Template)]
#[template(path = "blocks.html")]
struct Blocks<'d> {
    blocks: &'d [Block],
}

impl Page<'_> {
    fn blocks(&self) -> Blocks<'_> {
        Blocks { blocks: &self.document.blocks }
    }
}

impl Blocks<'_> {
    #[expect(clippy::unused_self, reason = "a template calls methods")]
    fn inner<'b>(&self, blocks: &'b [Block]) -> Blocks<'b> {
        Blocks { blocks }
    }
}

/// The whole page.
///
/// # Errors
/// None that a page could cause.
pub fn page(document: &Document) -> Result<String, askama::Error> {
    // No other script may run, whatever stored text says.
    let script_hash = format!("sha256-{}", BASE64.encode(&Sha256::digest(SCRIPT)));
    Page { document, plot_style: theme::style_sheet(), script: SCRIPT, script_hash }.render()
}
