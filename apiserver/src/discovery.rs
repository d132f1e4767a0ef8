//! What tells clients which resources there are, group by group. The aggregated form is not served:
//! clients that ask for it get this one, see by its media type what it is, and go on group by group
//! (`staging/src/k8s.io/client-go/discovery/discovery_client.go`, Kubernetes 1.35).

use serde_json::{Value, json};

use crate::resource::{Resource, VERSION, group_version};

/// `/version`: the release whose API is followed.
pub(crate) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "35",
        "gitVersion": concat!("v1.35.0+vipbench.", env!("CARGO_PKG_VERSION")),
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/api`: versions of the core group.
pub(crate) fn versions() -> Value {
    json!({ "kind": "APIVersions", "versions": [VERSION], "serverAddressByClientCIDRs": [] })
}

/// `/apis`: every other group.
pub(crate) fn groups() -> Value {
    let groups: Vec<Value> = Resource::groups().into_iter().filter_map(group).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`; nothing if there is no such group.
pub(crate) fn group(name: &str) -> Option<Value> {
    let version = json!({ "groupVersion": group_version(name), "version": VERSION });
    Resource::groups().contains(&name).then(|| {
        json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": name,
            "versions": [version],
            "preferredVersion": version,
        })
    })
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(crate) fn resources(group: &str) -> Value {
    let of_group = Resource::ALL.into_iter().map(Resource::descriptor);
    let resources = of_group.filter(|descriptor| descriptor.group == group).map(|descriptor| {
        json!({
            "name": descriptor.plural,
            "singularName": descriptor.singular,
            "namespaced": descriptor.is_namespaced,
            "kind": descriptor.kind,
            "verbs": descriptor.verbs,
            "shortNames": Vec::from_iter(descriptor.short_name),
        })
    });
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group),
        "resources": resources.collect::<Vec<_>>(),
    })
}
