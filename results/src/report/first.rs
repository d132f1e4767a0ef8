//! The first screen of a report: the answer in a sentence, for whom it holds, a line a proxy, and
//! the rule. What the answer is comes from `answer`.

use itertools::Itertools as _;

use super::answer::{self, Answer, CHANGE_CONNECTIONS_MAX, CONNECT_TIMES_MAX, Fit, Line};
use crate::document::Block;
use crate::findings::{of_position, services};
use crate::format::{fixed, list, short, thousands};
use crate::kernel::short_names;
use crate::metrics::CONNECT;
use crate::proxies::CONTROL;
use crate::record::{Clock, Place, Unit};
use crate::stats::Spread;
use crate::tables::{Columns, Table};
use crate::view::{Group, View};

/// Most families (place, clock and path) that are answered before anything else.
const FAMILIES_MAX: usize = 3;
/// Most proxies that a sentence names.
const NAMED_MAX: usize = 4;

/// Kernels of one place, clock and path, the oldest first, each with its answer.
struct Family<'g> {
    names: Vec<String>,
    answers: Vec<Answer<'g>>,
}

/// The blocks, and the group whose figures they show; that one is the newest kernel's.
pub(super) fn screen<'g>(view: &'g View<'_>) -> (Vec<Block>, Option<&'g Group<'g>>) {
    let families: Vec<Family<'_>> = view.families().filter_map(Family::of).collect();
    let Some(newest) = families.first().and_then(|family| family.answers.last()) else {
        return (vec![Block::Lead(without_answer(view))], None);
    };
    let several = families.len() > 1;
    let leads = families.iter().take(FAMILIES_MAX);
    let mut blocks: Vec<Block> = leads.map(|family| Block::Lead(family.lead(several))).collect();
    if families.len() > FAMILIES_MAX {
        let left = families.len() - FAMILIES_MAX;
        blocks.push(Block::Text(format!("{left} more paths have an answer below.")));
    }
    blocks.push(Block::Note(holds_for(newest)));
    blocks.push(table(newest).into());
    blocks.push(Block::Note(rule(newest)));
    (blocks, Some(newest.group))
}

/// Why no proxy is recommended where no new connection has a number.
fn without_answer(view: &View<'_>) -> String {
    if view.cells().any(|cell| cell.labels.measure == CONNECT.name) {
        return "No proxy is recommended: no cell of new connections gave numbers.".to_owned();
    }
    let kinds = view.cells().map(|cell| cell.labels.measure.as_str()).unique().collect_vec();
    let what = match kinds.as_slice() {
        [] => "nothing yet".to_owned(),
        some => format!("{}, not new connections", list(some)),
    };
    format!("No proxy is recommended: this run measured {what}.")
}

impl<'g> Family<'g> {
    fn of(groups: &'g [Group<'g>]) -> Option<Self> {
        let answers: Vec<Answer<'_>> = groups.iter().filter_map(answer::of).collect();
        let releases = answers.iter().map(|answer| answer.group.key.kernel.as_str()).collect_vec();
        let names = short_names(&releases);
        (!answers.is_empty()).then_some(Self { names, answers })
    }

    /// The sentences; with the place, clock and path where there are several of these.
    fn lead(&self, several: bool) -> String {
        let of_kernels = self.names.iter().zip(&self.answers);
        let alike = of_kernels.chunk_by(|(_, answer)| said_of(answer));
        let mut parts = Vec::new();
        for (what, kernels) in &alike {
            let (names, answers): (Vec<&String>, Vec<&Answer<'_>>) = kernels.unzip();
            let beginning = format!("At {} on Linux {}", services(what.0), list(&names));
            parts.extend(answers.last().map(|answer| sentence(&beginning, answer)));
        }
        let key = self.answers.first().map(|answer| answer.group.key.place_and_clock());
        match key.filter(|_| several) {
            Some(key) => format!("{} ({key})", parts.join(" ").trim_end_matches('.')) + ".",
            None => parts.join(" "),
        }
    }
}

/// What kernels must share to be told of in one sentence.
fn said_of<'g>(answer: &Answer<'g>) -> (u64, Vec<&'g str>, Vec<String>) {
    let good = answer.good().into_iter().sorted().collect();
    let others = answer.of_fit(|fit| *fit != Fit::Good).map(in_words).sorted().collect();
    (answer.services, good, others)
}

/// `At 10,000 Services on Linux 6.1: nftables-1.37 or ipvs. Past the limit: iptables-legacy (good
/// up to 1,000 Services).`
fn sentence(beginning: &str, answer: &Answer<'_>) -> String {
    if let Some(why) = &answer.refusal {
        return format!("{beginning} no proxy is recommended: {why}");
    }
    let good = answer.good();
    let judged = answer.of_fit(|fit| !matches!(fit, Fit::AnswersItself | Fit::Unknown(_))).count();
    let mut sentences = vec![match good.as_slice() {
        [] => format!("{beginning}: no proxy keeps to the rule below."),
        all if all.len() == judged && judged > 1 => {
            format!("{beginning} every proxy that was measured will do: {}.", either(all, "and"))
        }
        some => format!("{beginning}: {}.", either(some, "or")),
    }];
    let of = |kind: fn(&Fit) -> bool| answer.of_fit(kind).map(in_words).collect::<Vec<String>>();
    let others = [
        ("Past the limit", of(|fit| matches!(fit, Fit::Over(_)))),
        ("Too close to say", of(|fit| *fit == Fit::Close)),
        ("Not told", of(|fit| matches!(fit, Fit::Unknown(_)))),
    ];
    let others = others.into_iter().filter(|(_, named)| !named.is_empty());
    sentences.extend(others.map(|(what, named)| format!("{what}: {}.", list(&named))));
    sentences.extend(as_far_as_measured(answer));
    sentences.join(" ")
}

