//! Any bytes as Kubernetes objects in any form, and as a stored Cluster: an error, or a Cluster
//! that is valid and survives being written.

use generators::{Cluster, Importer, OnBadObject, from_json, from_k8s, to_json};

/// One input.
pub fn try_input(bytes: &[u8]) {
    let stored = from_json(bytes).ok();
    let strict = from_k8s(bytes, OnBadObject::Refuse).ok();
    let lenient = from_k8s(bytes, OnBadObject::Skip).ok();
    let yaml = from_k8s(&[b"---\n", bytes].concat()[..], OnBadObject::Skip).ok();
    let mut folder = Importer::default();
    let folder = [bytes, bytes]
        .iter()
        .try_for_each(|bytes| folder.read_of_folder("file", *bytes))
        .and_then(|()| folder.finish(OnBadObject::Skip))
        .ok();
    let imported = [strict, lenient, yaml, folder].into_iter().flatten();
    for cluster in stored.into_iter().chain(imported.map(|imported| imported.cluster)) {
        let mut json = Vec::new();
        assert!(to_json(&cluster, &mut json).is_ok());
        assert_eq!(from_json(&json[..]).ok().as_ref(), Some(&cluster));
        assert_eq!(Cluster::new(cluster.services().to_vec()).ok().as_ref(), Some(&cluster));
        if let Ok(anonymous) = cluster.anonymised(1) {
            assert_eq!(anonymous.endpoint_count(), cluster.endpoint_count());
        }
    }
}
