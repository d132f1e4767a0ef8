//! `vipbench load` as typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use lab::IpNet;

use super::numbers::number;
use super::page::PageArgs;
use crate::load::open::Arrivals;

pub(super) const LOAD_EXAMPLES: &str = "\
Examples:
  vipbench load 127.0.0.1:8080 --serve                  try it: a server of its own on loopback
  vipbench load http://127.0.0.1:8080/ --rate 5000 --duration 30s
  vipbench load http://127.0.0.1:8080/ --rate max --open 50            what comes through at most
  vipbench load http://10.96.0.1/ --netns node1 --arrivals constant -o loaded
  vipbench load 127.0.0.1:8080 --serve --question udp --rate 2000
  vipbench load http://127.0.0.1:8080/ --requests 100   a hundred requests on each connection

Connections begin at moments planned beforehand, however slow the answers are. Latency counts from
the planned start; that from the actual start stands beside it, and so does how late the client
itself was.

Load goes to loopback, or anywhere inside a network namespace that is not this machine's own.

Exit codes: 0 all connections completed; 1 the tool failed, or none completed; 2 some failed;
4 the numbers are not to be believed, such as when the client was too late.";

/// Whom to dial, as typed: `ADDRESS:PORT`, or `http://ADDRESS[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetArg {
    /// The address.
    pub address: SocketAddr,
    /// What is asked for by HTTP; nothing where no URL was given.
    pub path: Option<String>,
    /// Of whom: what stands between `http://` and the path.
    pub host: String,
}

impl FromStr for TargetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "write ADDRESS:PORT or http://ADDRESS[:PORT][/PATH], with an IP address";
        let Some(rest) = text.strip_prefix("http://") else {
            if text.contains("://") {
                return Err(format!("only http is spoken; {FORMS}"));
            }
            let address = text.parse().map_err(|_| FORMS.to_owned())?;
            return Ok(Self { address, path: None, host: text.to_owned() });
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let usable = |byte: u8| byte.is_ascii_graphic();
        if !path.bytes().all(usable) {
            return Err("a path has no spaces, and other signs as %20".to_owned());
        }
        let with_port = host.parse().or_else(|_| format!("{host}:80").parse());
        let address = with_port.map_err(|_| FORMS.to_owned())?;
        Ok(Self { address, path: Some(path.to_owned()), host: host.to_owned() })
    }
}

/// Connections a second, as typed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateArg {
    /// So many.
    PerSecond(f64),
    /// As many as come through.
    Max,
}

impl FromStr for RateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = number(&text.replace(',', ""));
        let rate = rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0 && *rate <= 1e7);
        rate.map(Self::PerSecond)
            .ok_or_else(|| "write a number of connections a second, or max".to_owned())
    }
}

/// How gaps are spread, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArrivalsChoice {
    /// All alike
    Constant,
    /// As of many clients who know nothing of each other
    Poisson,
}

impl From<ArrivalsChoice> for Arrivals {
    fn from(choice: ArrivalsChoice) -> Self {
        match choice {
            ArrivalsChoice::Constant => Self::Constant,
            ArrivalsChoice::Poisson => Self::Poisson,
        }
    }
}

/// What is said, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuestionChoice {
    /// A GET by HTTP/1.1
    Http,
    /// Nothing: connect and close
    Connect,
    /// Sixteen bytes, answered by a server of vipbench with its address
    Who,
    /// The same in a datagram
    Udp,
}

/// Who makes connections, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientChoice {
    /// Bare sockets: as little as it takes
    Sockets,
    /// tokio and hyper: what a program built on them sees
    Hyper,
}

/// How connections end, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EndingChoice {
    /// By RST: nothing lingers
    Reset,
    /// By FIN, as most programs do
    Finish,
}

/// A range of ports, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortsArg(pub u16, pub u16);

impl FromStr for PortsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = first.parse().ok().zip(last.parse().ok());
        ports
            .filter(|(first, last)| 0 < *first && first <= last)
            .map(|(first, last)| Self(first, last))
            .ok_or_else(|| "write FIRST-LAST, such as 10000-59999".to_owned())
    }
}

