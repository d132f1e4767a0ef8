//! From what is wanted and what is there to the messages in between. Pure.

use std::collections::HashMap;

use generators::{Cluster, Endpoint, Service, ServiceName};
use linux::netlink::ipset::{self, Member};
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, route};

use super::layout::{Layout, served};
use super::objects::{LabelledObject, NO_SERVICE, NodeObject, NodeObjects, Side};
use super::observe::{Observed, ObservedService};
use super::options::VipBinding;
use super::program::{IpvsProgram, KernelIds, LabelledBatch};
use super::sets::Set;
use super::wire::{RealServer, Verb, VirtualKey, Writer};
use crate::error::ProxyError;

/// Bytes of one `NEW_SERVICE` or `NEW_DEST`, for the size of the first allocation.
const MESSAGE_BYTES: usize = 104;

/// Bytes of one set member in a message, for the same reason.
const MEMBER_BYTES: usize = 48;

/// Messages for one subsystem under construction, each labelled.
#[derive(Debug, Default)]
struct BatchBuilder {
    encoder: Encoder,
    labels: Vec<u32>,
}

impl BatchBuilder {
    fn with_capacity(messages: usize) -> Self {
        Self {
            encoder: Encoder::with_capacity(messages * MESSAGE_BYTES, messages),
            labels: Vec::with_capacity(messages),
        }
    }

    /// Gives every message that has none this label.
    fn label(&mut self, label: u32) {
        self.labels.resize(self.encoder.len(), label);
    }

    fn finish(self) -> LabelledBatch {
        LabelledBatch { batch: self.encoder.finish(), labels: self.labels }
    }
}

/// A program under construction.
pub(super) struct Draft<'a> {
    layout: &'a Layout,
    /// As they are written.
    settings: Vec<u8>,
    ids: KernelIds,
    services: BatchBuilder,
    addresses: BatchBuilder,
    added: [Vec<Member>; Set::ALL.len()],
    removed: [Vec<Member>; Set::ALL.len()],
    names: Vec<ServiceName>,
    label: u32,
}

impl<'a> Draft<'a> {
    /// An empty program with room for that many IPVS messages.
    pub fn new(layout: &'a Layout, ids: KernelIds, messages: usize) -> Self {
        Self {
            layout,
            settings: layout.settings.written(),
            ids,
            services: BatchBuilder::with_capacity(messages),
            addresses: BatchBuilder::default(),
            added: Default::default(),
            removed: Default::default(),
            names: Vec::new(),
            label: NO_SERVICE,
        }
    }

    /// The virtual services that follow are about this Service, for errors. Returns its label.
    pub fn about(&mut self, service: &ServiceName) -> u32 {
        self.label = u32::try_from(self.names.len()).unwrap_or(NO_SERVICE);
        self.names.push(service.clone());
        self.label
    }

    /// The virtual services that follow are about no Service of the request.
    pub fn about_none(&mut self) {
        self.label = NO_SERVICE;
    }

    /// Makes a virtual service with a real server for each Endpoint.
    pub fn create(
        &mut self,
        key: VirtualKey,
        service: &Service,
        endpoints: &[Endpoint],
    ) -> Result<(), ProxyError> {
        let mut writer = writer(self.ids, &mut self.services.encoder);
        match service.extras().affinity_s {
            None => writer.service(Verb::Add, key, &self.settings),
            Some(_) => writer.service(Verb::Add, key, &self.layout.settings_of(service).written()),
        }
        for &endpoint in endpoints {
            writer.real(Verb::Add, key, &self.layout.real_server(service, endpoint)?);
        }
        self.services.label(self.label);
        Ok(())
    }

    /// Brings a virtual service that is there into the wanted state.
    ///
    /// A real server that goes is removed at once. kube-proxy first gives it weight 0 and removes
    /// it when its connections have ended, a minute later at the earliest
    /// (`pkg/proxy/ipvs/graceful_termination.go`, Kubernetes 1.30); the end state is the same. New
    /// ones come first, so that a virtual service is never without.
    fn adjust(
        &mut self,
        service: &Service,
        endpoints: &[Endpoint],
        found: &ObservedService,
    ) -> Result<(), ProxyError> {
        let key = found.key;
        let mut writer = writer(self.ids, &mut self.services.encoder);
        let settings = self.layout.settings_of(service);
        if found.settings != *settings {
            writer.service(Verb::Change, key, &settings.written());
        }
        let mut stale: HashMap<_, &RealServer> =
            found.reals.iter().map(|real| ((real.address, real.port), real)).collect();
        for &endpoint in endpoints {
            let wanted = self.layout.real_server(service, endpoint)?;
            match stale.remove(&(wanted.address, wanted.port)) {
                None => writer.real(Verb::Add, key, &wanted),
                Some(real) if *real != wanted => writer.real(Verb::Change, key, &wanted),
                Some(_) => {}
            }
        }
        for real in &found.reals {
            if stale.contains_key(&(real.address, real.port)) {
                writer.real(Verb::Remove, key, real);
            }
        }
        self.services.label(self.label);
        Ok(())
    }

