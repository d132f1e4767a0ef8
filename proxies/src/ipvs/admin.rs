//! What `ipvsadm -R` does not program: the settings under which the backend leaves it out too, and
//! the binding of VIPs, which is left to others.

use generators::Cluster;

use super::binding::VipBinder;
use super::options::VipBinding;
use crate::error::ProxyError;
use crate::options::Options;

/// IPVS alone; VIPs by one route, so that addresses do not hide the rest.
pub(super) fn reduce(options: &mut Options) {
    options.ipvs.masquerade = false;
    options.ipvs.vip_binding = VipBinding::LocalRoute;
}

/// Makes every VIP local.
pub(super) fn bind_vips(cluster: &Cluster, options: &Options) -> Result<(), ProxyError> {
    let mut binder = VipBinder::new(options);
    binder.prepare()?;
    let program = binder.render(cluster)?;
    binder.submit(&program)?;
    Ok(())
}