/// Where what is recommended rests on fewer Services, or on connections alone.
fn as_far_as_measured(answer: &Answer<'_>) -> Option<String> {
    let good = answer.of_fit(|fit| *fit == Fit::Good);
    let changes = good.map(|line| line.change.map_or(0, |(size, _)| size));
    match changes.min()? {
        0 => Some(
            "That is by new connections alone: not every one has a Change measured.".to_owned(),
        ),
        size if size < answer.services => {
            Some(format!("A Change was measured with up to {} alone.", services(size)))
        }
        _ => None,
    }
}

/// `a, b or c`, the first few.
fn either(names: &[&str], word: &str) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        return format!("{} and {more} more", names[..NAMED_MAX].join(", "));
    }
    match names {
        [head @ .., last] if !head.is_empty() => format!("{} {word} {last}", head.join(", ")),
        _ => names.concat(),
    }
}

/// A proxy that is not recommended, with what is known of it.
fn in_words(line: &Line<'_>) -> String {
    let note = match (&line.fit, line.good_to) {
        (Fit::Unknown(why), _) => why.clone(),
        (_, Some(size)) => format!("good up to {}", services(size)),
        (_, None) => return line.proxy.to_owned(),
    };
    format!("{} ({note})", line.proxy)
}

/// For which Services, kernel and clock the figures hold.
fn holds_for(answer: &Answer<'_>) -> String {
    let key = &answer.group.key;
    let clock = match key.clock {
        Clock::Wall => "timed on the wall clock",
        Clock::Instructions => {
            "counted in instructions, which are work and not time (a wall clock tells which is faster)"
        }
    };
    let path = key.path.in_title();
    format!(
        "Holds for {} ({}) on Linux {}, {}{path}, {clock}.",
        services(answer.services),
        answer.group.shape.in_words(),
        key.kernel,
        match key.place {
            Place::Guest => "in a guest",
            Place::Host => "on this host",
        }
    )
}

/// A line a proxy: the three costs, and a word.
fn table(answer: &Answer<'_>) -> Table {
    let unit = answer.group.unit();
    let cost = |spread: Option<Spread>| {
        spread.map_or_else(|| "-".to_owned(), |spread| short(unit, spread.median))
    };
    let at = |sized: Option<(u64, Spread)>| match sized {
        Some((size, spread)) if size != answer.services => {
            format!("{} (at {})", short(unit, spread.median), thousands(size))
        }
        other => cost(other.map(|(_, spread)| spread)),
    };
    let times = |spread: Option<Spread>| {
        let ratio = spread.zip(answer.floor).map(|(cost, floor)| cost.median / floor.median);
        ratio.filter(|ratio| ratio.is_finite()).map_or(String::new(), |ratio| fixed(ratio, 1))
    };
    let floor = answer.floor.map(|floor| Line {
        proxy: CONTROL,
        fit: Fit::Good,
        connect: Some(floor),
        full: None,
        change: None,
        good_to: None,
    });
    let kernel = short_names(&[&answer.group.key.kernel]).concat();
    let title =
        format!("With {} on Linux {kernel}, {}", services(answer.services), unit_in_words(unit));
    let mut columns =
        Columns::of(answer.lines.iter().chain(&floor)).text("proxy", |line| line.proxy.to_owned());
    if answer.refusal.is_none() {
        columns = columns.text("", |line| word(line));
    }
    let head = format!("connect ({})", answer.position);
    let mut table = columns
        .number(head, |line| cost(line.connect))
        .number("times none", |line| times(line.connect))
        .number("full sync", |line| at(line.full))
        .number("one Change", |line| at(line.change))
        .titled(title, "");
    let anchor =
        |line: &Line<'_>| answer.group.anchor_of(CONNECT.name, line.proxy, answer.services);
    table.anchors = answer.lines.iter().chain(&floor).map(anchor).collect();
    table
}

/// The verdict in a word or two.
fn word(line: &Line<'_>) -> String {
    match &line.fit {
        _ if line.proxy == CONTROL => "no proxy".to_owned(),
        Fit::Good => "good".to_owned(),
        Fit::Close => "too close to say".to_owned(),
        Fit::Over(what) => format!("over: {}", what.join(", ")),
        Fit::AnswersItself => "answers itself".to_owned(),
        Fit::Unknown(why) => format!("not told: {why}"),
    }
}

/// `instructions`, `time`.
fn unit_in_words(unit: Unit) -> &'static str {
    if unit == Unit::Instructions { "instructions" } else { "time" }
}

/// The rule, as it stands under the table.
fn rule(answer: &Answer<'_>) -> String {
    let smaller = if answer.smaller.is_empty() {
        String::new()
    } else {
        format!(" With fewer Services alone: {}.", list(&answer.smaller))
    };
    format!(
        "The rule: a proxy is good if, in every seed, a new connection to {} takes less than {} times what it takes without a proxy (none), \
         and one Change (an endpoint replaced) less than {} such connections. A full sync is shown and not judged: a node does it when it starts. \
         A dash: not measured.{smaller}",
        of_position(answer.position),
        fixed(CONNECT_TIMES_MAX, 0),
        fixed(CHANGE_CONNECTIONS_MAX, 0)
    )
}
