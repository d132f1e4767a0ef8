//! Rules with their packet counters at one moment, and what one packet did between two: how many
//! rules it was compared with. Reads nothing itself; backends do.
//!
//! One connection between two readings tells which rules matched, and the order of the rules tells
//! which others stood before them. Only the first packet of a connection meets translation rules
//! (conntrack remembers the rest), and one that the node forwards takes the chains of its way in
//! and of its way out.

use std::collections::HashMap;

use crate::error::ProxyError;

/// More jumps inside one another than a packet survives.
const DEPTH_MAX: usize = 64;

/// What a matching rule does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Goes on with the next rule.
    Continue,
    /// Leaves the chain.
    Return,
    /// Ends the walk.
    Decide,
    /// Goes through another chain first.
    Jump(String),
}

/// A rule: how many packets matched it, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRule {
    /// Packets that matched.
    pub packets: u64,
    /// What it does with them.
    pub target: Target,
}

/// Chains of rules with their counters, read at one moment.
#[derive(Debug, Default)]
pub struct Counters {
    /// The rules of each chain, in order.
    pub chains: HashMap<String, Vec<CountedRule>>,
    /// Where a packet starts on its way in, which must decide about it, and on its way out.
    pub ways: [&'static str; 2],
}

impl Counters {
    /// Rules that one packet was compared with since an earlier reading of the same rules.
    ///
    /// # Errors
    /// [`ProxyError::Malformed`]: no packet or several, or other rules than before.
    pub fn walked_since(&self, before: &Self) -> Result<u64, ProxyError> {
        let [way_in, way_out] = self.ways;
        let (walked_in, is_decided) = self.walk(before, way_in, 0)?;
        if !is_decided {
            return Err(refused("no rule decided about the packet: it did not meet this table"));
        }
        let (walked_out, _) = self.walk(before, way_out, 0)?;
        Ok(walked_in + walked_out)
    }

    /// Rules of a chain and of those it leads to, and whether one of them decided about the packet.
    fn walk(&self, before: &Self, chain: &str, depth: usize) -> Result<(u64, bool), ProxyError> {
        if depth >= DEPTH_MAX {
            return Err(refused(format!("chains lead to each other without end at {chain}")));
        }
        let missing = || refused(format!("there is no chain {chain}"));
        let now = self.chains.get(chain).ok_or_else(missing)?;
        let then = before.chains.get(chain).ok_or_else(missing)?;
        if now.len() != then.len() {
            return Err(refused(format!("the rules of {chain} changed meanwhile")));
        }
        let mut walked = 0;
        for (now, then) in now.iter().zip(then) {
            walked += 1;
            match now.packets.checked_sub(then.packets) {
                Some(0) => continue,
                Some(1) => {}
                other => {
                    return Err(refused(format!(
                        "{other:?} packets matched a rule of {chain}, not one: others send too, or \
                         a chain is met twice"
                    )));
                }
            }
            match &now.target {
                Target::Continue => {}
                Target::Return => return Ok((walked, false)),
                Target::Decide => return Ok((walked, true)),
                Target::Jump(chain) => {
                    let (inside, is_decided) = self.walk(before, chain, depth + 1)?;
                    walked += inside;
                    if is_decided {
                        return Ok((walked, true));
                    }
                }
            }
        }
        Ok((walked, false))
    }
}

fn refused(reason: impl Into<String>) -> ProxyError {
    ProxyError::malformed("the packet counters of rules", reason)
}
