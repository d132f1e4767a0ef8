//! A kube-proxy in one of its modes, as data.

use std::path::PathBuf;

/// What all names of these backends begin with.
pub const PREFIX: &str = "kube-proxy-";

/// How a kube-proxy programs the kernel (`mode` in its configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By `iptables` as the machine has it: nft or legacy.
    Iptables,
    /// By `nft`.
    Nftables,
    /// By IPVS, sets and `iptables`.
    Ipvs,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Nftables, Self::Ipvs];

    /// Its name in kube-proxy's configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Ipvs => "ipvs",
        }
    }
}

/// A kube-proxy in one of its modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its file.
    pub path: PathBuf,
    /// What it says of its version, without the `v`: `1.36.3`.
    pub version: String,
    /// Its mode.
    pub mode: Mode,
}

impl Binary {
    /// `kube-proxy-nftables@1.36.3`
    pub fn name(&self) -> String {
        format!("{PREFIX}{}@{}", self.mode.as_str(), self.version)
    }
}
