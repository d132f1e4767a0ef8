//! The resources that are served, as discovery names them.

/// One collection of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    Services,
    Nodes,
    Namespaces,
    Events,
    EndpointSlices,
    ServiceCidrs,
    /// Where newer clients record Events; they are kept as [`Resource::Events`].
    NewEvents,
}

/// What is true of a resource.
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// The API group; empty for the core group.
    pub group: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub short_name: Option<&'static str>,
    pub is_namespaced: bool,
    pub verbs: &'static [&'static str],
}

/// The version of every group that is served.
pub(crate) const VERSION: &str = "v1";

const READ: &[&str] = &["get", "list", "watch"];
const SERVICES: Descriptor = Descriptor {
    group: "",
    plural: "services",
    singular: "service",
    kind: "Service",
    short_name: Some("svc"),
    is_namespaced: true,
    verbs: READ,
};
const NODES: Descriptor = Descriptor {
    group: "",
    plural: "nodes",
    singular: "node",
    kind: "Node",
    short_name: Some("no"),
    is_namespaced: false,
    verbs: READ,
};
const NAMESPACES: Descriptor = Descriptor {
    group: "",
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_name: Some("ns"),
    is_namespaced: false,
    verbs: READ,
};
const EVENTS: Descriptor = Descriptor {
    group: "",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_name: Some("ev"),
    is_namespaced: true,
    verbs: &["create", "get", "list", "watch"],
};
const ENDPOINT_SLICES: Descriptor = Descriptor {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    singular: "endpointslice",
    kind: "EndpointSlice",
    short_name: None,
    is_namespaced: true,
    verbs: READ,
};
const SERVICE_CIDRS: Descriptor = Descriptor {
    group: "networking.k8s.io",
    plural: "servicecidrs",
    singular: "servicecidr",
    kind: "ServiceCIDR",
    short_name: None,
    is_namespaced: false,
    verbs: READ,
};
const NEW_EVENTS: Descriptor =
    Descriptor { group: "events.k8s.io", verbs: &["create", "patch"], short_name: None, ..EVENTS };

impl Resource {
    pub(crate) const ALL: [Self; 7] = [
        Self::Services,
        Self::Nodes,
        Self::Namespaces,
        Self::Events,
        Self::EndpointSlices,
        Self::ServiceCidrs,
        Self::NewEvents,
    ];

    pub(crate) const fn descriptor(self) -> &'static Descriptor {
        match self {
            Self::Services => &SERVICES,
            Self::Nodes => &NODES,
            Self::Namespaces => &NAMESPACES,
            Self::Events => &EVENTS,
            Self::EndpointSlices => &ENDPOINT_SLICES,
            Self::ServiceCidrs => &SERVICE_CIDRS,
            Self::NewEvents => &NEW_EVENTS,
        }
    }

    /// The resource of a name in a path.
    pub(crate) fn find(group: &str, plural: &str) -> Option<Self> {
        let is_it = |one: &Self| {
            let descriptor = one.descriptor();
            descriptor.group == group && descriptor.plural == plural
        };
        Self::ALL.into_iter().find(is_it)
    }

    /// The resource that objects of a kind are in.
    pub(crate) fn of_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.descriptor().kind == kind)
    }

    /// `apiVersion` of its objects and lists.
    pub(crate) fn api_version(self) -> String {
        group_version(self.descriptor().group)
    }

    /// Groups with a name, each once.
    pub(crate) fn groups() -> Vec<&'static str> {
        let mut groups = Self::ALL.map(|one| one.descriptor().group).to_vec();
        groups.retain(|group| !group.is_empty());
        groups.dedup();
        groups
    }
}

/// A group with its version, as `apiVersion` has it.
pub(crate) fn group_version(group: &str) -> String {
    if group.is_empty() { VERSION.to_owned() } else { format!("{group}/{VERSION}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_found_by_its_name_and_each_group_is_there_once() {
        for one in Resource::ALL {
            let descriptor = one.descriptor();
            assert_eq!(Resource::find(descriptor.group, descriptor.plural), Some(one));
        }
        assert_eq!(Resource::find("", "pods"), None);
        assert_eq!(Resource::of_kind("Event"), Some(Resource::Events));
        assert_eq!(Resource::groups(), ["discovery.k8s.io", "networking.k8s.io", "events.k8s.io"]);
    }
}
