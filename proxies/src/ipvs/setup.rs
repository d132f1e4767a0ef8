//! What stays the same however many Services there are: sysctls, and of one family sets and the
//! rules that match them.
//!
//! Made by `prepare`, outside of the timed part of a sync.

use std::time::Duration;

use generators::{Cluster, Family as AddressFamily};
use linux::netlink::ipset::SetKind;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, NetlinkError, Socket, ipset};

use super::layout::Layout;
use super::observe::Observed;
use super::rules::{self, ServiceKinds};
use super::sets::{SIZE_MIN, Set, size_for};
use crate::backend::Maker;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::iptables::dump::Dump;
use crate::iptables::tool::IptablesTool;
use crate::iptables::verify;
use crate::netlink::{address_family, failed, send};
use crate::options::Options;

/// How often, and after which pause, a set that is still in use is tried again. `nf_tables` drops
/// the references of deleted rules after it has answered (`nf_tables_trans_destroy_work`,
/// `net/netfilter/nf_tables_api.c`, Linux 6.1).
const BUSY_RETRIES: usize = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// `IPSET_ERR_BUSY` (`include/uapi/linux/netfilter/ipset/ip_set.h`, Linux 6.1).
const SET_BUSY: i32 = 4096 + 4;

/// Kernel parameters (`NewProxier`, pkg/proxy/ipvs/proxier.go, Kubernetes 1.30). `conn_reuse_mode`
/// stays as it is, which is what kube-proxy does from Linux 5.9 on.
pub(crate) const SYSCTLS: [(&str, &str); 3] = [
    ("net.ipv4.vs.expire_nodest_conn", "1"),
    ("net.ipv4.vs.expire_quiescent_template", "1"),
    ("net.ipv4.ip_forward", "1"),
];
/// Makes IPVS confirm its connections to connection tracking, without which nothing can masquerade
/// them.
pub(crate) const CONNTRACK: (&str, &str) = ("net.ipv4.vs.conntrack", "1");

/// The kernel parameters that these options ask for.
pub(super) fn wanted_sysctls(
    options: &Options,
) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
    SYSCTLS.into_iter().chain(options.ipvs.masquerade.then_some(CONNTRACK))
}

/// The sets and rules of one family in one namespace; none if nothing is masqueraded.
#[derive(Debug)]
pub(super) struct NodeSetup {
    family: AddressFamily,
    options: Options,
    iptables: IptablesTool,
    /// What the rules serve.
    kinds: ServiceKinds,
}

impl NodeSetup {
    /// The setup for these options. Touches nothing.
    pub fn new(family: AddressFamily, options: &Options) -> Self {
        Self {
            family,
            options: options.clone(),
            iptables: IptablesTool::new(options.ipvs.iptables, family, options),
            kinds: ServiceKinds::default(),
        }
    }

    /// Whether the tools and kernel parts around IPVS are there, if they are needed.
    pub fn probe(&mut self) -> Result<(), ProxyError> {
        if self.options.ipvs.masquerade { probe(&self.iptables) } else { Ok(()) }
    }

    /// Makes everything that `observed` does not show, and all rules.
    pub fn ready(
        &mut self,
        layout: &Layout,
        observed: &Observed,
        cluster: &Cluster,
    ) -> Result<(), ProxyError> {
        if self.options.ipvs.masquerade {
            make_sets(self.family, observed, cluster)?;
            self.kinds = ServiceKinds::of(self.family, cluster, layout.range);
            self.load_rules()?;
        }
        Ok(())
    }

    /// Loads the rules anew if Changes lead to a Cluster with other kinds of Services.
    pub fn adapt(&mut self, layout: &Layout, after: &Cluster) -> Result<(), ProxyError> {
        let kinds = ServiceKinds::of(self.family, after, layout.range);
        if self.options.ipvs.masquerade && kinds != self.kinds {
            self.kinds = kinds;
            self.load_rules()?;
        }
        Ok(())
    }

    /// Adds the rules that are missing or unexpected to the differences.
    pub fn compare(
        &self,
        layout: &Layout,
        cluster: &Cluster,
        differences: &mut Differences,
    ) -> Result<(), ProxyError> {
        if self.options.ipvs.masquerade {
            let kinds = ServiceKinds::of(self.family, cluster, layout.range);
            let tables = rules::tables(self.family, &self.options, kinds);
            let (expected, saved) = (rules::saved_text(&tables), self.iptables.save(&[])?);
            let expected = Dump::parse(expected.as_bytes())?;
            verify::compare(&expected, &Dump::parse(&saved)?, Maker::Ours, differences);
        }
        Ok(())
    }

    /// Removes rules, chains and jumps.
    pub fn remove_rules(&mut self) -> Result<(), ProxyError> {
        if self.options.ipvs.masquerade { self.iptables.remove_rules() } else { Ok(()) }
    }

