//! Thresholds of a file and of the command line, which goes first.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use results::gate::Thresholds;
use serde::Deserialize;

use crate::cli::GateArgs;

/// A file of thresholds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    thresholds: BTreeMap<String, Share>,
}

/// `"0.5%"` or `0.005`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Share {
    Number(f64),
    Text(String),
}

pub(super) fn of(args: &GateArgs) -> anyhow::Result<Thresholds> {
    let mut thresholds = Thresholds::default();
    if let Some(path) = &args.thresholds_file {
        let place = || format!("thresholds {}", path.display());
        for (metric, share) in read(path).with_context(place)?.thresholds {
            let share = match share {
                Share::Number(number) => number.to_string(),
                Share::Text(text) => text,
            };
            thresholds.set(&format!("{metric}={share}")).with_context(place)?;
        }
    }
    for text in &args.thresholds {
        thresholds.set(text)?;
    }
    Ok(thresholds)
}

fn read(path: &Path) -> anyhow::Result<File> {
    toml::from_str(&crate::files::read_text(path)?).context(
        "write a table [thresholds] of lines such as connect = \"0.5%\" or \"connect.p99\" = 0.02",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_shares() {
        let text = "[thresholds]\nconnect = '0.5%'\n'connect.p99' = 0.02\nrules = 0.0";
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(file.thresholds.len(), 3);
        assert!(toml::from_str::<File>("[thresholds]\nconnect = [1]").is_err());
        assert!(toml::from_str::<File>("[threshold]\nconnect = 1.0").is_err());
    }
}
