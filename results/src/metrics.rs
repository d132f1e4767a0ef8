//! The table of metrics: one entry for each number that a cell can give. Whatever picks metrics by
//! name asks here.
//!
//! A [`Metric`] is made by its entry ([`MetricKind::of`]), so that none is stored that is not in
//! the table. Runs that another version stored may hold others: they are read and shown, and that
//! is all.

use LabelKind::{Detail, Part, Position, Sync};
use Use::{Budget, Clocks, Explain, ExplainFirst, OwnTable};

use crate::record::{Clock, Distribution, Metric, Unit};

/// What a metric counts. Of all of them less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// What something takes, on the cell's clock.
    Timing,
    /// The same of what nobody waits for: processor time, and what the harness itself costs.
    Spent,
    /// How many; the same on either clock.
    Number,
    /// Bytes; the same on either clock.
    Bytes,
}

/// What a metric's label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// Position of the dialled Service in the rules: `first`, `p25`, `p50`, `p75`, `last`,
    /// `random`.
    Position,
    /// Part of a sync: [`PARTS`], or `total` for all of them together.
    Part,
    /// The metric of the sync that it belongs to, for example `sync.full`.
    Sync,
    /// Anything else: a strategy, a layout, a tool.
    Detail,
}

/// What picks a metric without being told its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A budget (`vipbench capacity --slo`) may name it.
    Budget,
    /// Its two clocks are compared (`vipbench clocks`).
    Clocks,
    /// Its instructions are told apart by kernel function (`vipbench explain`).
    Explain,
    /// The same, and it is what is meant if no metric of its cell is named.
    ExplainFirst,
    /// A report has a table for it; the others share one.
    OwnTable,
}

/// By what share a metric may grow before that is a regression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowed {
    /// On the instructions clock where nothing around the proxy differs; a number that is counted
    /// has this everywhere.
    pub alike: f64,
    /// On the instructions clock where something does.
    pub unlike: f64,
}

/// One entry of the table. Only this module can make one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MetricKind {
    /// Name, as it is stored.
    pub name: &'static str,
    /// Name in a report.
    pub title: &'static str,
    /// What it counts.
    pub counts: Counts,
    /// What its label names.
    pub labels: LabelKind,
    /// The label that is meant when none is said.
    pub usual_label: &'static str,
    /// How much it may grow; nothing where it is judged only if a threshold names it.
    pub allowed: Option<Allowed>,
    /// What picks it.
    pub uses: &'static [Use],
}

/// Parts of a sync, in the order they happen. It has stages, or is that of a program of somebody
/// else.
pub const PARTS: [&str; 8] =
    ["start", "list", "sync", "prepare", "render", "submit", "effective", "aftermath"];
/// Label of all parts of a sync together.
pub const TOTAL: &str = "total";
/// Label of what a node does while nobody asks anything of it.
pub const IDLE: &str = "idle";

/// A repetition gives the same digits: what is allowed is what does not matter.
const REPEATED: Allowed = Allowed { alike: 0.005, unlike: 0.005 };
/// One rule more in every chain costs a connection through iptables-legacy 0.4%
/// (docs/calibration.md).
const A_RULE_MORE: Allowed = Allowed { alike: 0.002, unlike: 0.002 };
/// Another layout of memory alone moves a sync by up to 5% (docs/calibration.md).
const LAYOUT_MOVES: Allowed = Allowed { alike: 0.005, unlike: 0.05 };
/// One more is more.
const NOTHING: Allowed = Allowed { alike: 0.0, unlike: 0.0 };

/// Entries of one kind begin as one of these.
const CONNECTION: MetricKind = MetricKind {
    name: "",
    title: "",
    counts: Counts::Timing,
    labels: Position,
    usual_label: "last",
    allowed: None,
    uses: &[Budget, OwnTable],
};
const SYNC: MetricKind = MetricKind {
    labels: Part,
    usual_label: TOTAL,
    allowed: Some(LAYOUT_MOVES),
    uses: &[Budget, Clocks, Explain, OwnTable],
    ..CONNECTION
};
const WHOLE_SYNC: MetricKind =
    MetricKind { uses: &[Budget, Clocks, Explain, ExplainFirst, OwnTable], ..SYNC };
