//! Whether the texts of a page can be read.

use fantoccini::Client;
use serde_json::Value;

use crate::driver::value;

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
pub(crate) async fn illegible(browser: &Client, px_least: f64, contrast_least: f64) -> Vec<Value> {
    let texts = value(browser, TEXTS).await;
    let texts = texts.as_array().unwrap();
    assert!(texts.len() > 10, "{}", texts.len());
    let is_bad = |text: &&Value| {
        text[0].as_f64().unwrap() < px_least || text[1].as_f64().unwrap() < contrast_least
    };
    texts.iter().filter(is_bad).cloned().collect()
}
