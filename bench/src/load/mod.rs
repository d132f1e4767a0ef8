//! Puts load on Services: a bare socket client and an HTTP client, their servers, source addresses,
//! the clock.
//!
//! A client makes one connection at a time and times its three phases apart; it knows nothing of
//! proxies, Clusters or stored results. Sockets belong to the namespace of the thread that opens
//! them, so everything here runs wherever its caller has put it.

mod background;
mod bare;
mod bulk;
mod client;
mod clock;
mod http;
mod kept;
pub mod open;
mod priority;
pub mod region;
mod sample;
mod server;
mod source;
mod watch;

use std::time::Duration;

use generators::SplitMix64;
use lab::guest::mark;
use results::Clock;

pub use bare::BareClient;
pub use bulk::{Sink, send};
pub use client::{LoadClient, LoadError, Target, Timing};
pub use clock::{ClockError, MeasureClock};
pub use http::{HttpClient, HttpServer};
pub use kept::Kept;
pub use priority::Priority;
pub use sample::Sample;
pub use server::{BareServer, ServerError, listen};
pub use source::{SOURCE_PORTS, SourceError, Sources};
pub use watch::Watch;

/// How many connections a target gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// Before the measured ones: verified, not recorded.
    pub warmup: u32,
    /// Measured ones.
    pub measured: u32,
    /// Decides the order of the targets in each round.
    pub seed: u64,
    /// Wait before each connection, in which servers finish with the one before.
    pub pause: Duration,
}

impl Rounds {
    /// The pause that makes connections alike on this clock. Without one, some find their server
    /// still awake and some have to wake it (1,470 instructions on Linux 6.1), as the order of the
    /// targets will have it. On the wall clock a pause would let the processor go to sleep, which
    /// costs more than it evens out.
    pub const fn pause_of(clock: Clock) -> Duration {
        match clock {
            Clock::Instructions => Duration::from_millis(1),
            Clock::Wall => Duration::ZERO,
        }
    }

    /// One connection after the pause.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn dial(
        self,
        client: &mut impl LoadClient,
        sources: &mut Sources,
        target: &Target<'_>,
    ) -> Result<Timing, LoadError> {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        mark::begin();
        client.connection(sources, target)
    }
}

/// Dials each target once a round, so that drift of the machine meets all targets alike, and in a
/// new order each round: the kernel refills its caches every so many connections, which must not
/// fall on the same target each time. `record` gets the position of the target in `targets`.
/// Returns how many connections were made and verified, those of the warm-up included.
///
/// # Errors
/// The first [`LoadError`]: a measurement with a wrong answer in it is worth nothing.
pub fn measure(
    client: &mut impl LoadClient,
    sources: &mut Sources,
    targets: &[Target<'_>],
    rounds: Rounds,
    mut record: impl FnMut(usize, Timing),
) -> Result<u64, LoadError> {
    let mut verified = 0;
    let mut draws = SplitMix64::stream(rounds.seed, ORDER);
    let mut order: Vec<_> = targets.iter().enumerate().collect();
    for round in 0..u64::from(rounds.warmup) + u64::from(rounds.measured) {
        shuffle(&mut order, &mut draws);
        for &(at, target) in &order {
            let timing = rounds.dial(client, sources, target)?;
            verified += 1;
            if round >= u64::from(rounds.warmup) {
                record(at, timing);
            }
        }
    }
    Ok(verified)
}

/// The purpose of the draws that order targets.
const ORDER: u64 = 0x6f72_6465_7200;

/// Fisher and Yates: every order is as likely as any other.
fn shuffle<T>(items: &mut [T], draws: &mut SplitMix64) {
    for unsettled in (1..items.len()).rev() {
        let chosen = usize::try_from(draws.below(unsettled as u64 + 1)).unwrap_or(unsettled);
        items.swap(unsettled, chosen);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Answers each connection with a timing that tells its number.
    struct Counting(u64);

    impl LoadClient for Counting {
        fn connection(
            &mut self,
            _: &mut Sources,
            target: &Target<'_>,
        ) -> Result<Timing, LoadError> {
            target.verify(target.vip)?;
            self.0 += 1;
            Ok(Timing { connect: self.0, request: 0, close: 0 })
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_round_dials_each_target_once_in_an_order_of_its_own() {
        let (first, last) = ([address("10.0.0.1:80")], [address("10.0.0.2:80")]);
        let targets = [&first, &last].map(|allowed| Target { vip: allowed[0], allowed });
        let mut sources = Sources::new("127.1.0.0/16".parse().unwrap(), SOURCE_PORTS).unwrap();
        let mut seen = Vec::new();
        let rounds = Rounds { warmup: 1, measured: 20, seed: 1, pause: Duration::ZERO };
        let verified = measure(&mut Counting(0), &mut sources, &targets, rounds, |at, timing| {
            seen.push((at, timing.connect));
        });
        assert_eq!(verified.unwrap(), 42);
        let (targets, numbers): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        assert_eq!(numbers, (3..=42).collect::<Vec<_>>(), "the warm-up is not recorded");
        let orders: Vec<_> = targets.chunks(2).collect();
        assert!(orders.iter().all(|order| [[0, 1], [1, 0]].iter().any(|known| order == known)));
        assert!(orders.contains(&[0, 1].as_slice()) && orders.contains(&[1, 0].as_slice()));
    }

    #[test]
    fn a_wrong_answer_ends_the_measurement() {
        let allowed = [address("10.0.0.2:80")];
        let targets = [Target { vip: address("10.0.0.1:80"), allowed: &allowed }];
        let mut sources = Sources::new("127.1.0.0/16".parse().unwrap(), SOURCE_PORTS).unwrap();
        let rounds = Rounds { warmup: 0, measured: 1, seed: 1, pause: Duration::ZERO };
        let error =
            measure(&mut Counting(0), &mut sources, &targets, rounds, |_, _| panic!("recorded"))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.0.0.1:80 was answered by 10.0.0.1:80, which is none of its 1 Endpoints; the proxy is wrong"
        );
    }
}