const AMOUNT: MetricKind = MetricKind {
    counts: Counts::Number,
    labels: Sync,
    usual_label: "sync.full",
    allowed: Some(NOTHING),
    uses: &[Budget],
    ..CONNECTION
};
const ASIDE: MetricKind = MetricKind { labels: Detail, uses: &[], ..CONNECTION };

/// An entry is the kind of metrics that it is of, its name and title, and what else is its own.
macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $entry:ident: $kind:ident($name:literal, $title:literal) $(, $field:ident: $value:expr)*;
    )*) => {
        $(
            $(#[$doc])*
            pub const $entry: MetricKind =
                MetricKind { name: $name, title: $title, $($field: $value,)* ..$kind };
        )*
        /// Every metric that there is.
        pub const ALL: &[MetricKind] = &[$($entry),*];
    };
}

table! {
    /// A new TCP connection of the bare client: `connect()` to established.
    CONNECT: CONNECTION("connect", "New connection"),
        allowed: Some(A_RULE_MORE), uses: &[Budget, Clocks, Explain, ExplainFirst, OwnTable];
    /// First request byte written to first answer byte read.
    REQUEST: CONNECTION("request", "Request on the new connection: first byte written to first byte read"),
        allowed: Some(REPEATED), uses: &[Budget, Clocks, Explain, OwnTable];
    /// Close of the connection.
    CLOSE: CONNECTION("close", "Close of the connection"),
        uses: &[Budget, Clocks, Explain, OwnTable];
    /// A further request on an open connection, which no rule sees: the control.
    KEEPALIVE_REQUEST: CONNECTION("keepalive.request", "Control: second request on an open connection"),
        uses: &[Budget, Clocks, OwnTable];
    /// A new connection of the HTTP client.
    HTTP_CONNECT: CONNECTION("http.connect", "New connection of the HTTP client");
    /// An HTTP request on it.
    HTTP_REQUEST: CONNECTION("http.request", "HTTP request on the new connection");
    /// Its close.
    HTTP_CLOSE: CONNECTION("http.close", "Close of the HTTP connection");
    /// The whole Cluster into an empty namespace.
    SYNC_FULL: WHOLE_SYNC("sync.full", "full");
    /// The whole Cluster onto identical state.
    SYNC_RESTART: WHOLE_SYNC("sync.restart", "restart");
    /// One Endpoint replaced.
    SYNC_ENDPOINT_CHANGE: SYNC("sync.endpoint_change", "endpoint change");
    /// One Service added.
    SYNC_SERVICE_ADD: SYNC("sync.service_add", "Service added");
    /// One Service removed; it has no part `effective`.
    SYNC_SERVICE_REMOVE: SYNC("sync.service_remove", "Service removed");
    /// What an idle node with the Cluster programmed spends, a second.
    STANDING: ASIDE("standing", "What an idle node spends a second"),
        usual_label: IDLE, allowed: Some(LAYOUT_MOVES), uses: &[Budget, OwnTable];
    /// What an idle node interrupts a program with, each time: the longest is what a connection may
    /// wait beside its own work.
    PAUSE: ASIDE("pause", "Pauses: what an idle node interrupts a program with"),
        counts: Counts::Spent, usual_label: IDLE, uses: &[Budget, Explain, ExplainFirst, OwnTable];
    /// Rules that a sync hands over.
    RULES: AMOUNT("rules", "Rules handed over");
    /// Netlink messages that a sync hands over.
    MESSAGES: AMOUNT("messages", "Messages handed over");
    /// Bytes that a sync hands over.
    BYTES: AMOUNT("bytes", "Bytes handed over"), counts: Counts::Bytes;
    /// Processor time of the process that submits a sync, user and system time together.
    CPU: AMOUNT("cpu", "Processor time"), counts: Counts::Spent, allowed: None;
    /// By how much the kernel's own memory grows in a sync.
    MEMORY_KERNEL: AMOUNT("memory.kernel", "Memory of the kernel"),
        counts: Counts::Bytes, allowed: None;
    /// How long a sync takes by a kube-proxy's own clock, label `SYNC.FAMILY.KIND`.
    OWN_SYNC: ASIDE("own.sync", "Sync by kube-proxy's own clock"),
        usual_label: "sync.full.ipv4.full";
    /// What a kube-proxy's process uses for a sync, without the tools that it calls.
    OWN_CPU: AMOUNT("own.cpu", "Processor time of kube-proxy's own process"),
        counts: Counts::Spent, allowed: None;
    /// The most memory that a kube-proxy's process had until then.
    MEMORY_USER: AMOUNT("memory.user", "Memory of kube-proxy's process, at most"),
        counts: Counts::Bytes, allowed: None;
    /// What of its heap is in use then.
    MEMORY_HEAP: AMOUNT("memory.heap", "Heap of kube-proxy's process"),
        counts: Counts::Bytes, allowed: None;
    /// A connection of a load that keeps coming, from its planned start to its end; label is the
    /// phase.
    LOAD_TOTAL: ASIDE("load.total", "Connections under load, from their planned start to their end"),
        usual_label: "quiet", uses: &[Budget, OwnTable];
    /// How late the client began connections.
    LOAD_LATENESS: ASIDE("load.lateness", "How late the client began connections"),
        counts: Counts::Spent, usual_label: "quiet", uses: &[OwnTable];
    /// Connections that came to nothing.
    LOAD_FAILED: ASIDE("load.failed", "Connections that came to nothing"),
        counts: Counts::Number, usual_label: "quiet", uses: &[Budget, OwnTable];
    /// Connections of a second or longer.
    LOAD_STALLED: ASIDE("load.stalled", "Connections of a second or longer"),
        counts: Counts::Number, usual_label: "quiet", uses: &[Budget, OwnTable];
    /// The median connection of each sixteenth of a phase, in their order.
    LOAD_MIDDLE: ASIDE("load.middle", "Median connection by time"), uses: &[OwnTable];
    /// The slowest connection of each sixteenth of a phase, in their order.
    LOAD_WORST: ASIDE("load.worst", "Slowest connection by time"), uses: &[OwnTable];
    /// When each Step was handed over, after the start of its phase.
    CHURN_BEGAN: ASIDE("churn.began", "When a Step was handed over"),
        counts: Counts::Spent, uses: &[OwnTable];
    /// From a Step handed over until its sync had ended, while load comes.
    CHURN_SYNC: ASIDE("churn.sync", "Sync of a Step under load"),
        usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// From a Step handed over until the last connection began that went to a removed Endpoint; 0
    /// where none did.
    CHURN_LAST_OLD: ASIDE("churn.last_old", "Until the last connection to a removed Endpoint"),
        usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// From a Step handed over until the first connection began that went to an added Endpoint.
    CHURN_FIRST_NEW: ASIDE("churn.first_new", "Until the first connection to an added Endpoint"),
        usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// Connections that began after a sync had ended and went to an Endpoint that it removed.
    CHURN_LATE_TO_OLD: ASIDE("churn.late_to_old", "Connections to removed Endpoints after the sync"),
        counts: Counts::Number, usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// Connections kept open that a phase broke.
    CHURN_BROKEN: ASIDE("churn.broken", "Open connections that broke"),
        counts: Counts::Number, usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// Flows of UDP that nobody answers after a phase, or a removed Endpoint.
    CHURN_STUCK: ASIDE("churn.stuck", "Flows of UDP that are stuck"),
        counts: Counts::Number, usual_label: "rolling_update", uses: &[Budget, OwnTable];
    /// How long a phase was.
    CHURN_LENGTH: ASIDE("churn.length", "Length of a phase"),
        counts: Counts::Spent, usual_label: "quiet", uses: &[OwnTable];
    /// A new connection, when as many come as can.
    THROUGHPUT_CONNECTION: ASIDE("throughput.connection", "A new connection, when as many come as can"),
        usual_label: "last", uses: &[Budget, OwnTable];
    /// A request on an open connection, when as many come as can.
    THROUGHPUT_REQUEST: ASIDE("throughput.request", "A request on an open connection, when as many come as can"),
        usual_label: "last", uses: &[Budget, OwnTable];
    /// A mebibyte through one connection.
    THROUGHPUT_BULK: ASIDE("throughput.bulk", "A MiB through one connection"),
        usual_label: "last", uses: &[Budget, OwnTable];
    /// By how much the kernel's memory grows with the Cluster programmed, label is the kind.
    COST_MEMORY: ASIDE("cost.memory", "Memory of the kernel, by kind"),
        counts: Counts::Bytes, usual_label: "slab", uses: &[Budget, OwnTable];
    /// The most memory that one program had which syncs started, label is `full` or `change`.
    COST_PROGRAMS: ASIDE("cost.programs", "Most memory of a program that a sync starts"),
        counts: Counts::Bytes, usual_label: "full", uses: &[Budget, OwnTable];
    /// A call of `iptables` by somebody else, label is `quiet` or `syncing` (begun during a sync).
    COST_BYSTANDER: ASIDE("cost.bystander", "A call of iptables by somebody else"),
        usual_label: "syncing", uses: &[Budget, OwnTable];
    /// How long the lock of xtables was held in one sync, label is `sync`.
    COST_LOCK: ASIDE("cost.lock", "Lock of xtables held in a sync"),
        usual_label: "sync", uses: &[Budget, OwnTable];
    /// From a Change's arrival until its sync has ended, label is the shortest time between syncs.
    BATCHING_LATENCY: ASIDE("batching.latency", "From a Change's arrival until it is programmed"),
        usual_label: "1000ms", uses: &[Budget, OwnTable];
    /// Work of syncs, for each Change.
    BATCHING_WORK: ASIDE("batching.work", "Work of syncs for each Change"),
        usual_label: "1000ms", uses: &[Budget, OwnTable];
    /// How many syncs the Changes took.
    BATCHING_SYNCS: ASIDE("batching.syncs", "Syncs"),
        counts: Counts::Number, usual_label: "1000ms", uses: &[OwnTable];
    /// Making every VIP local, label is the strategy.
    VIP_BIND: ASIDE("vip_bind", "Making all VIPs local"),
        usual_label: "dummy", allowed: Some(LAYOUT_MOVES), uses: &[Budget, OwnTable];
    /// A new connection under a layout of VIPs, label `LAYOUT.POSITION`.
    LAYOUT_CONNECT: ASIDE("layout.connect", "New connection by layout of the VIPs"),
        uses: &[OwnTable];
    /// Services in each bucket of IPVS, label is the layout of VIPs.
    LAYOUT_BUCKET_SERVICES: ASIDE("layout.bucket_services", "Services in a bucket of IPVS"),
        counts: Counts::Number, uses: &[OwnTable];
    /// Our submit, and the usual tool with the same content, label `vipbench` or `tool`.
    BASELINE: ASIDE("baseline", "Our submit against a tool");
    /// One call of the `iptables` tool that appends a rule.
    APPEND: ASIDE("append", "One rule added by one call");
    /// Rules of the nat table that a connection's first packet is compared with.
    RULES_WALKED: CONNECTION("rules.walked", "Rules of the nat table that a new connection is compared with"),
        counts: Counts::Number, uses: &[OwnTable];
    /// Two readings of the clock with nothing between.
    HARNESS_CLOCK: ASIDE("harness.clock", "A pair of readings of the clock"),
        counts: Counts::Spent, uses: &[OwnTable];
    /// All that a client does around one connection but the connection.
    HARNESS_SAMPLE: ASIDE("harness.sample", "Recording one connection"),
        counts: Counts::Spent, uses: &[OwnTable];
}

