//! A plan in sentences: the answer, what it rests on, and what it does not say.

use itertools::Itertools as _;

use super::limit::Size;
use super::moves;
use super::plan::{Answer, CapacityPlan, Forecast, GroupPlan, Outlook, ProxyPlan, Verdict};
use crate::format::{fixed, list, thousands};
use crate::record::Clock;

/// `12,345`, `80,000 or more`, `none`.
pub(super) fn size(size: Size) -> String {
    match size {
        Size { services: 0, .. } => "none".to_owned(),
        Size { services, or_more: true } => format!("{} or more", thousands(services)),
        Size { services, .. } => thousands(services),
    }
}

/// The answer for a group: a sentence a proxy.
pub(super) fn answers(plan: &CapacityPlan, group: &GroupPlan) -> Vec<String> {
    let estimated = if plan.calibration.is_some() { " (estimated)" } else { "" };
    group.proxies.iter().map(|proxy| format!("{}{estimated}", answer(proxy))).collect()
}

fn answer(proxy: &ProxyPlan) -> String {
    let name = &proxy.proxy;
    let (largest, binding, extrapolated) = match &proxy.verdict {
        Verdict::Unknown { reason } => return format!("{name}: cannot be said. {reason}"),
        Verdict::Largest { largest, binding, extrapolated } => (largest, binding, extrapolated),
    };
    let [estimate, low, high] = [largest.estimate, largest.low, largest.high].map(size);
    let limited = binding.as_ref().map_or_else(
        || ", as far as the measured sizes allow to say; nothing binds before".to_owned(),
        |binding| format!(", limited by {binding}"),
    );
    let extrapolated = extrapolated.map(extrapolation).unwrap_or_default();
    // Where all three are the end of what can be said, there is no interval to tell of.
    let interval =
        if low == high { String::new() } else { format!(" (95% interval {low} to {high})") };
    format!("{name}: {estimate} Services{interval}{limited}{extrapolated}")
}

fn extrapolation(times: f64) -> String {
    let far =
        if times > super::cost::REACH as f64 { ", too far to rely on: measure it" } else { "" };
    format!("; extrapolated, {} times the largest measured size{far}", fixed(times, 1))
}

/// What the reader's own size costs, and whether twice of it is within the budget; a line a proxy.
pub(super) fn outlook(proxy: &ProxyPlan) -> Option<String> {
    let (first, later) = proxy.outlook.split_first()?;
    let later = later.iter().map(|outlook| {
        let extrapolated = if outlook.extrapolated.is_some() { ", extrapolated" } else { "" };
        let (services, answer) = (thousands(outlook.services), answer_word(outlook.answer));
        format!(". At {services}: {answer}{extrapolated}")
    });
    Some(format!("{} {}{}", proxy.proxy, outlook_words(first), later.collect::<String>()))
}

fn outlook_words(outlook: &Outlook) -> String {
    let tightest = outlook.forecasts.iter().min_by(|a, b| a.headroom.total_cmp(&b.headroom));
    format!(
        "at {} Services: {}{}{}",
        thousands(outlook.services),
        answer_word(outlook.answer),
        tightest.map(|forecast| format!("; {}", headroom(forecast))).unwrap_or_default(),
        outlook.extrapolated.map(extrapolation).unwrap_or_default()
    )
}

fn headroom(forecast: &Forecast) -> String {
    let Forecast { subject, unit, value, .. } = forecast;
    format!("{subject} takes {}, {}", unit.quantity(*value), used(forecast))
}

/// What a forecast takes of its limit: `uses 0.041% of the budget`, `38% over the budget`, `5.4
/// times over the budget`.
pub(super) fn used(forecast: &Forecast) -> String {
    match 1.0 - forecast.headroom {
        share if share <= 1.0 => format!("uses {} of the budget", two_digits(share)),
        share if share < 2.0 => format!("{} over the budget", two_digits(share - 1.0)),
        share if share < 100.0 => format!("{} times over the budget", fixed(share, 1)),
        share => format!("{} times over the budget", fixed(share, 0)),
    }
}

