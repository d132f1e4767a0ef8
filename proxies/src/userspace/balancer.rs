//! Which Endpoint takes the next connection: one after the other, a client that came lately to the
//! one that it had (`pkg/proxy/userspace/roundrobin.go`, Kubernetes 1.20).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::listeners::Target;

/// Clients that are remembered; beyond, those whose time is over are forgotten first, then all.
const CLIENTS_MAX: usize = 1 << 16;

/// The choice of one listener.
#[derive(Debug)]
pub(super) struct Balancer {
    target: Target,
    /// How many have been chosen in turn.
    turn: usize,
    /// Whom a client had, and when last.
    clients: HashMap<IpAddr, (SocketAddr, Instant)>,
}

impl Balancer {
    /// One that begins with the first Endpoint.
    pub fn new(target: Target) -> Self {
        Self { target, turn: 0, clients: HashMap::new() }
    }

    /// What it is for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Gives it other Endpoints. Clients of those that are gone are forgotten.
    pub fn point_to(&mut self, target: Target) {
        self.clients.retain(|_, (endpoint, _)| target.endpoints.contains(endpoint));
        self.target = target;
    }

    /// Whether an Endpoint may take connections.
    pub fn has(&self, endpoint: SocketAddr) -> bool {
        self.target.endpoints.contains(&endpoint)
    }

    /// The Endpoint for a connection of a client; nothing if there is none. `is_retry` after one
    /// that could not be reached: then it is the next, whoever the client had.
    pub fn choose(&mut self, client: IpAddr, now: Instant, is_retry: bool) -> Option<SocketAddr> {
        let Some(affinity) = self.target.affinity else { return self.next() };
        let had = self.clients.get(&client).filter(|(_, at)| now.duration_since(*at) < affinity);
        let chosen = match had {
            Some((endpoint, _)) if !is_retry => *endpoint,
            _ => self.next()?,
        };
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.retain(|_, (_, at)| now.duration_since(*at) < affinity);
        }
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.clear();
        }
        self.clients.insert(client, (chosen, now));
        Some(chosen)
    }

    fn next(&mut self) -> Option<SocketAddr> {
        let endpoints = &self.target.endpoints;
        let at = self.turn.checked_rem(endpoints.len())?;
        self.turn = at + 1;
        endpoints.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn endpoints(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::from(([10, 128, 0, *last], 80))).collect()
    }

    fn of(last: &[u8], affinity_s: Option<u64>) -> Target {
        Target { endpoints: endpoints(last), affinity: affinity_s.map(Duration::from_secs) }
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn endpoints_are_taken_in_turn_also_when_they_change() {
        let now = Instant::now();
        let mut balancer = Balancer::new(of(&[1, 2, 3], None));
        let take = |count: usize, balancer: &mut Balancer| -> Vec<SocketAddr> {
            (0..count).filter_map(|_| balancer.choose(CLIENT, now, false)).collect()
        };
        assert_eq!(take(4, &mut balancer), endpoints(&[1, 2, 3, 1]));
        balancer.point_to(of(&[1, 4], None));
        assert_eq!(take(3, &mut balancer), endpoints(&[4, 1, 4]));
        balancer.point_to(of(&[], None));
        assert_eq!(take(1, &mut balancer), []);
    }

    #[test]
    fn a_client_comes_back_until_its_time_is_over_or_its_endpoint_gone() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut balancer = Balancer::new(of(&[1, 2, 3], Some(10)));
        let other = IpAddr::from([192, 0, 2, 2]);
        let wanted = endpoints(&[1, 2, 3]);
        assert_eq!(balancer.choose(CLIENT, start, false), Some(wanted[0]));
        assert_eq!(balancer.choose(other, start, false), Some(wanted[1]));
        assert_eq!(balancer.choose(CLIENT, at(9), false), Some(wanted[0]));
        assert_eq!(balancer.choose(CLIENT, at(18), false), Some(wanted[0]), "each use counts anew");
        assert_eq!(balancer.choose(CLIENT, at(28), false), Some(wanted[2]));
        assert_eq!(balancer.choose(CLIENT, at(28), true), Some(wanted[0]), "the next one");
        balancer.point_to(of(&[2], Some(10)));
        assert_eq!(balancer.choose(CLIENT, at(29), false), Some(wanted[1]));
    }

    #[test]
    fn clients_without_number_take_bounded_memory() {
        let now = Instant::now();
        let mut balancer = Balancer::new(of(&[1], Some(10)));
        for bits in 0..=u32::try_from(CLIENTS_MAX).expect("it fits") {
            balancer.choose(std::net::Ipv4Addr::from_bits(bits).into(), now, false);
        }
        assert!(balancer.clients.len() <= CLIENTS_MAX);
    }
}