    /// Brings the real servers of a Service from one state of its Endpoints to another, new ones
    /// first.
    pub fn change_servers(&mut self, before: &Service, after: &Service) -> Result<(), ProxyError> {
        let mut writer = writer(self.ids, &mut self.services.encoder);
        let (old, new) = (before.targets(), after.targets());
        for (key, kind) in self.layout.virtual_services(after) {
            let (old, new) = (served(before, &old, kind), served(after, &new, kind));
            for (verb, endpoints, others) in [(Verb::Add, new, old), (Verb::Remove, old, new)] {
                // One that stays where it is stays the real server that it was.
                let is_alone =
                    |one: &&Endpoint| others.iter().all(|other| other.socket() != one.socket());
                for &endpoint in endpoints.iter().filter(is_alone) {
                    writer.real(verb, key, &self.layout.real_server(after, endpoint)?);
                }
            }
        }
        self.services.label(self.label);
        Ok(())
    }

    /// Removes a virtual service.
    pub fn delete(&mut self, key: VirtualKey) {
        writer(self.ids, &mut self.services.encoder).service(Verb::Remove, key, &[]);
        self.services.label(self.label);
    }

    /// Adds an object that is not there, unless the node has it by itself.
    pub fn add(&mut self, object: LabelledObject) {
        self.change(object, true);
    }

    /// Removes an object that is there.
    pub fn remove(&mut self, object: LabelledObject) {
        self.change(object, false);
    }

    /// The program.
    pub fn finish(self) -> IpvsProgram {
        let members: usize = self.added.iter().chain(&self.removed).map(Vec::len).sum();
        let mut sets = Encoder::with_capacity(members * MEMBER_BYTES, Set::ALL.len());
        for ((set, added), removed) in Set::ALL.into_iter().zip(&self.added).zip(&self.removed) {
            let name = set.name(self.layout.family);
            ipset::change(&mut sets, ipset::ADD, &name, set.kind(), added);
            ipset::change(&mut sets, ipset::REMOVE, &name, set.kind(), removed);
        }
        let sets = LabelledBatch { batch: sets.finish(), labels: Vec::new() };
        let batches = [
            (Family::Netfilter, sets),
            (Family::Generic, self.services.finish()),
            (Family::Route, self.addresses.finish()),
        ];
        IpvsProgram { ids: self.ids, batches, names: self.names }
    }

    fn change(&mut self, (object, label): LabelledObject, add: bool) {
        match object {
            NodeObject::Member(set, member) => {
                let sets = if add { &mut self.added } else { &mut self.removed };
                if let Some(members) = sets.get_mut(set.position()) {
                    members.push(member);
                }
            }
            NodeObject::Local(_) if self.layout.is_own(&object) => {}
            NodeObject::Local(prefix) => {
                let encoder = &mut self.addresses.encoder;
                match self.layout.options.vip_binding {
                    VipBinding::Dummy => {
                        let kind = if add { route::NEW_ADDRESS } else { route::DELETE_ADDRESS };
                        route::address(encoder, kind, self.ids.link, prefix.addr());
                    }
                    VipBinding::LocalRoute => {
                        let kind = if add { route::NEW_ROUTE } else { route::DELETE_ROUTE };
                        route::local_route(encoder, kind, prefix);
                    }
                }
                self.addresses.label(label);
            }
        }
    }
}

fn writer(ids: KernelIds, encoder: &mut Encoder) -> Writer<'_> {
    Writer { encoder, family: ids.family }
}

