//! A report explored: by mouse, by touch, by keyboard, on a phone, in print and without its script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fantoccini::actions::{MOUSE_BUTTON_LEFT, PointerAction};
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::driver::{devtools, find, in_print, mouse, on_file, on_phone, press, until, value};
use crate::texts::illegible;

/// The largest page of the reference scenario, bytes.
const PAGE_MAX_BYTES: u64 = 1_500_000;

/// The report on the reference scenario, made anew.
fn page(dir: &Path) -> PathBuf {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/reference/default-6.1");
    let output = Command::new(env!("CARGO_BIN_EXE_vipbench"))
        .args(["report", run, "-o"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("report.html")
}

/// Opens the report, as `edited`, and runs `test` on it; gives what was said on the console.
fn on_page(edited: impl Fn(String) -> String, test: impl AsyncFnOnce(&Client)) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let page = page(dir.path());
    fs::write(&page, edited(fs::read_to_string(&page).unwrap())).unwrap();
    on_file(&page, test)
}

fn on_report(test: impl AsyncFnOnce(&Client)) {
    let said = on_page(|page| page, test);
    assert!(said.is_empty(), "{said:#?}");
}

const TIP: &str = "document.querySelector('.tip').textContent";

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_point_tells_its_value_unit_interval_and_samples_by_mouse_and_by_touch() {
    on_report(async |browser| {
        let dot = find(browser, ".series[data-group='ipvs'] .dot").await;
        mouse(browser, dot, Vec::new()).await;
        until(
            browser,
            &format!(
                "/ipvs, p50: [\\d,]+ instructions.*interval .* to .*samples, 3 seeds/.test({TIP})"
            ),
        )
        .await;
        // A finger: no hover comes before it.
        devtools(browser, "Emulation.setTouchEmulationEnabled", json!({ "enabled": true })).await;
        let far = find(browser, ".series[data-group='iptables-nft'] .dot:last-of-type").await;
        far.click().await.unwrap();
        until(browser, &format!("/iptables-nft, p\\d+: /.test({TIP})")).await;
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_line_is_hidden_and_shown_again_and_the_scale_changes() {
    on_report(async |browser| {
        let shown =
            "document.querySelector('figure').querySelectorAll('.series[data-group=ebpf]').length";
        assert_eq!(value(browser, shown).await, 2, "p50 and p99");
        let key = browser
            .find(Locator::XPath("(//button[@class='key'][text()='ebpf'])[1]"))
            .await
            .unwrap();
        key.click().await.unwrap();
        assert_eq!(value(browser, shown).await, 0);
        assert_eq!(key.attr("aria-pressed").await.unwrap().as_deref(), Some("false"));
        key.click().await.unwrap();
        assert_eq!(value(browser, shown).await, 2);
        let labels = "[...document.querySelectorAll('.area')[0].querySelectorAll('text')].map(text => text.textContent)";
        assert!(!value(browser, labels).await.as_array().unwrap().contains(&json!("0")));
        let scale =
            browser.find(Locator::XPath("(//button[text()='log scale'])[1]")).await.unwrap();
        scale.click().await.unwrap();
        assert!(
            value(browser, labels).await.as_array().unwrap().contains(&json!("0")),
            "linear begins at 0"
        );
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn bars_tell_their_parts_and_become_amounts() {
    on_report(async |browser| {
        let piece = find(browser, ".bar i").await;
        mouse(browser, piece, Vec::new()).await;
        let tip = "document.querySelector('.bars + .tip').textContent";
        until(browser, &format!("/: [\\d,]+ instructions[\\d.]+% of what is shown/.test({tip})"))
            .await;
        let width = "document.querySelector('.bar').children[1].getBoundingClientRect().width";
        let filled = "[...document.querySelector('.bar').children[1].children].reduce((all, one) => all + one.getBoundingClientRect().width, 0)";
        let share = format!("{filled} / {width}");
        assert!(value(browser, &share).await.as_f64() > Some(0.99));
        browser
            .find(Locator::XPath("//button[text()='shares']"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        assert!(
            value(browser, &share).await.as_f64() < Some(0.5),
            "the smallest sync is no full bar"
        );
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn dragging_across_a_plot_zooms_and_a_button_goes_back() {
    on_report(async |browser| {
        let dots = "document.querySelector('.area').querySelectorAll('.dot').length";
        let all = value(browser, dots).await;
        let svg = find(browser, ".area svg").await;
        let button = MOUSE_BUTTON_LEFT;
        let drag = vec![
            PointerAction::Down { button },
            PointerAction::MoveBy { duration: None, x: 300.0, y: 0.0 },
            PointerAction::Up { button },
        ];
        mouse(browser, svg, drag).await;
        let fewer = value(browser, dots).await;
        assert!(fewer.as_u64() > Some(0) && fewer.as_u64() < all.as_u64(), "{fewer} of {all}");
        browser
            .find(Locator::XPath("(//button[text()='whole range'])[1]"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        assert_eq!(value(browser, dots).await, all);
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_table_is_sorted_by_number_and_filtered_by_words() {
    on_report(async |browser| {
        let column = "[...document.querySelector('main table').tBodies[0].rows].map(row => row.cells[4].textContent)";
        let head = browser.find(Locator::XPath("(//main//table)[1]//th[5]/button")).await.unwrap();
        head.click().await.unwrap();
        let sorted = value(browser, column).await;
        let sorted: Vec<&str> =
            sorted.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
        let place = |text: &str| sorted.iter().position(|cell| cell.starts_with(text)).unwrap();
        assert!(place("230M") < place("748M") && place("748M") < place("4.67G"), "{sorted:?}");
        head.click().await.unwrap();
        let turned = value(browser, column).await;
        assert!(turned[0].as_str().unwrap().ends_with("G (at 5,000)"), "{turned}");
        // In the numbers of the first plot, which are folded away.
        browser
            .find(Locator::XPath("(//figure//summary)[1]"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        find(browser, "figure .filter input").await.send_keys("ipvs 10,000").await.unwrap();
        let rows = "[...document.querySelector('figure table').tBodies[0].rows].filter(row => !row.hidden).map(row => row.cells[0].textContent + ' ' + row.cells[1].textContent)";
        assert_eq!(value(browser, rows).await, json!(["10,000 ipvs"]));
        let said = find(browser, "figure .filter [role=status]").await.text().await.unwrap();
        assert!(said.starts_with("1 of "), "{said}");
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn everything_is_reached_by_keyboard_and_a_figure_leads_to_its_cells() {
    on_report(async |browser| {
        let focused = "document.activeElement.tagName + ' ' + document.activeElement.className";
        let mut seen = Vec::new();
        while value(browser, "document.activeElement.tagName").await != "svg" {
            press(browser, Key::Tab).await;
            seen.push(value(browser, focused).await.as_str().unwrap().to_owned());
            assert!(seen.len() < 60, "{seen:#?}");
        }
        assert!(seen.iter().any(|one| one.starts_with("BUTTON key")), "legend: {seen:#?}");
        let first = value(browser, TIP).await;
        press(browser, Key::Right).await;
        let second = value(browser, TIP).await;
        press(browser, Key::Down).await;
        let third = value(browser, TIP).await;
        assert!(first != second && second != third && third != "", "{first} {second} {third}");
        press(browser, Key::Enter).await;
        let row = "document.getElementById(decodeURIComponent(location.hash.slice(1)))";
        until(
            browser,
            &format!("/^cells-/.test({row}?.id) && {row}.getBoundingClientRect().height > 0"),
        )
        .await;
        let text = value(browser, &format!("{row}.textContent")).await;
        let text = text.as_str().unwrap();
        assert!(
            text.contains("cells.jsonl") && text.contains("vipbench run scenarios/default.toml"),
            "{text}"
        );
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_phone_keeps_the_first_column_of_a_table() {
    on_report(async |browser| {
        on_phone(browser).await;
        until(browser, "document.querySelector('.area svg').clientWidth < 400").await;
        let kept = "(() => {
          const box = [...document.querySelectorAll('.scroll')].find(one => one.scrollWidth > one.clientWidth + 40);
          box.scrollLeft = 40;
          const cell = box.querySelector('tbody td');
          return Math.abs(cell.getBoundingClientRect().left - box.getBoundingClientRect().left) < 1;
        })()";
        assert_eq!(value(browser, kept).await, true);
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn paper_gets_still_plots() {
    on_report(async |browser| {
        let seen = |selector| {
            format!(
                "[...document.querySelectorAll('{selector}')].filter(one => one.getBoundingClientRect().height > 0).length"
            )
        };
        in_print(browser).await;
        assert!(value(browser, &seen(".still svg")).await.as_u64() > Some(3));
        let printed = devtools(browser, "Page.printToPDF", json!({})).await;
        assert!(printed["data"].as_str().unwrap().len() > 100_000);
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn without_its_script_the_page_holds_the_same() {
    let without = |page: String| {
        let (head, rest) = page.split_once("<script>").unwrap();
        format!("{head}{}", rest.split_once("</script>").unwrap().1)
    };
    let said = on_page(without, async |browser| {
        on_phone(browser).await;
        assert_eq!(
            value(browser, "document.querySelectorAll('.live, .filter, th button').length").await,
            0
        );
        assert_eq!(illegible(browser, 11.0, 4.5).await, [Value::Null; 0]);
        assert_eq!(value(browser, "document.documentElement.scrollWidth").await, 400);
        let hidden = "[...document.querySelectorAll('.still svg')].filter(one => one.getBoundingClientRect().height === 0).length";
        assert_eq!(value(browser, hidden).await, 0);
    });
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_script_that_is_not_the_pages_own_does_not_run() {
    let with = |page: String| {
        page.replacen("</main>", "<script>document.title = 'foreign';</script></main>", 1)
    };
    let said = on_page(with, async |browser| {
        assert_ne!(value(browser, "document.title").await, "foreign");
    });
    assert!(said.iter().any(|line| line.contains("Content Security Policy")), "{said:#?}");
}

#[test]
fn the_page_is_small() {
    let dir = TempDir::new().unwrap();
    let bytes = fs::metadata(page(dir.path())).unwrap().len();
    assert!(bytes < PAGE_MAX_BYTES, "{bytes} bytes");
}
