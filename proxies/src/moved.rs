//! What a Step changes of what each Service has at its addresses.

use std::collections::{BTreeMap, BTreeSet};

use generators::{Change, Service, Step};

use crate::error::ProxyError;

/// All that the Services which a Step touches have after it, and what nobody of them has any more.
///
/// # Errors
/// A Service that `of_service` refuses.
pub(crate) fn moved<K: Ord, V>(
    step: &Step<'_>,
    of_service: impl Fn(&Service) -> Result<Vec<(K, V)>, ProxyError>,
) -> Result<(BTreeMap<K, V>, BTreeSet<K>), ProxyError> {
    let touched: BTreeSet<_> = step.changes().iter().map(Change::service_id).collect();
    let (mut there, mut gone) = (BTreeMap::new(), BTreeSet::new());
    for id in &touched {
        if let Some(before) = step.before().get(id) {
            gone.extend(of_service(before)?.into_iter().map(|(key, _)| key));
        }
        if let Some(after) = step.after().get(id) {
            there.extend(of_service(after)?);
        }
    }
    gone.retain(|key| !there.contains_key(key));
    Ok((there, gone))
}