    /// Destroys the sets. Repeatable; goes on after an error.
    pub fn destroy_sets(&mut self) -> Result<(), ProxyError> {
        self.kinds = ServiceKinds::default();
        ProxyError::gather(Set::ALL.map(|set| destroy(&set.name(self.family))))
    }

    fn load_rules(&self) -> Result<(), ProxyError> {
        let tables = rules::tables(self.family, &self.options, self.kinds);
        let saved = self.iptables.save(&[])?;
        let text = rules::restore_text(&tables, &Dump::parse(&saved)?);
        self.iptables.restore(text.as_bytes()).map(drop)
    }
}

/// Names that no set of kube-proxy has.
const PROBE_SETS: [(&str, SetKind); 4] = [
    ("KUBE-PROBE-1", SetKind::Address),
    ("KUBE-PROBE-2", SetKind::AddressPort),
    ("KUBE-PROBE-3", SetKind::AddressPortAddress),
    ("KUBE-PROBE-4", SetKind::Port),
];

const PROBE_RULES: &str = "\
*nat
:KUBE-PROBE - [0:0]
-A KUBE-PROBE -m comment --comment probe -m set --match-set KUBE-PROBE-3 dst,dst,src -j MASQUERADE
-A KUBE-PROBE -m set --match-set KUBE-PROBE-2 dst,dst -j MARK --set-xmark 0x4000/0x4000
-A KUBE-PROBE -m addrtype --dst-type LOCAL -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
COMMIT
*filter
:KUBE-PROBE - [0:0]
-A KUBE-PROBE -m conntrack --ctstate NEW -m set --match-set KUBE-PROBE-1 dst -j REJECT
COMMIT
";

/// Whether the tools and kernel parts around IPVS are there: makes a set of each kind and rules of
/// each kind that match one, in a chain that nothing leads to, and removes them.
pub(crate) fn probe(iptables: &IptablesTool) -> Result<(), ProxyError> {
    let made = send(Family::Netfilter, "make", "a set of each kind", |encoder| {
        for (name, kind) in PROBE_SETS {
            ipset::create(encoder, name, kind, address_family(AddressFamily::V4), SIZE_MIN);
        }
    });
    let made = made.map_err(|error| ProxyError::Unsupported {
        what: "ipset".into(),
        reason: error.to_string(),
        remedy: "load ip_set_hash_ip, ip_set_hash_ipport, ip_set_hash_ipportip and \
                 ip_set_bitmap_port"
            .into(),
    });
    let remedy = "load xt_set, xt_mark, xt_addrtype, xt_comment, xt_conntrack, xt_MASQUERADE, \
                  ipt_REJECT and what iptables itself needs";
    let loaded = iptables.try_rules(PROBE_RULES);
    let loaded = loaded.map_err(|error| error.of_trial("rules that match sets", remedy));
    let destroyed = ProxyError::gather(PROBE_SETS.map(|(name, _)| destroy(name)));
    made.and(loaded).and(destroyed)
}

/// Makes the sets of a family that are not there, each large enough for what the Cluster can put
/// into any of them.
fn make_sets(
    family: AddressFamily,
    observed: &Observed,
    cluster: &Cluster,
) -> Result<(), ProxyError> {
    let services = cluster.of_family(family);
    let members = services.map(|one| one.frontends().count() + one.endpoints().len()).sum();
    let size = size_for(members);
    let mut missing = Vec::new();
    for set in Set::ALL {
        match observed.sets.get(&set) {
            None => missing.push(set),
            Some(Some(found)) if *found < size.max_elements => {
                return Err(ProxyError::Unsupported {
                    what: format!("ipset {} for {members} members", set.name(family)),
                    reason: format!("it is there already and holds {found} at most"),
                    remedy: "tear the proxy down first".into(),
                });
            }
            Some(_) => {}
        }
    }
    send(Family::Netfilter, "make", "the sets of kube-proxy", |encoder| {
        for set in missing {
            ipset::create(encoder, &set.name(family), set.kind(), address_family(family), size);
        }
    })
}

/// Destroys a set, if it is there.
pub(crate) fn destroy(name: &str) -> Result<(), ProxyError> {
    for _ in 0..BUSY_RETRIES {
        let mut encoder = Encoder::default();
        ipset::destroy(&mut encoder, name);
        let mut socket = Socket::open(Family::Netfilter).map_err(failed("destroy ipset", name))?;
        match socket.submit(&encoder.finish()) {
            Err(error) if error.is_not_found() => return Ok(()),
            Err(NetlinkError::Refused { first, .. })
                if first.iter().all(|refusal| refusal.errno == SET_BUSY) =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other.map_err(failed("destroy ipset", name)),
        }
    }
    Err(ProxyError::Netlink {
        operation: "destroy ipset",
        object: name.into(),
        source: std::io::Error::other("a rule still names it"),
    })
}
