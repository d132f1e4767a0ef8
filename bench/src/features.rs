//! What a guest kernel can do: the question to PID 1, its answer, and a short form for a table. The
//! trying is in `proxies`.

use linux::netns::Namespace;
use proxies::features::Feature;

/// The payload by which the host asks PID 1; a cell's is JSON.
pub const QUESTION: &str = "features";

/// The guest's side: tries everything in a throw-away namespace; the answer is a JSON list of
/// [`Feature`].
///
/// # Errors
/// Namespaces cannot be made.
pub fn answer() -> Result<String, String> {
    let tried = Namespace::new("features")
        .and_then(|namespace| namespace.enter(proxies::features::try_all))
        .map_err(|error| error.to_string())?;
    serde_json::to_string(&tried).map_err(|error| error.to_string())
}

/// Groups in the order in which they were tried.
pub fn groups(tried: &[Feature]) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for one in tried {
        if !groups.contains(&one.group.as_str()) {
            groups.push(&one.group);
        }
    }
    groups
}

/// A group in a word or two: `all 14`, `none of 4`, or what is missing of it.
pub fn summary(tried: &[Feature], group: &str) -> String {
    let all: Vec<&Feature> = tried.iter().filter(|one| one.group == group).collect();
    let missing: Vec<&str> =
        all.iter().filter(|one| one.missing.is_some()).map(|one| one.name.as_str()).collect();
    match missing.len() {
        0 => format!("all {}", all.len()),
        count if count == all.len() => format!("none of {count}"),
        count => format!("{} of {}, not {}", all.len() - count, all.len(), missing.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(group: &str, name: &str, works: bool) -> Feature {
        let missing = (!works).then(|| "no module".to_owned());
        Feature { group: group.into(), name: name.into(), missing }
    }

    #[test]
    fn a_group_says_what_is_missing_of_it() {
        let all = [
            tried("set", "hash:ip", true),
            tried("scheduler", "rr", true),
            tried("scheduler", "mh", false),
            tried("legacy table", "raw", false),
        ];
        assert_eq!(groups(&all), ["set", "scheduler", "legacy table"]);
        assert_eq!(summary(&all, "set"), "all 1");
        assert_eq!(summary(&all, "scheduler"), "1 of 2, not mh");
        assert_eq!(summary(&all, "legacy table"), "none of 1");
    }
}
