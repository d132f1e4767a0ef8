//! From a path to what it names.

use crate::object::{Key, key};
use crate::resource::{Resource, VERSION};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Whether the server works.
    Health,
    /// The release whose API is followed.
    Version,
    /// Versions of the core group.
    Versions,
    /// The other groups.
    Groups,
    /// One of them.
    Group(&'a str),
    /// Resources of a group.
    Resources(&'a str),
    /// Objects of a resource; in all namespaces if none is named.
    Collection { resource: Resource, namespace: &'a str },
    /// One object.
    Object { resource: Resource, key: Key },
}

/// What `path` names; nothing if it is nothing here.
pub(crate) fn of(path: &str) -> Option<Route<'_>> {
    let parts: Vec<&str> = path.strip_prefix('/')?.trim_end_matches('/').splitn(9, '/').collect();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => Some(Route::Health),
        ["version"] => Some(Route::Version),
        ["api"] => Some(Route::Versions),
        ["apis"] => Some(Route::Groups),
        ["apis", group] => Some(Route::Group(group)),
        ["api", version, rest @ ..] if *version == VERSION => in_group("", rest),
        ["apis", group, version, rest @ ..]
            if *version == VERSION && Resource::groups().contains(group) =>
        {
            in_group(group, rest)
        }
        _ => None,
    }
}

fn in_group<'a>(group: &'a str, rest: &[&'a str]) -> Option<Route<'a>> {
    match *rest {
        [] => Some(Route::Resources(group)),
        [plural] => {
            let resource = Resource::find(group, plural)?;
            Some(Route::Collection { resource, namespace: "" })
        }
        [plural, name] => {
            let resource = Resource::find(group, plural)?;
            let is_whole = !resource.descriptor().is_namespaced && !name.is_empty();
            is_whole.then(|| Route::Object { resource, key: key("", name) })
        }
        ["namespaces", namespace, plural, ref name @ ..] if !namespace.is_empty() => {
            let resource = Resource::find(group, plural)?;
            if !resource.descriptor().is_namespaced {
                return None;
            }
            match *name {
                [] => Some(Route::Collection { resource, namespace }),
                [name] if !name.is_empty() => {
                    Some(Route::Object { resource, key: key(namespace, name) })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_kubernetes() {
        let services = |namespace| Route::Collection { resource: Resource::Services, namespace };
        let slices = Resource::EndpointSlices;
        let nodes = Resource::Nodes;
        for (path, route) in [
            ("/healthz", Route::Health),
            ("/api", Route::Versions),
            ("/apis/", Route::Groups),
            ("/apis/events.k8s.io", Route::Group("events.k8s.io")),
            ("/api/v1", Route::Resources("")),
            ("/apis/discovery.k8s.io/v1", Route::Resources("discovery.k8s.io")),
            ("/api/v1/services", services("")),
            ("/api/v1/namespaces/shop/services", services("shop")),
            (
                "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/cart-0",
                Route::Object { resource: slices, key: key("shop", "cart-0") },
            ),
            ("/api/v1/nodes/node", Route::Object { resource: nodes, key: key("", "node") }),
            (
                "/api/v1/namespaces/shop",
                Route::Object { resource: Resource::Namespaces, key: key("", "shop") },
            ),
        ] {
            assert_eq!(of(path), Some(route), "{path}");
        }
    }

    #[test]
    fn other_paths_name_nothing() {
        for path in [
            "",
            "/",
            "//",
            "api",
            "/api/v2",
            "/apis/apps/v1",
            "/api/v1/pods",
            "/api/v1/services/cart",
            "/api/v1/namespaces/shop/nodes",
            "/api/v1/namespaces/shop/services/cart/status",
            "/api/v1/namespaces//services",
            "/apis/discovery.k8s.io/v1/services",
            "/openapi/v3",
            "/api/v1/namespaces/a/services/b/c/d/e/f/g/h",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