/// `vipbench load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Whom to dial: `ADDRESS:PORT` or `http://ADDRESS:PORT/PATH`; of several, each connection draws
    /// one
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<TargetArg>,
    /// Connections a second, or `max`
    #[arg(long, value_name = "N", default_value = "1000")]
    pub rate: RateArg,
    /// How they are spread
    #[arg(long, value_enum, default_value = "poisson")]
    pub arrivals: ArrivalsChoice,
    /// For how long connections begin, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// What is said on a connection [default: http, or `who` with --serve and no URL]
    #[arg(long, value_enum)]
    pub question: Option<QuestionChoice>,
    /// Requests on each connection, one after the other
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: u32,
    /// Who makes connections
    #[arg(long, value_enum, default_value = "sockets")]
    pub client: ClientChoice,
    /// Most connections open at a time [default: 1000]; with `--rate max` so many all the time
    /// [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub open: Option<u32>,
    /// How long a connection may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// How connections end
    #[arg(long, value_enum, default_value = "reset")]
    pub ending: EndingChoice,
    /// Threads that make connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: u32,
    /// Processors that workers are pinned to, such as 0,1 [default: not pinned]
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Sleep between connections in place of looking at the clock, for a machine with one processor
    #[arg(long)]
    pub sleep: bool,
    /// Source addresses [default: the one that the kernel takes for the target]
    #[arg(long, value_name = "PREFIX")]
    pub source: Option<IpNet>,
    /// Source ports, each in turn; few of them to reuse ports on purpose
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-59999")]
    pub ports: PortsArg,
    /// Let the kernel choose source ports, and measure that too
    #[arg(long, conflicts_with_all = ["source", "ports"])]
    pub kernel_ports: bool,
    /// Seed of arrivals
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Network namespace to dial from: its name as `ip netns` has it, or a path such as
    /// /proc/1234/ns/net
    #[arg(long, value_name = "NAME")]
    pub netns: Option<PathBuf>,
    /// Serve the target too, on a thread of this process
    #[arg(long)]
    pub serve: bool,
    /// Most lateness (p99) with which the numbers are believed
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration)]
    pub late: Duration,
    /// Form and place of the page; in its folder also lateness.hlog, a log of `HdrHistogram`
    #[command(flatten)]
    pub page: PageArgs,
}

/// A time such as `500ms`, `30s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    let duration = parsed.and_then(|span| Duration::try_from(span).ok());
    duration
        .filter(|duration| !duration.is_zero() && *duration <= Duration::from_hours(24))
        .ok_or_else(|| "write a time up to 24h with its unit, such as 500ms, 30s or 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_or_urls_of_addresses() {
        let target = |text: &str| text.parse::<TargetArg>();
        let plain = target("127.0.0.1:80").unwrap();
        assert_eq!((plain.address.port(), plain.path), (80, None));
        let url = target("http://[::1]:8080/a?b=c").unwrap();
        assert_eq!(url.address, "[::1]:8080".parse().unwrap());
        assert_eq!((url.path.as_deref(), url.host.as_str()), (Some("/a?b=c"), "[::1]:8080"));
        assert_eq!(target("http://10.0.0.1").unwrap().address.port(), 80);
        for wrong in
            ["", "localhost:80", "127.0.0.1", "https://127.0.0.1/", "http:///", "http://a/"]
        {
            assert!(target(wrong).is_err(), "{wrong}");
        }
        assert!(target("http://127.0.0.1/a b").is_err());
    }

    #[test]
    fn rates_ports_and_times_are_read_as_people_write_them() {
        assert_eq!("5_000".parse(), Ok(RateArg::PerSecond(5_000.0)));
        assert_eq!("0.5".parse(), Ok(RateArg::PerSecond(0.5)));
        assert_eq!("max".parse(), Ok(RateArg::Max));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "fast"] {
            assert!(wrong.parse::<RateArg>().is_err(), "{wrong}");
        }
        assert_eq!("10-20".parse(), Ok(PortsArg(10, 20)));
        assert_eq!("10".parse(), Ok(PortsArg(10, 10)));
        for wrong in ["0-5", "5-4", "-", "1-70000"] {
            assert!(wrong.parse::<PortsArg>().is_err(), "{wrong}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "5", "0s", "-1s", "25h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