/// Everything a Cluster needs that is not there, and the removal of what it does not need: the IPVS
/// table, the sets and the local addresses of the namespace belong to this proxy.
pub(super) fn full(
    layout: &Layout,
    ids: KernelIds,
    cluster: &Cluster,
    observed: &Observed,
) -> Result<IpvsProgram, ProxyError> {
    let expected = cluster.services().len() + cluster.endpoint_count();
    let mut draft =
        Draft::new(layout, ids, if observed.services.is_empty() { expected } else { 0 });
    let mut stale = observed.by_key();
    let mut wanted = NodeObjects::with_capacity(cluster.services().len());
    for service in cluster.of_family(layout.family) {
        let (label, targets) = (draft.about(service.name()), service.targets());
        for (key, kind) in layout.virtual_services(service) {
            let endpoints = served(service, &targets, kind);
            // Hashing costs as much as writing a message, so it is left out where there is nothing
            // to find.
            match if stale.is_empty() { None } else { stale.remove(&key) } {
                None => draft.create(key, service, endpoints)?,
                Some(found) => draft.adjust(service, endpoints, found)?,
            }
        }
        layout.objects(service, |object| wanted.push(object, label));
    }
    draft.about_none();
    for found in &observed.services {
        if stale.contains_key(&found.key) {
            draft.delete(found.key);
        }
    }
    wanted.sort();
    wanted.compare(&observed.objects, |side, object| match side {
        Side::Missing => draft.add(object),
        Side::Unexpected => draft.remove(object),
    });
    Ok(draft.finish())
}

#[cfg(test)]
pub(super) mod tests {
    use generators::{Change, Family as AddressFamily};
    use linux::netlink::decode::Messages;

    use super::*;
    use crate::ipvs::program::tests::describe_position;
    use crate::ipvs::programmed::ProgrammedState;
    use crate::ipvs::wire::Settings;
    use crate::options::Options;

    const IDS: KernelIds = KernelIds { family: 0x20, link: 3 };

    /// A Service `ns/NAME:p80` at port 80.
    pub fn service(name: &str, vip: &str, endpoints: &[&str]) -> Service {
        let endpoints = endpoints.iter().map(|text| endpoint(text)).collect();
        let name = format!("ns/{name}:p80").parse().expect("a name");
        let vip = vip.parse().expect("a VIP");
        Service::new(name, vip, 80, generators::Protocol::Tcp, endpoints).expect("a Service")
    }

    pub fn endpoint(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().expect("ip:port").into()
    }

    pub fn cluster(services: Vec<Service>) -> Cluster {
        Cluster::new(services).expect("a Cluster")
    }

