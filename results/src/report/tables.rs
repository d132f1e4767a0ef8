//! The tables of a report: connections, syncs and other costs, layouts of VIPs, and notes around
//! the numbers.

mod connect;
mod costs;
mod layout;
mod notes;

pub(crate) use connect::{connections, keepalive, phases, walked};
pub(crate) use costs::{resources, sync_parts, sync_totals, vip_bind};
pub(crate) use layout::{layout_buckets, layout_connects};
pub(crate) use notes::{environment, gaps, guests, harness, warnings};
