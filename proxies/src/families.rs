//! Which families a backend with tables of each programs, and what a sync has to do in them.
//!
//! kube-proxy runs one proxier a family where the kernel has both, and each syncs when it has
//! something to do: at its start, and when a Service or its slice of that family changes
//! (`pkg/proxy/metaproxier/meta_proxier.go` and `ServiceChangeTracker.Update` in
//! pkg/proxy/servicechangetracker.go, Kubernetes 1.36). So a full sync is done for both, whatever
//! the Services are, and a Change in one.

use generators::{Cluster, Family};

use crate::backend::Maker;
use crate::options::Options;
use crate::program::SyncRequest;

/// What one backend knows of its families.
#[derive(Debug, Default)]
pub(crate) struct Families {
    /// There are tables of IPv6.
    has_ipv6: bool,
    /// Whether the kernel can have some, once somebody asked.
    can_have_ipv6: Option<bool>,
}

impl Families {
    /// Finds out whether the kernel can have tables of IPv6. It is asked once.
    pub(crate) fn probe(&mut self, ask: impl FnOnce() -> bool) -> bool {
        *self.can_have_ipv6.get_or_insert_with(ask)
    }

    /// Readies for a sync and tells whether it is the first with tables of IPv6. The quickest way
    /// to start makes none that no Service needs.
    pub(crate) fn begin(
        &mut self,
        request: &SyncRequest<'_>,
        options: &Options,
        ask: impl FnOnce() -> bool,
    ) -> bool {
        let had_ipv6 = self.has_ipv6;
        let is_complete = matches!(request, SyncRequest::Full(_))
            && !options.quick_start
            && !options.without_idle_ipv6;
        self.has_ipv6 |= has_ipv6(request.after()) || (is_complete && self.probe(ask));
        self.has_ipv6 && !had_ipv6
    }

    /// Whether a sync has something to do in a family. One without Changes is the periodic one, of
    /// all that there is.
    pub(crate) fn are_for(&self, request: &SyncRequest<'_>, family: Family) -> bool {
        match request {
            SyncRequest::Incremental(step) if !step.changes().is_empty() => step.touches(family),
            _ => family == Family::V4 || self.has_ipv6,
        }
    }

    /// Those of the tables of IPv4 and IPv6 that are in use.
    pub(crate) fn in_use<'a, T>(&self, tables: &'a [T; 2]) -> &'a [T] {
        let [four, _] = tables;
        if self.has_ipv6 { tables } else { std::slice::from_ref(four) }
    }

    /// Those of the tables of IPv4 and IPv6 that this maker's state has.
    pub(crate) fn made_by<'a, T>(&self, maker: Maker<'_>, tables: &'a [T; 2]) -> Vec<&'a T> {
        match maker {
            Maker::Ours => self.in_use(tables).iter().collect(),
            Maker::KubeProxy(families) => {
                let all = Family::ALL.iter().zip(tables);
                all.filter(|(family, _)| families.contains(family)).map(|(_, one)| one).collect()
            }
        }
    }

    /// Forgets the tables of IPv6, and tells whether there were any.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(&mut self.has_ipv6)
    }
}

/// A proxier for each family, the second of which is at work where there are, or were, Services of
/// IPv6, and from a sync that was begun for both on.
#[derive(Debug)]
pub(crate) struct PerFamily<P> {
    /// Of IPv4 and IPv6.
    all: [P; 2],
    families: Families,
}

impl<P> PerFamily<P> {
    /// One each.
    pub(crate) fn new(make: impl FnMut(Family) -> P) -> Self {
        Self { all: Family::ALL.map(make), families: Families::default() }
    }

    /// Of IPv4 and IPv6, at work or not.
    pub(crate) fn all(&mut self) -> &mut [P; 2] {
        &mut self.all
    }

    /// Takes note that there are Services of IPv6, or none that were seen now.
    pub(crate) fn note(&mut self, has_ipv6: bool) {
        self.families.has_ipv6 |= has_ipv6;
    }

    /// Readies for a sync as kube-proxy does them ([`Families::begin`]); `ask` asks the kernel
    /// whether it has tables for the second one.
    pub(crate) fn begin(
        &mut self,
        request: &SyncRequest<'_>,
        options: &Options,
        ask: impl FnOnce(&P) -> bool,
    ) {
        let Self { all: [_, six], families } = self;
        families.begin(request, options, || ask(six));
    }

    /// Those that have something to do in a sync that was begun.
    pub(crate) fn due(&mut self, request: &SyncRequest<'_>) -> impl Iterator<Item = &mut P> {
        let Self { all, families } = self;
        let all = Family::ALL.into_iter().zip(all);
        all.filter(|(family, _)| families.are_for(request, *family)).map(|(_, one)| one)
    }

    /// Of IPv4 and IPv6 what `make` makes, if the sync has something to do there. One that was not
    /// begun has for the families of its Services.
    pub(crate) fn map_due<T>(
        &self,
        request: &SyncRequest<'_>,
        make: impl Fn(&P) -> T,
    ) -> [Option<T>; 2] {
        let [four, six] = &self.all;
        let is_begun = self.families.has_ipv6 || !has_ipv6(request.after());
        [(Family::V4, four), (Family::V6, six)].map(|(family, one)| {
            let is_due = self.families.are_for(request, family) || !is_begun;
            is_due.then(|| make(one))
        })
    }

    /// Those that are at work.
    pub(crate) fn in_use(&mut self) -> &mut [P] {
        match &mut self.all {
            all if self.families.has_ipv6 => all,
            [four, _] => std::slice::from_mut(four),
        }
    }

