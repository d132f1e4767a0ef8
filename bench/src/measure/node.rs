//! What a scenario may set on the node beside the Cluster: how IPVS works, how syncs of nftables
//! list what is there, and kernel parameters.
//!
//! Values are checked when a run is planned. Where nothing is set, nothing is written into a cell's
//! job.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use proxies::ipvs::{Forwarding, VipBinding};
use proxies::{Listing, Options};
use serde::{Deserialize, Serialize};

/// Settings of the IPVS proxies; what is left out is kube-proxy's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpvsSettings {
    /// The kernel's name of the scheduler, such as `rr`, `lc`, `mh` [default: rr].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// How packets get to Endpoints: `nat`, `dr` or `tun` [default: nat].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarding: Option<Forwarding>,
    /// How VIPs become local: `dummy` or `local-route` [default: dummy].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip_binding: Option<VipBinding>,
}

/// Settings of our nftables proxies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NftablesSettings {
    /// How syncs list what is there: `chains-and-sets`, `terse` or `netlink` [default: as the first
    /// release with the rules does].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
}

/// The value of a kernel parameter as written: a number or text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SysctlValue {
    /// A number.
    Number(i64),
    /// Text, such as two numbers.
    Text(String),
}

/// What one cell sets on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// Of IPVS; nothing in the cells of other proxies.
    #[serde(default, skip_serializing_if = "IpvsSettings::is_none")]
    pub ipvs: IpvsSettings,
    /// Of nftables; nothing in the cells of other proxies.
    #[serde(default, skip_serializing_if = "NftablesSettings::is_none")]
    pub nftables: NftablesSettings,
    /// Kernel parameters by dotted name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, SysctlValue>,
}

impl FromStr for SysctlValue {
    type Err = Infallible;

    /// As a scenario would have it: what reads as a number is one.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl IpvsSettings {
    /// Whether all is as usual.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Puts what is set into options.
    pub fn apply(&self, options: &mut Options) {
        let Self { scheduler, forwarding, vip_binding } = self.clone();
        let ipvs = &mut options.ipvs;
        ipvs.scheduler = scheduler.unwrap_or_else(|| ipvs.scheduler.clone());
        ipvs.forwarding = forwarding.unwrap_or(ipvs.forwarding);
        ipvs.vip_binding = vip_binding.unwrap_or(ipvs.vip_binding);
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first that cannot be meant, with the remedy.
    pub fn check(&self) -> anyhow::Result<()> {
        if let Some(name) = &self.scheduler {
            let fits = (1..16).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            ensure!(
                fits,
                "ipvs.scheduler = {name:?}: write the kernel's name of a scheduler, such as rr, lc or mh"
            );
        }
        // By `dr` and `tun` an Endpoint answers from the VIP itself, which the star's do not have.
        ensure!(
            self.forwarding.is_none_or(|forwarding| forwarding == Forwarding::Nat),
            "ipvs.forwarding: Endpoints of the star do not hold VIPs, so only nat reaches them; write it into a path, \
             such as {{ topology = \"one-node\", forwarding = \"dr\" }}"
        );
        Ok(())
    }

    /// The settings by dotted key, for the environment of a run.
    pub fn facts(&self) -> impl Iterator<Item = (String, String)> {
        let facts = [
            ("scheduler", self.scheduler.clone()),
            ("forwarding", self.forwarding.map(|one| one.as_str().to_owned())),
            ("vip_binding", self.vip_binding.map(|one| one.as_str().to_owned())),
        ];
        facts.into_iter().filter_map(|(key, value)| Some((format!("node.ipvs.{key}"), value?)))
    }
}

impl NftablesSettings {
    /// Whether all is as usual.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The settings by dotted key, for the environment of a run.
    pub fn facts(self) -> impl Iterator<Item = (String, String)> {
        let listing = self.listing.into_iter();
        listing.map(|one| ("node.nftables.listing".to_owned(), one.as_str().to_owned()))
    }
}

impl NodeSettings {
    /// Whether all is as usual.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Checks names and values of kernel parameters: those of a network namespace, so that nothing else
/// of the machine changes.
///
/// # Errors
/// The first that cannot be set in a namespace, with the remedy.
pub fn check_sysctls(all: &BTreeMap<String, SysctlValue>) -> anyhow::Result<()> {
    for (name, value) in all {
        let fits = name.len() <= 128
            && name.starts_with("net.")
            && name.split('.').all(|part| {
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                !part.is_empty() && part.chars().all(fits)
            });
        ensure!(
            fits,
            "sysctl: {name:?} is no parameter of a network namespace; write a name such as \
             \"net.ipv4.vs.conn_reuse_mode\""
        );
        let value = value.to_string();
        ensure!(
            (1..=64).contains(&value.len())
                && value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "sysctl.{name:?} = {value:?}: write a number, or 1 to 64 printable ASCII characters"
        );
    }
    Ok(())
}

/// Kernel parameters by dotted key, for the environment of a run.
pub fn sysctl_facts(all: &BTreeMap<String, SysctlValue>) -> impl Iterator<Item = (String, String)> {
    all.iter().map(|(name, value)| (format!("node.sysctl.{name}"), value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_meant_are_told_with_the_remedy() {
        let ipvs = |text: &str| toml::from_str::<IpvsSettings>(text).unwrap().check();
        ipvs("scheduler = 'lc'\nforwarding = 'nat'\nvip_binding = 'local-route'").unwrap();
        for (text, words) in [
            ("scheduler = 'Least Connections'", "such as rr, lc or mh"),
            ("scheduler = ''", "such as rr"),
            ("forwarding = 'dr'", "only nat"),
        ] {
            let error = ipvs(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(toml::from_str::<IpvsSettings>("vip_binding = 'bridge'").is_err());
        let sysctl = |text: &str| check_sysctls(&toml::from_str(text).unwrap());
        sysctl("'net.ipv4.vs.conn_reuse_mode' = 0\n'net.ipv4.ip_local_port_range' = '1 2'")
            .unwrap();
        for text in ["'vm.swappiness' = 1", "'net.ipv4..x' = 1", "'net.a/b' = 1", "'net.a' = ''"] {
            assert!(sysctl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn where_nothing_is_set_nothing_is_written() {
        assert_eq!(serde_json::to_string(&NodeSettings::default()).unwrap(), "{}");
        assert_eq!(IpvsSettings::default().facts().count(), 0);
        let set = IpvsSettings { scheduler: Some("lc".into()), ..IpvsSettings::default() };
        let mut options = Options::default();
        set.apply(&mut options);
        assert_eq!(options.ipvs.scheduler, "lc");
        assert_eq!(set.facts().next(), Some(("node.ipvs.scheduler".into(), "lc".into())));
    }
}