/// The same where the budget was just named.
pub(super) fn used_of_it(forecast: &Forecast) -> String {
    used(forecast).replace("of the budget", "of it").replace(" the budget", "")
}

/// A share as per cent, with two digits however small it is.
fn two_digits(share: f64) -> String {
    let percent = 100.0 * share.max(0.0);
    let decimals = match percent {
        0.0 => 0,
        size if size >= 9.95 => 0,
        size if size >= 0.995 => 1,
        size if size >= 0.0995 => 2,
        size if size >= 0.00995 => 3,
        _ => return "under 0.01%".to_owned(),
    };
    format!("{}%", fixed(percent, decimals))
}

/// The forecast of a proxy that leaves least, at the reader's size or else the largest measured one.
pub(super) fn tightest(proxy: &ProxyPlan) -> Option<(&Outlook, &Forecast)> {
    let outlook = proxy.outlook.first()?;
    let forecasts = outlook.forecasts.iter();
    Some((outlook, forecasts.min_by(|a, b| a.headroom.total_cmp(&b.headroom))?))
}

/// The recommendation: what is within the budget at that size, the most headroom first.
pub(super) fn lead(group: &GroupPlan) -> String {
    let services = group.proxies.iter().find_map(|proxy| Some(proxy.outlook.first()?.services));
    let Some(services) = services.map(thousands) else {
        return "Nothing can be recommended: no condition has a fit; the reasons are below."
            .to_owned();
    };
    let mut sentences = vec![match of_answer(group, Answer::Within).as_slice() {
        [] => format!("At {services} Services no proxy is within the budget."),
        some => format!("At {services} Services within the budget: {}.", list(some)),
    }];
    let unknown = group
        .proxies
        .iter()
        .filter(|one| one.outlook.first().is_none_or(|outlook| outlook.answer == Answer::Unknown));
    let others = [
        ("Too close to say", of_answer(group, Answer::Unclear)),
        ("Over it", of_answer(group, Answer::Over)),
        ("Not told", unknown.map(|proxy| proxy.proxy.clone()).collect()),
    ];
    let others = others.into_iter().filter(|(_, named)| !named.is_empty());
    sentences.extend(others.map(|(what, named)| format!("{what}: {}.", list(&named))));
    sentences.join(" ")
}

/// The proxies that have an answer, the most headroom first, each with what it uses.
fn of_answer(group: &GroupPlan, answer: Answer) -> Vec<String> {
    let told = group.proxies.iter().filter_map(|proxy| {
        let (outlook, forecast) = tightest(proxy).filter(|(one, _)| one.answer == answer)?;
        Some((proxy, outlook, forecast))
    });
    let sorted = told.sorted_by(|a, b| b.2.headroom.total_cmp(&a.2.headroom));
    let words = |(proxy, outlook, forecast): (&ProxyPlan, &Outlook, &Forecast)| {
        let far = outlook.extrapolated.map(extrapolation).unwrap_or_default();
        format!("{} ({}{far})", proxy.proxy, used_of_it(forecast))
    };
    sorted.map(words).collect()
}

/// `within`, `unclear`, `over`, `unknown`.
pub(super) fn answer_word(answer: Answer) -> &'static str {
    match answer {
        Answer::Within => "within the budget",
        Answer::Unclear => "unclear, the interval reaches over the limit",
        Answer::Over => "over the budget",
        Answer::Unknown => "unknown, not every condition was measured",
    }
}

