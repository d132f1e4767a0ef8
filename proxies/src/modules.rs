//! Kernel modules that several backends need, in load order. A kernel that lacks some, or has them
//! built in, is no error.

/// Connection tracking with its netlink interface, and the checksum that it, NAT and IPVS ask for
/// by name (`libcrc32c` in Linux 6.12, gone in 7.2).
pub const CONNTRACK: &[&str] = &[
    "crc32c_intel",
    "crc32c_generic",
    "libcrc32c",
    "nf_conntrack",
    "nf_nat",
    "nf_conntrack_netlink",
];

/// Matches and targets of kube-proxy's rules, shared by both implementations of iptables.
pub const XTABLES: &[&str] = &[
    "xt_addrtype",
    "xt_comment",
    "xt_connmark",
    "xt_conntrack",
    "xt_ipvs",
    "xt_mark",
    "xt_MASQUERADE",
    "xt_multiport",
    "xt_nat",
    "xt_nfacct",
    "xt_physdev",
    "xt_recent",
    "xt_REDIRECT",
    "xt_set",
    "xt_statistic",
    "xt_tcpudp",
    "ipt_REJECT",
];

/// `nf_tables` and its expressions, which iptables-nft uses too.
pub const NF_TABLES: &[&str] = &[
    "nf_tables",
    "nft_chain_nat",
    "nft_compat",
    "nft_counter",
    "nft_ct",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_hash",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_objref",
    "nft_redir",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
];

/// Sets, and the kinds of them that kube-proxy's IPVS mode keeps.
pub const SETS: &[&str] = &[
    "ip_set",
    "ip_set_bitmap_port",
    "ip_set_hash_ip",
    "ip_set_hash_ipport",
    "ip_set_hash_ipportip",
    "ip_set_hash_ipportnet",
    "ip_set_hash_net",
    "ip_set_list_set",
];

/// IPVS and its schedulers.
pub const SCHEDULERS: &[&str] = &[
    "ip_vs",
    "ip_vs_dh",
    "ip_vs_fo",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_lc",
    "ip_vs_mh",
    "ip_vs_nq",
    "ip_vs_ovf",
    "ip_vs_rr",
    "ip_vs_sed",
    "ip_vs_sh",
    "ip_vs_twos",
    "ip_vs_wlc",
    "ip_vs_wrr",
];
