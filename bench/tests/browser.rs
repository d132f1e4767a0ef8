//! A report in a real browser: what it tells, hides, sorts and filters, and that it can be read in
//! the dark, on a phone, in print, by keyboard and without its script.
//!
//! Needs `chromium` and `chromedriver`; `scripts/test` runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

/// The largest page of the reference scenario, bytes.
const PAGE_MAX_BYTES: u64 = 1_500_000;
/// How long anything on the page may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// A driver that ends with its test.
struct Chromedriver {
    process: Child,
    url: String,
}

impl Chromedriver {
    fn start() -> Self {
        let mut command = Command::new("chromedriver");
        let mut process = command.arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        Self { process, url: format!("http://127.0.0.1:{}", port.unwrap()) }
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Opens the report, as `edited`, and runs `test` on it; gives what was said on the console.
fn on_page(edited: impl Fn(String) -> String, test: impl AsyncFnOnce(&Client)) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let page = page(dir.path());
    fs::write(&page, edited(fs::read_to_string(&page).unwrap())).unwrap();
    let (driver, log) = (Chromedriver::start(), dir.path().join("browser.log"));
    let data = format!("--user-data-dir={}", dir.path().join("profile").display());
    let log_file = format!("--log-file={}", log.display());
    let arguments =
        ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging", &data, &log_file];
    let options = json!({ "args": arguments });
    let wanted = Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let browser = builder.capabilities(wanted).connect(&driver.url).await.unwrap();
        browser.goto(&format!("file://{}", page.display())).await.unwrap();
        test(&browser).await;
        browser.close().await.unwrap();
    });
    let said = fs::read_to_string(&log).unwrap();
    said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
}

fn on_report(test: impl AsyncFnOnce(&Client)) {
    let said = on_page(|page| page, test);
    assert!(said.is_empty(), "{said:#?}");
}

/// What an expression of the page's own language comes to.
async fn value(browser: &Client, expression: &str) -> Value {
    let script = format!("return ({expression});");
    browser.execute(&script, vec![]).await.unwrap()
}

/// Waits until an expression is true.
async fn until(browser: &Client, expression: &str) {
    let began = std::time::Instant::now();
    while value(browser, expression).await != json!(true) {
        assert!(began.elapsed() < PATIENCE, "never true: {expression}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn find(browser: &Client, selector: &str) -> Element {
    browser.find(Locator::Css(selector)).await.unwrap()
}

/// A command of the browser's own tools, which its driver passes on.
#[derive(Debug)]
struct Devtools(Value);

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

async fn devtools(browser: &Client, command: &str, parameters: Value) -> Value {
    let command = Devtools(json!({ "cmd": command, "params": parameters }));
    browser.issue_cmd(command).await.unwrap()
}

/// Moves the mouse to the middle of an element, and then does more.
async fn mouse(browser: &Client, to: Element, then: Vec<PointerAction>) {
    let middle = PointerAction::MoveToElement { element: to, duration: None, x: 0.0, y: 0.0 };
    let begun = MouseActions::new("mouse".to_owned()).then(middle);
    let all = then.into_iter().fold(begun, MouseActions::then);
    browser.perform_actions(all).await.unwrap();
}

async fn press(browser: &Client, key: Key) {
    let value = char::from(key);
    let keys = KeyActions::new("keys".to_owned());
    let keys = keys.then(KeyAction::Down { value }).then(KeyAction::Up { value });
    browser.perform_actions(keys).await.unwrap();
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

/// Every text that is seen: its size on the screen in pixels, and its contrast with what is behind.
const TEXTS: &str = "(() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  const seen = element => element.checkVisibility({ visibilityProperty: true }) && element.getBoundingClientRect().height > 0;
  return [...document.querySelectorAll('body *')].filter(one => one.tagName !== 'SCRIPT' && own(one) && seen(one)).map(one => {
    const style = getComputedStyle(one), svg = one.ownerSVGElement;
    const [a, b] = [light(numbers(svg ? style.fill : style.color)), light(behind(one))];
    const px = parseFloat(style.fontSize) * (svg ? one.getScreenCTM().a : 1);
    return [px, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.slice(0, 40)];
  });
})()";

/// Texts that are smaller, or have less contrast, than they may.
async fn illegible(browser: &Client, px_least: f64, contrast_least: f64) -> Vec<Value> {
    let texts = value(browser, TEXTS).await;
    let texts = texts.as_array().unwrap();
    assert!(texts.len() > 100, "{}", texts.len());
    let is_bad = |text: &&Value| {
        text[0].as_f64().unwrap() < px_least || text[1].as_f64().unwrap() < contrast_least
    };
    texts.iter().filter(is_bad).cloned().collect()
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn texts_have_contrast_in_light_and_in_dark() {
    on_report(async |browser| {
        for (scheme, background) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")] {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            devtools(browser, "Emulation.setEmulatedMedia", json!({ "features": features })).await;
            let colour = "getComputedStyle(document.body).backgroundColor";
            assert_eq!(value(browser, colour).await, background);
            assert_eq!(illegible(browser, 11.0, 4.5).await, [Value::Null; 0], "{scheme}");
        }
    });
}

#[test]
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn a_phone_shows_readable_text_and_keeps_the_first_column() {
    on_report(async |browser| {
        let phone = json!({ "width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": true });
        devtools(browser, "Emulation.setDeviceMetricsOverride", phone).await;
        until(
            browser,
            "innerWidth === 400 && document.querySelector('.area svg').clientWidth < 400",
        )
        .await;
        assert_eq!(value(browser, "document.documentElement.scrollWidth").await, 400);
        assert_eq!(illegible(browser, 11.0, 4.5).await, [Value::Null; 0]);
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
fn paper_gets_still_plots_and_no_controls() {
    on_report(async |browser| {
        let seen = |selector| {
            format!(
                "[...document.querySelectorAll('{selector}')].filter(one => one.getBoundingClientRect().height > 0).length"
            )
        };
        devtools(browser, "Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
        assert_eq!(value(browser, &seen(".live, .filter")).await, 0);
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
        let phone = json!({ "width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": true });
        devtools(browser, "Emulation.setDeviceMetricsOverride", phone).await;
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
#[ignore = "needs chromium and its driver; run by scripts/test"]
fn the_page_is_small_fetches_nothing_and_is_sound() {
    let dir = TempDir::new().unwrap();
    let bytes = fs::metadata(page(dir.path())).unwrap().len();
    assert!(bytes < PAGE_MAX_BYTES, "{bytes} bytes");
    on_report(async |browser| {
        assert_eq!(value(browser, "performance.getEntriesByType('resource').length").await, 0);
        let twice = "(() => { const ids = [...document.querySelectorAll('[id]')].map(one => one.id); return ids.length - new Set(ids).size; })()";
        assert_eq!(value(browser, twice).await, 0);
        let lost = "[...document.querySelectorAll('a[href^=\"#\"]')].filter(one => !document.getElementById(one.getAttribute('href').slice(1))).length";
        assert_eq!(value(browser, lost).await, 0);
        let nameless = "[...document.querySelectorAll('button, input, svg, summary, th button')].filter(one => !(one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label'))).length";
        assert_eq!(value(browser, nameless).await, 0);
    });
}
