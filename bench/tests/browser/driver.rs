//! A browser told what to do through its driver.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

/// How long anything on the page may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Opens a page and runs `test` on it; gives what was said on the console.
pub(crate) fn on_file(page: &Path, test: impl AsyncFnOnce(&Client)) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let (driver, log) = (Chromedriver::start(), dir.path().join("browser.log"));
    let data = format!("--user-data-dir={}", dir.path().join("profile").display());
    let log_file = format!("--log-file={}", log.display());
    let arguments =
        ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging", &data, &log_file];
    let options = json!({ "args": arguments });
    let wanted = Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let browser = runtime.block_on(async {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let browser = builder.capabilities(wanted).connect(&driver.url).await.unwrap();
        browser.goto(&format!("file://{}", page.display())).await.unwrap();
        browser
    });
    let tested = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&browser))));
    // A test that fails leaves no browser: it outlives its driver.
    runtime.block_on(browser.close()).unwrap();
    if let Err(panic) = tested {
        resume_unwind(panic);
    }
    let said = fs::read_to_string(&log).unwrap();
    said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect()
}

/// Makes the window a phone's, 400 pixels wide.
pub(crate) async fn on_phone(browser: &Client) {
    let phone = json!({ "width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": true });
    devtools(browser, "Emulation.setDeviceMetricsOverride", phone).await;
    until(browser, "innerWidth === 400").await;
}

/// Asks for the page's `light` or `dark` colours.
pub(crate) async fn in_colours(browser: &Client, scheme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    devtools(browser, "Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

/// Shows the page as it is printed.
pub(crate) async fn in_print(browser: &Client) {
    devtools(browser, "Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
}

/// What an expression of the page's own language comes to.
pub(crate) async fn value(browser: &Client, expression: &str) -> Value {
    let script = format!("return ({expression});");
    browser.execute(&script, vec![]).await.unwrap()
}

/// Waits until an expression is true.
pub(crate) async fn until(browser: &Client, expression: &str) {
    let began = Instant::now();
    while value(browser, expression).await != json!(true) {
        assert!(began.elapsed() < PATIENCE, "never true: {expression}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn find(browser: &Client, selector: &str) -> Element {
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

pub(crate) async fn devtools(browser: &Client, command: &str, parameters: Value) -> Value {
    let command = Devtools(json!({ "cmd": command, "params": parameters }));
    browser.issue_cmd(command).await.unwrap()
}

/// Moves the mouse to the middle of an element, and then does more.
pub(crate) async fn mouse(browser: &Client, to: Element, then: Vec<PointerAction>) {
    let middle = PointerAction::MoveToElement { element: to, duration: None, x: 0.0, y: 0.0 };
    let begun = MouseActions::new("mouse".to_owned()).then(middle);
    let all = then.into_iter().fold(begun, MouseActions::then);
    browser.perform_actions(all).await.unwrap();
}

pub(crate) async fn press(browser: &Client, key: Key) {
    let value = char::from(key);
    let keys = KeyActions::new("keys".to_owned());
    let keys = keys.then(KeyAction::Down { value }).then(KeyAction::Up { value });
    browser.perform_actions(keys).await.unwrap();
}