/// The entry of a name; nothing for what only another version measured.
pub fn kind(name: &str) -> Option<&'static MetricKind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// Every entry that `what` picks.
pub fn used_by(what: Use) -> impl Iterator<Item = &'static MetricKind> {
    ALL.iter().filter(move |kind| kind.uses.contains(&what))
}

/// Whether a name is that of a timing of one connection, so that `none` has it too and is its
/// floor.
pub fn is_of_a_connection(name: &str) -> bool {
    kind(name).is_some_and(MetricKind::is_of_a_connection)
}

/// Whether metric and label are those that `vipbench explain` means when nothing is said.
pub fn is_explained_first(metric: &str, label: &str) -> bool {
    let first = |kind: &MetricKind| kind.uses.contains(&ExplainFirst) && kind.usual_label == label;
    kind(metric).is_some_and(first)
}

/// Whether a name is that of a sync.
pub fn is_sync(name: &str) -> bool {
    kind(name).is_some_and(MetricKind::is_sync)
}

impl MetricKind {
    /// One metric of a cell on `clock`: few values, each kept, in the order they were measured.
    pub fn of(&self, label: &str, clock: Clock, values: Vec<u64>) -> Metric {
        Metric {
            name: self.name.to_owned(),
            label: label.to_owned(),
            unit: self.unit(clock),
            data: Distribution::Values { values },
        }
    }

