//! Every kind of page that the program makes: valid, whole, without a word to the network, and to
//! be read in light and dark, on a phone and on paper.

use std::path::{Path, PathBuf};
use std::process::Command;

use fantoccini::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::driver::{in_colours, in_print, on_file, on_phone, value};
use crate::texts::illegible;

/// Where the recorded runs are.
const RUNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/reference");

/// Commands that make a page with `-o`, in the folder of recorded runs, and the page's name.
const PAGES: [(&str, &str); 8] = [
    ("report default-6.1", "report.html"),
    ("report churn-6.1", "report.html"),
    ("compare kernels-5.10-7.3 --base-kernel 6.1 --new-kernel 6.12", "compare.html"),
    ("capacity default-6.1 --slo connect.p50<150k --at 5000", "capacity.html"),
    ("advise nftables-6.1 --services 3000", "advise.html"),
    ("clocks clocks-wall clocks-instructions", "clock-validation.html"),
    ("trend --store gate-instructions-6.1", "trend.html"),
    ("check --kernel host --proxy nftables-1.37 --family ipv4", "check.html"),
];

/// Makes a page.
fn made(arguments: &str, name: &str, dir: &Path) -> PathBuf {
    let arguments = arguments.split(' ');
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
    let output = command.args(arguments).arg("-o").arg(dir).current_dir(RUNS).output().unwrap();
    let page = dir.join(name);
    assert!(page.exists(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    page
}

/// The page is as the standard wants it.
fn is_valid(page: &Path) {
    let output = Command::new("tidy").args(["-errors", "-quiet"]).arg(page).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", page.display());
}

/// How many there are of what an expression lists.
async fn none(browser: &Client, what: &str, listed: &str) {
    let found = value(browser, &format!("{listed}.map(one => one.outerHTML.slice(0, 200))")).await;
    assert_eq!(found, json!([]), "{what}");
}

async fn is_sound(browser: &Client) {
    assert_eq!(value(browser, "performance.getEntriesByType('resource').length").await, 0);
    let all = |selector: &str| format!("[...document.querySelectorAll('{selector}')]");
    let ids = all("[id]");
    none(
        browser,
        "ids twice",
        &format!(
            "{ids}.filter(one => document.querySelectorAll('#' + CSS.escape(one.id)).length > 1)"
        ),
    )
    .await;
    let anchors = all("a[href^=\"#\"]");
    none(
        browser,
        "links to nothing",
        &format!(
            "{anchors}.filter(one => !document.getElementById(one.getAttribute('href').slice(1)))"
        ),
    )
    .await;
    let controls = all("button, input, svg, summary");
    none(browser, "no name", &format!("{controls}.filter(one => !(one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label')))")).await;
    let headings =
        value(browser, &format!("{}.map(one => +one.tagName[1])", all("h1, h2, h3, h4"))).await;
    let levels: Vec<u64> = serde_json::from_value(headings).unwrap();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1, "{levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a level left out: {levels:?}");
    assert_ne!(value(browser, "document.documentElement.lang").await, "");
}

async fn is_read_anywhere(browser: &Client) {
    for (scheme, background) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")] {
        in_colours(browser, scheme).await;
        let colour = "getComputedStyle(document.body).backgroundColor";
        assert_eq!(value(browser, colour).await, background);
        assert_eq!(illegible(browser, 11.0, 4.5).await, [Value::Null; 0], "{scheme}");
    }
    on_phone(browser).await;
    assert_eq!(value(browser, "document.documentElement.scrollWidth").await, 400);
    assert_eq!(illegible(browser, 11.0, 4.5).await, [Value::Null; 0], "on a phone");
    in_print(browser).await;
    none(browser, "controls on paper", "[...document.querySelectorAll('.live, .filter')].filter(one => one.getBoundingClientRect().height > 0)").await;
}

#[test]
#[ignore = "needs chromium, its driver and tidy; run by scripts/test"]
fn every_page_is_valid_sound_and_read_anywhere() {
    for (arguments, name) in PAGES {
        println!("{arguments}");
        let dir = TempDir::new().unwrap();
        let page = made(arguments, name, dir.path());
        is_valid(&page);
        let said = on_file(&page, async |browser| {
            is_sound(browser).await;
            is_read_anywhere(browser).await;
        });
        assert!(said.is_empty(), "{arguments}: {said:#?}");
    }
}