/// What a reader has to know before relying on the answer.
pub(super) fn caveats(plan: &CapacityPlan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(words) = &plan.calibration {
        lines.push(format!("Every figure is an estimate, {words}."));
    }
    if plan.groups.iter().any(|group| group.clock == Clock::Instructions) {
        lines.push(
            "Instructions are not time: caches, branch misses and contention are absent. The order of proxies here is an order of work; \
             which is faster is for the wall clock to say."
                .to_owned(),
        );
    }
    let known = plan.groups.first().map(|group| group.known.clone()).unwrap_or_default();
    let proxies = plan.groups.iter().flat_map(|group| &group.proxies);
    let measured = known.sorted(proxies.map(|one| one.proxy.as_str()));
    lines.push(format!("Measured here: {}.", list(&measured)));
    if measured.iter().any(|name| moves::is_target(&known, name)) {
        lines.push(MOVING_BEHAVES.to_owned());
        if measured.contains(&"ipvs") {
            lines.push(MOVING_FROM_IPVS.to_owned());
        }
    } else {
        lines.push(
            "No nftables proxy is in these runs, so what moving from iptables or IPVS to nftables changes cannot be said here."
                .to_owned(),
        );
    }
    lines.extend(plan.groups.iter().filter_map(|group| shape(plan, group)));
    lines
}

/// What a budget does not show of a move (KEP-3866, section on differences from the iptables mode,
/// and the requirements in `getNFTablesInterface`, pkg/proxy/nftables/proxier.go, Kubernetes 1.33).
const MOVING_BEHAVES: &str = "nftables-1.33 has the rules of Kubernetes 1.33 (1.34 and 1.35 differ little), nftables-1.36 and nftables-1.37 those of 1.36 and of 1.37. \
    Moving changes behaviour too: NodePorts answer at the node's primary addresses and not at localhost, an unknown port of a VIP is refused and \
    an unknown VIP dropped, packets with invalid connection state are not dropped, rules of other programs for chains of kube-proxy no longer \
    apply, and Linux 5.13 and nft 1.0.1 are the least.";

/// `ipvs` is not what kube-proxy does (`syncIPSetEntries` in pkg/proxy/ipvs/ipset.go, Kubernetes
/// 1.30).
const MOVING_FROM_IPVS: &str = "ipvs is programmed in batches of netlink messages here. kube-proxy's own IPVS mode starts a process for every changed \
    set entry and asks the kernel about every virtual service on each sync, so that its syncs cost more than those of ipvs.";

/// Whether the reader's Cluster has the shape that was measured.
fn shape(plan: &CapacityPlan, group: &GroupPlan) -> Option<String> {
    let asked = plan.asked.as_ref()?;
    let endpoints = asked.endpoints.filter(|_| asked.services > 0)?;
    let yours = endpoints as f64 / asked.services as f64;
    let (least, most) = group.endpoints_per_service;
    let alike = yours >= least * 0.9 && yours <= most * 1.1;
    (!alike).then(|| {
        format!(
            "The Cluster has {} endpoints a Service, the cells on {} had {}: rules and syncs of the Cluster cost more or less than \
             said here. Measure its shape with a scenario that has these endpoints.",
            fixed(yours, 1),
            group.title(),
            if least < most { format!("{} to {}", fixed(least, 1), fixed(most, 1)) } else { fixed(least, 1) }
        )
    })
}

/// How it was done, and its limits.
pub(super) const METHOD: [&str; 7] = [
    "Each condition is fitted for each proxy by a constant, a line, n log n, a quadratic and straight lines between the sizes, each size by its median over the seeds and weighed by relative error.",
    "The model is the one that best predicts sizes it was not fitted to (each size but the smallest is left out in turn; root mean square of the logarithm of predicted over measured). A simpler model stays unless a richer one's error is smaller by a fifth. A model that falls as Services are added is not admitted.",
    "The interval is where one more measurement is expected with 95% confidence: Student's t, with the larger of misfit and error on unseen sizes, at least 0.25%, and the spread over seeds. Counts of instructions repeat to the digit within a seed; the interval is about seeds and the model, not about noise.",
    "Where no model predicts unseen sizes within 40%, only the measured sizes around are used: a larger size is taken not to cost less.",
    "Nothing larger than 4 times the largest measured size is claimed. Cells that failed or took too long above the largest measured size are a ceiling.",
    "The largest size is the one before the first that breaks any condition; its interval is where the interval of the cost meets the limit.",
    "One client and one connection at a time, and VIPs and endpoints as the scenario lays them out: nothing here is about contention or other shapes.",
];