    fn layout_of(family: AddressFamily, cluster: &Cluster, options: &Options) -> Layout {
        let own = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().expect("an address"));
        let own = own.into_iter().filter(|&one| AddressFamily::of(one) == family);
        Layout::of(family, cluster, options, own.collect()).expect("a layout")
    }

    fn layout(cluster: &Cluster, options: &Options) -> Layout {
        layout_of(AddressFamily::V4, cluster, options)
    }

    /// A namespace that holds this Cluster and nothing else.
    fn holding(cluster: &Cluster, layout: &Layout) -> Observed {
        let mut observed = Observed::default();
        for service in cluster.services() {
            for (key, _) in layout.virtual_services(service) {
                let real = |at: &Endpoint| layout.real_server(service, *at).expect("a real server");
                observed.services.push(ObservedService {
                    key,
                    settings: Settings { scheduler: "rr".into(), flags: 0, timeout_s: 0 },
                    reals: service.endpoints().iter().map(real).collect(),
                });
            }
            layout.objects(service, |object| observed.objects.push(object, NO_SERVICE));
        }
        observed.objects.sort();
        observed
    }

    /// What each message asks for and which Service it names, one a line; set members without
    /// Service.
    fn listing(program: &IpvsProgram) -> Vec<String> {
        let mut lines = Vec::new();
        for (family, messages) in &program.batches {
            for position in 0..messages.batch.len() {
                if *family == Family::Netfilter {
                    let bytes = messages.batch.message(position).expect("a message");
                    let message = Messages::of(bytes).next().expect("one").expect("valid");
                    lines.extend(ipset::changes_in_words(&message).expect("valid"));
                    continue;
                }
                let (verb, object) =
                    describe_position(*family, &messages.batch, position).expect("a description");
                let label = usize::try_from(messages.labels[position]).expect("small");
                let name = program.names.get(label).map_or("nobody", ServiceName::name);
                lines.push(format!("{verb} {object} for {name}"));
            }
        }
        lines
    }

    fn full_listing(cluster: &Cluster, options: &Options, observed: &Observed) -> Vec<String> {
        listing(&full(&layout(cluster, options), IDS, cluster, observed).expect("it renders"))
    }

    fn example() -> Cluster {
        cluster(vec![
            service("web", "10.96.0.10", &["10.128.0.1:8080", "10.128.0.2:8080"]),
            service("dns", "10.96.0.9", &["10.128.0.1:53"])
                .with(|extras| {
                    extras.node_port = Some(30_053);
                    extras.external_ips = vec![[198, 51, 100, 7].into()];
                })
                .expect("a node port and an external IP"),
            service("idle", "10.96.0.11", &[]),
        ])
    }

    #[test]
    fn a_full_sync_of_an_empty_namespace_sends_everything_in_order() {
        insta::assert_snapshot!(
            full_listing(&example(), &Options::default(), &Observed::default()).join("\n"), @r#"
        add 10.128.0.1,6:53,10.128.0.1 in KUBE-LOOP-BACK
        add 10.128.0.1,6:8080,10.128.0.1 in KUBE-LOOP-BACK
        add 10.128.0.2,6:8080,10.128.0.2 in KUBE-LOOP-BACK
        add 10.96.0.9,6:80 in KUBE-CLUSTER-IP
        add 10.96.0.10,6:80 in KUBE-CLUSTER-IP
        add 10.96.0.11,6:80 in KUBE-CLUSTER-IP
        add 198.51.100.7,6:80 in KUBE-EXTERNAL-IP
        add 30053 in KUBE-NODE-PORT-TCP
        add 10.96.0.9 in KUBE-IPVS-IPS
        add 10.96.0.10 in KUBE-IPVS-IPS
        add 10.96.0.11 in KUBE-IPVS-IPS
        add 198.51.100.7 in KUBE-IPVS-IPS
        add virtual service 10.96.0.10:80/tcp for web
        add real server 10.128.0.1:8080 of virtual service 10.96.0.10:80/tcp for web
        add real server 10.128.0.2:8080 of virtual service 10.96.0.10:80/tcp for web
        add virtual service 10.96.0.9:80/tcp for dns
        add real server 10.128.0.1:53 of virtual service 10.96.0.9:80/tcp for dns
        add virtual service 198.51.100.7:80/tcp for dns
        add real server 10.128.0.1:53 of virtual service 198.51.100.7:80/tcp for dns
        add virtual service 192.0.2.1:30053/tcp for dns
        add real server 10.128.0.1:53 of virtual service 192.0.2.1:30053/tcp for dns
        add virtual service 10.96.0.11:80/tcp for idle
        add address 10.96.0.9 for dns
        add address 10.96.0.10 for web
        add address 10.96.0.11 for idle
        add address 198.51.100.7 for dns
        "#);
    }

    #[test]
    fn each_family_is_sent_its_own_services() {
        let six = service("six", "fd00:96::9", &["[fd00:128::1]:53"]).with(|extras| {
            extras.node_port = Some(30_053);
            extras.external_ips = vec!["2001:db8::7".parse().expect("an address")];
        });
        let both = [example().services(), &[six.expect("a Service")]].concat();
        let (dual, options) = (cluster(both), Options::default());
        let observed = Observed::default();
        let alone = full_listing(&example(), &options, &observed);
        assert_eq!(full_listing(&dual, &options, &observed), alone);
        let layout = layout_of(AddressFamily::V6, &dual, &options);
        let program = full(&layout, IDS, &dual, &observed).expect("it renders");
        insta::assert_snapshot!(listing(&program).join("\n"), @r#"
        add fd00:128::1,6:53,fd00:128::1 in KUBE-6-LOOP-BACK
        add fd00:96::9,6:80 in KUBE-6-CLUSTER-IP
        add 2001:db8::7,6:80 in KUBE-6-EXTERNAL-IP
        add 30053 in KUBE-6-NODE-PORT-TCP
        add 2001:db8::7 in KUBE-6-IPVS-IPS
        add fd00:96::9 in KUBE-6-IPVS-IPS
        add virtual service [fd00:96::9]:80/tcp for six
        add real server [fd00:128::1]:53 of virtual service [fd00:96::9]:80/tcp for six
        add virtual service [2001:db8::7]:80/tcp for six
        add real server [fd00:128::1]:53 of virtual service [2001:db8::7]:80/tcp for six
        add virtual service [2001:db8::1]:30053/tcp for six
        add real server [fd00:128::1]:53 of virtual service [2001:db8::1]:30053/tcp for six
        add address 2001:db8::7 for six
        add address fd00:96::9 for six
        "#);
        let mut options = options;
        options.ipvs.vip_binding = VipBinding::LocalRoute;
        let layout = layout_of(AddressFamily::V6, &dual, &options);
        let program = full(&layout, IDS, &dual, &observed).expect("it renders");
        let lines = listing(&program);
        let local: Vec<_> = lines.iter().filter(|line| line.contains("local route")).collect();
        assert_eq!(
            local,
            ["add local route 2001:db8::7/128 for six", "add local route fd00:96::9/128 for six"]
        );
    }

    #[test]
    fn without_masquerading_there_are_no_sets() {
        let mut options = Options::default();
        options.ipvs.masquerade = false;
        let cluster = example();
        let program = full(&layout(&cluster, &options), IDS, &cluster, &Observed::default());
        assert_eq!(program.expect("it renders").batches[0].1.batch.len(), 0);
    }

    #[test]
    fn a_local_route_takes_the_place_of_many_addresses() {
        let mut options = Options::default();
        options.ipvs.vip_binding = VipBinding::LocalRoute;
        let lines = full_listing(&example(), &options, &Observed::default());
        let local: Vec<_> = lines.iter().filter(|line| line.contains("local route")).collect();
        assert_eq!(
            local,
            ["add local route 10.96.0.8/30 for web", "add local route 198.51.100.7/32 for dns"]
        );
        let bound: Vec<_> = lines.iter().filter(|line| line.contains("IPVS-IPS")).collect();
        assert_eq!(bound, ["add 198.51.100.7 in KUBE-IPVS-IPS"], "the range is for the rules");
    }

    #[test]
    fn a_restart_onto_the_same_cluster_sends_nothing() {
        let (cluster, options) = (example(), Options::default());
        let observed = holding(&cluster, &layout(&cluster, &options));
        assert_eq!(full_listing(&cluster, &options, &observed), Vec::<String>::new());
    }

    #[test]
    fn a_restart_onto_another_cluster_sends_the_difference() {
        let options = Options::default();
        let old = cluster(vec![
            service("web", "10.96.0.10", &["10.128.0.2:8080", "10.128.0.3:8080"]),
            service("gone", "10.96.0.12", &["10.128.0.1:53"]),
        ]);
        let new = cluster(vec![
            service("web", "10.96.0.10", &["10.128.0.1:8080", "10.128.0.2:8080"]),
            service("dns", "10.96.0.9", &["10.128.0.1:53"]),
        ]);
        let observed = holding(&old, &layout(&old, &options));
        insta::assert_snapshot!(full_listing(&new, &options, &observed).join("\n"), @r#"
        add 10.128.0.1,6:8080,10.128.0.1 in KUBE-LOOP-BACK
        remove 10.128.0.3,6:8080,10.128.0.3 in KUBE-LOOP-BACK
        add 10.96.0.9,6:80 in KUBE-CLUSTER-IP
        remove 10.96.0.12,6:80 in KUBE-CLUSTER-IP
        add 10.96.0.9 in KUBE-IPVS-IPS
        remove 10.96.0.12 in KUBE-IPVS-IPS
        add real server 10.128.0.1:8080 of virtual service 10.96.0.10:80/tcp for web
        remove real server 10.128.0.3:8080 of virtual service 10.96.0.10:80/tcp for web
        add virtual service 10.96.0.9:80/tcp for dns
        add real server 10.128.0.1:53 of virtual service 10.96.0.9:80/tcp for dns
        remove virtual service 10.96.0.12:80/tcp for nobody
        add address 10.96.0.9 for dns
        remove address 10.96.0.12 for nobody
        "#);
    }

    #[test]
    fn a_wrong_scheduler_or_weight_is_set_right() {
        let (cluster, options) = (example(), Options::default());
        let mut observed = holding(&cluster, &layout(&cluster, &options));
        observed.services[0].settings.scheduler = "lc".into();
        observed.services[0].reals[1].weight = 0;
        assert_eq!(
            full_listing(&cluster, &options, &observed),
            [
                "change virtual service 10.96.0.10:80/tcp for web",
                "change real server 10.128.0.2:8080 of virtual service 10.96.0.10:80/tcp for web",
            ]
        );
    }

    fn incremental(before: &Cluster, changes: &[Change]) -> Result<Vec<String>, ProxyError> {
        let layout = layout(before, &Options::default());
        let mut programmed = ProgrammedState::of(before, &layout);
        let (program, delta) = programmed.render(&layout, IDS, changes)?;
        let lines = listing(&program);
        // Changes lead to where a full sync of the Cluster after them leads: from there nothing is
        // left to send.
        let after = changes
            .iter()
            .try_fold(before.clone(), |cluster, change| cluster.apply(change))
            .expect("they fit");
        programmed.enter(&delta);
        assert!(programmed.equals(&ProgrammedState::of(&after, &layout)), "{changes:?}");
        Ok(lines)
    }

    #[test]
    fn a_replaced_endpoint_is_two_real_servers_and_two_members() {
        let replaced = Change::EndpointReplaced {
            service: "ns/web:p80".parse().expect("a name"),
            old: endpoint("10.128.0.2:8080"),
            new: endpoint("10.128.0.9:8080"),
        };
        assert_eq!(
            incremental(&example(), &[replaced]).expect("it renders"),
            [
                "add 10.128.0.9,6:8080,10.128.0.9 in KUBE-LOOP-BACK",
                "remove 10.128.0.2,6:8080,10.128.0.2 in KUBE-LOOP-BACK",
                "add real server 10.128.0.9:8080 of virtual service 10.96.0.10:80/tcp for web",
                "remove real server 10.128.0.2:8080 of virtual service 10.96.0.10:80/tcp for web",
            ]
        );
    }

    #[test]
    fn what_another_service_uses_stays_when_one_goes() {
        let shared = "10.128.0.1:8080";
        let before = cluster(vec![
            service("first", "10.96.0.1", &[shared, "10.128.0.2:8080"]),
            service("second", "10.96.0.2", &[shared]),
        ]);
        let removed = Change::ServiceRemoved("ns/first:p80".parse().expect("a name"));
        insta::assert_snapshot!(incremental(&before, &[removed]).expect("it renders").join("\n"), @r#"
        remove 10.128.0.2,6:8080,10.128.0.2 in KUBE-LOOP-BACK
        remove 10.96.0.1,6:80 in KUBE-CLUSTER-IP
        remove 10.96.0.1 in KUBE-IPVS-IPS
        remove virtual service 10.96.0.1:80/tcp for first
        remove address 10.96.0.1 for first
        "#);
    }

    #[test]
    fn changes_of_one_service_add_up() {
        let name: ServiceName = "ns/new:p80".parse().expect("a name");
        let changes = [
            Change::ServiceAdded(service("new", "10.96.0.20", &["10.128.0.5:80"])),
            Change::EndpointReplaced {
                service: name.clone(),
                old: endpoint("10.128.0.5:80"),
                new: endpoint("10.128.0.6:80"),
            },
        ];
        let lines = incremental(&example(), &changes).expect("it renders");
        assert!(!lines.iter().any(|line| line.contains("10.128.0.5,")), "{lines:?}");
        let [added, replaced] = changes;
        let back = [added, replaced, Change::ServiceRemoved("ns/new:p80".parse().expect("a name"))];
        let lines = incremental(&example(), &back).expect("it renders");
        assert!(
            !lines.iter().any(|line| line.contains("KUBE-") || line.contains("address")),
            "{lines:?}"
        );
    }

    #[test]
    fn changes_that_do_not_fit_are_refused() {
        let name = |text: &str| text.parse().expect("a name");
        let (layout, options) = (example(), Options::default());
        let layout =
            Layout::of(AddressFamily::V4, &layout, &options, Vec::new()).expect("a layout");
        let programmed = ProgrammedState::of(&example(), &layout);
        let (old, new) = (endpoint("10.128.0.9:80"), endpoint("10.128.0.8:80"));
        for (change, words) in [
            (
                Change::ServiceRemoved("ns/none:p80".parse().expect("a name")),
                "ns/none:p80: it is not programmed",
            ),
            (
                Change::ServiceAdded(service("web", "10.96.0.10", &[])),
                "ns/web:p80: it is programmed already",
            ),
            (
                Change::EndpointReplaced { service: name("ns/web:p80"), old, new },
                "Service ns/web:p80 has no endpoint 10.128.0.9:80",
            ),
        ] {
            let error = programmed.render(&layout, IDS, &[change]).expect_err("a contradiction");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn the_size_counts_messages_and_bytes_of_all_three_subsystems() {
        let (cluster, options) = (example(), Options::default());
        let program = full(&layout(&cluster, &options), IDS, &cluster, &Observed::default());
        let program = program.expect("it renders");
        let bytes = |(_, messages): &(_, LabelledBatch)| messages.batch.bytes().len() as u64;
        assert_eq!(program.size().bytes, program.batches.iter().map(bytes).sum::<u64>());
        assert_eq!(program.size().messages, 5 + 10 + 4);
    }
}