    /// Unit of its values in a cell on `clock`.
    pub fn unit(&self, clock: Clock) -> Unit {
        match self.counts {
            Counts::Timing | Counts::Spent => clock.unit(),
            Counts::Number => Unit::Count,
            Counts::Bytes => Unit::Bytes,
        }
    }

    /// Whether `metric` of a cell on `clock` is one of this kind.
    pub fn is_of(&self, metric: &Metric, clock: Clock) -> bool {
        self.name == metric.name && self.unit(clock) == metric.unit
    }

    /// Whether it is the same on either clock.
    pub fn is_amount(&self) -> bool {
        matches!(self.counts, Counts::Number | Counts::Bytes)
    }

    /// Whether it is a timing of one connection, so that `none` has it too and is its floor.
    pub fn is_of_a_connection(&self) -> bool {
        self.counts == Counts::Timing && self.labels == Position
    }

    /// Whether it is a sync.
    pub fn is_sync(&self) -> bool {
        self.labels == Part
    }

    /// Whether a label stands for all that it has: the parts of a sync add up to its total.
    pub fn is_whole(&self, label: &str) -> bool {
        !self.is_sync() || label == TOTAL
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_distinct_and_titles_there() {
        let names: BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|kind| !kind.name.is_empty() && !kind.title.is_empty()));
    }

    #[test]
    fn a_metric_is_made_in_the_unit_of_its_cells_clock() {
        let made = CONNECT.of("last", Clock::Instructions, vec![1]);
        assert_eq!((made.name.as_str(), made.unit), ("connect", Unit::Instructions));
        assert!(CONNECT.is_of(&made, Clock::Instructions));
        assert!(!CONNECT.is_of(&made, Clock::Wall), "instructions of a cell on the wall clock");
        assert_eq!(RULES.of("sync.full", Clock::Wall, vec![1]).unit, Unit::Count);
    }

    #[test]
    fn the_documentation_lists_every_metric_and_no_other() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results.md");
        let text = std::fs::read_to_string(page).unwrap();
        let rows = text.lines().skip_while(|line| !line.starts_with("| metric | label |")).skip(2);
        let listed: BTreeSet<&str> = rows
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.split('|').nth(1))
            .flat_map(|names| names.split('`').skip(1).step_by(2))
            .collect();
        assert_eq!(listed, ALL.iter().map(|kind| kind.name).collect());
    }
}