    /// Those that are at work once this Cluster is programmed.
    pub(crate) fn in_use_with(&self, cluster: &Cluster) -> impl Iterator<Item = &P> {
        let count = if self.families.has_ipv6 || has_ipv6(cluster) { 2 } else { 1 };
        self.all.iter().take(count)
    }

    /// Ends both by `end`; what the second one says counts if it was at work. Another process may
    /// have left something of IPv6, and a kernel without its tables refuses.
    pub(crate) fn end<E>(
        &mut self,
        mut end: impl FnMut(&mut P) -> Result<(), E>,
    ) -> Vec<Result<(), E>> {
        let [four, six] = &mut self.all;
        let [of_ipv4, of_ipv6] = [end(four), end(six)];
        let of_ipv6 = self.families.end().then_some(of_ipv6);
        std::iter::once(of_ipv4).chain(of_ipv6).collect()
    }
}

/// The addresses of `lo`, which kube-proxy's rules leave alone.
pub(crate) const fn loopback(family: Family) -> &'static str {
    match family {
        Family::V4 => "127.0.0.0/8",
        Family::V6 => "::1/128",
    }
}

/// Whether a Cluster has Services of IPv6.
pub(crate) fn has_ipv6(cluster: &Cluster) -> bool {
    cluster.of_family(Family::V6).next().is_some()
}

#[cfg(test)]
mod tests {
    use generators::Change;

    use super::*;
    use crate::golden::{overall, service};

    #[test]
    fn the_proxier_of_ipv6_is_at_work_once_there_is_something_for_it() {
        let mut proxiers = PerFamily::new(|family| family);
        let refuse = |family: &mut Family| if *family == Family::V4 { Ok(()) } else { Err(()) };
        assert_eq!(proxiers.in_use(), [Family::V4]);
        assert_eq!(proxiers.end(refuse), [Ok(())], "nobody asked for IPv6");
        proxiers.note(true);
        proxiers.note(false);
        assert_eq!(proxiers.in_use(), Family::ALL);
        assert_eq!(proxiers.end(refuse), [Ok(()), Err(())]);
        assert_eq!(proxiers.in_use(), [Family::V4], "it has ended");
    }

    #[test]
    fn proxiers_that_are_begun_are_due_in_the_families_of_a_sync() {
        let (cluster, options) = (overall(), Options::default());
        let full = SyncRequest::Full(&cluster);
        let six = Change::ServiceAdded(service("ns/six:p", "fd00::1", &["[fd01::1]:80"]));
        let step = cluster.step(vec![six]).unwrap();
        let change = SyncRequest::Incremental(&step);
        let mut proxiers = PerFamily::new(|family| family);
        assert_eq!(proxiers.map_due(&full, |one| *one), [Some(Family::V4), None]);
        let after = SyncRequest::Full(step.after());
        assert_eq!(proxiers.map_due(&after, |one| *one), Family::ALL.map(Some), "not begun");
        proxiers.begin(&full, &options, |six| *six == Family::V6);
        assert_eq!(proxiers.due(&full).count(), 2);
        assert_eq!(proxiers.map_due(&full, |one| *one), Family::ALL.map(Some));
        proxiers.begin(&change, &options, |_| unreachable!("it was asked already"));
        assert_eq!(proxiers.due(&change).map(|one| *one).collect::<Vec<_>>(), [Family::V6]);
        assert_eq!(proxiers.map_due(&change, |one| *one), [None, Some(Family::V6)]);
    }

    #[test]
    fn tables_of_ipv6_that_no_service_needs_can_be_left_out() {
        let (cluster, mut families) = (overall(), Families::default());
        let options = Options { without_idle_ipv6: true, ..Options::default() };
        assert!(!families.begin(&SyncRequest::Full(&cluster), &options, || true));
        assert!(!families.are_for(&SyncRequest::Full(&cluster), Family::V6));
    }

    #[test]
    fn a_full_sync_is_of_both_families_and_a_change_of_its_own() {
        let (cluster, options) = (overall(), Options::default());
        let full = SyncRequest::Full(&cluster);
        let six = Change::ServiceAdded(service("ns/six:p", "fd00::1", &["[fd01::1]:80"]));
        let step = cluster.step(vec![six]).unwrap();
        let change = SyncRequest::Incremental(&step);
        let done = |families: &Families, request| {
            Family::ALL.map(|family| families.are_for(request, family))
        };
        let mut families = Families::default();
        assert!(families.begin(&full, &options, || true), "the first with IPv6");
        assert!(!families.begin(&full, &options, || unreachable!("it was asked already")));
        assert_eq!(done(&families, &full), [true, true]);
        assert_eq!(done(&families, &change), [false, true]);
        let periodic = cluster.step(Vec::new()).unwrap();
        assert_eq!(done(&families, &SyncRequest::Incremental(&periodic)), [true, true]);
        assert!(families.end() && !families.end());
    }

    #[test]
    fn without_ipv6_in_the_kernel_there_is_ipv4_alone_until_a_service_needs_it() {
        let (cluster, options) = (overall(), Options::default());
        let mut families = Families::default();
        assert!(!families.begin(&SyncRequest::Full(&cluster), &options, || false));
        assert_eq!(families.in_use(&[4, 6]), [4]);
        let quick = Options { quick_start: true, ..options.clone() };
        let unasked = || unreachable!("the quickest way asks nothing");
        assert!(!Families::default().begin(&SyncRequest::Full(&cluster), &quick, unasked));
        let six = Change::ServiceAdded(service("ns/six:p", "fd00::1", &["[fd01::1]:80"]));
        let step = cluster.step(vec![six]).unwrap();
        assert!(families.begin(&SyncRequest::Incremental(&step), &options, || false));
        assert_eq!(families.in_use(&[4, 6]), [4, 6]);
    }
}
