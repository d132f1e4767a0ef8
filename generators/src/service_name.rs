//! The name of a Service port, as Kubernetes allows it and kube-proxy writes it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::ClusterError;
use crate::family::Family;

/// Longest DNS-1123 label (`k8s.io/apimachinery/pkg/util/validation/validation.go`,
/// `DNS1123LabelMaxLength`, Kubernetes 1.35).
const LABEL_MAX: usize = 63;

/// Names one Service port, as kube-proxy's `ServicePortName` does: `namespace/name:port_name`.
///
/// Orders and compares as that text. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    // One shared text rather than three: a Cluster may hold a million of them.
    text: Arc<str>,
    namespace_len: u8,
    name_len: u8,
}

impl ServiceName {
    /// A name from its parts. `port_name` may be empty; the others may not.
    ///
    /// # Errors
    /// [`ClusterError::InvalidLabel`] if a part is not a DNS-1123 label, which Kubernetes asks of
    /// namespaces, Services and Service ports (`pkg/apis/core/validation/validation.go`, 1.35).
    pub fn new(namespace: &str, name: &str, port_name: &str) -> Result<Self, ClusterError> {
        let namespace_len = label_len("namespace", namespace)?;
        let name_len = label_len("Service name", name)?;
        let text = if port_name.is_empty() {
            [namespace, "/", name].concat()
        } else {
            label_len("port name", port_name)?;
            [namespace, "/", name, ":", port_name].concat()
        };
        Ok(Self { text: text.into(), namespace_len, name_len })
    }

    /// The whole name, `namespace/name` or `namespace/name:port_name`: what kube-proxy's
    /// `ServicePortName.String()` gives (`pkg/proxy/types.go`, Kubernetes 1.35).
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `namespace/name`: what all ports of one Kubernetes Service have in common.
    pub fn namespaced_name(&self) -> &str {
        let end = usize::from(self.namespace_len) + 1 + usize::from(self.name_len);
        self.text.get(..end).unwrap_or_default()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.text.get(..usize::from(self.namespace_len)).unwrap_or_default()
    }

    /// The name of the Service, without namespace and port.
    pub fn name(&self) -> &str {
        let start = usize::from(self.namespace_len) + 1;
        self.text.get(start..start + usize::from(self.name_len)).unwrap_or_default()
    }

    /// The name of the port; empty if it has none.
    pub fn port_name(&self) -> &str {
        let start = usize::from(self.namespace_len) + 1 + usize::from(self.name_len) + 1;
        self.text.get(start..).unwrap_or_default()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for ServiceName {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, ClusterError> {
        let invalid = || ClusterError::InvalidServiceName { text: shortened(text) };
        let (namespace, rest) = text.split_once('/').ok_or_else(invalid)?;
        match rest.split_once(':') {
            Some((_, "")) => Err(invalid()),
            Some((name, port_name)) => Self::new(namespace, name, port_name),
            None => Self::new(namespace, rest, ""),
        }
    }
}

/// One Service of a Cluster: the two of a dual-stack Service port have one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// The name.
    pub name: ServiceName,
    /// The family of its addresses.
    pub family: Family,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => self.name.fmt(f),
            Family::V6 => write!(f, "{} (IPv6)", self.name),
        }
    }
}

impl FromStr for ServiceId {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, ClusterError> {
        let (name, family) = match text.strip_suffix(" (IPv6)") {
            Some(name) => (name, Family::V6),
            None => (text, Family::V4),
        };
        Ok(Self { name: name.parse()?, family })
    }
}

/// The length of a valid DNS-1123 label; `part` says what the label is, for the error.
fn label_len(part: &'static str, label: &str) -> Result<u8, ClusterError> {
    let bytes = label.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = bytes.len() <= LABEL_MAX
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-');
    match u8::try_from(bytes.len()) {
        Ok(len) if valid => Ok(len),
        _ => Err(ClusterError::InvalidLabel { part, value: shortened(label) }),
    }
}

/// The first 80 characters of untrusted text, for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_gives_its_parts_and_kube_proxys_text() {
        let named = ServiceName::new("kube-system", "kube-dns", "dns-tcp").unwrap();
        assert_eq!(named.to_string(), "kube-system/kube-dns:dns-tcp");
        assert_eq!(named.namespaced_name(), "kube-system/kube-dns");
        assert_eq!(
            (named.namespace(), named.name(), named.port_name()),
            ("kube-system", "kube-dns", "dns-tcp")
        );
        let unnamed = ServiceName::new("default", "nginx", "").unwrap();
        assert_eq!(unnamed.to_string(), "default/nginx");
        assert_eq!(unnamed.namespaced_name(), "default/nginx");
        assert_eq!(
            (unnamed.namespace(), unnamed.name(), unnamed.port_name()),
            ("default", "nginx", "")
        );
    }

    #[test]
    fn a_name_is_read_back_from_its_text() {
        for text in ["a/b", "a/b:c", "kube-system/kube-dns:dns-tcp", "1/2:3"] {
            assert_eq!(name(text).as_str(), text);
        }
    }

    #[test]
    fn text_that_is_no_name_is_refused() {
        for text in ["", "a", "a/b:"] {
            let error = ClusterError::InvalidServiceName { text: text.to_owned() };
            assert_eq!(text.parse::<ServiceName>(), Err(error), "{text:?}");
        }
        let labels = [
            ("/b", "namespace", ""),
            ("a/", "Service name", ""),
            ("a/:p", "Service name", ""),
            ("a/b/c", "Service name", "b/c"),
            ("a/b:c:d", "port name", "c:d"),
        ];
        for (text, part, value) in labels {
            let error = ClusterError::InvalidLabel { part, value: value.to_owned() };
            assert_eq!(text.parse::<ServiceName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn labels_follow_dns_1123() {
        let longest = "x".repeat(63);
        for label in ["a", "0", "a-b", "a--b", "9a", longest.as_str()] {
            assert!(ServiceName::new(label, label, label).is_ok(), "{label:?}");
        }
        let too_long = "x".repeat(64);
        for label in ["-a", "a-", "A", "a_b", "a.b", "ä", "a b", too_long.as_str()] {
            let error = |part| Err(ClusterError::InvalidLabel { part, value: label.to_owned() });
            assert_eq!(ServiceName::new(label, "b", ""), error("namespace"));
            assert_eq!(ServiceName::new("a", label, ""), error("Service name"));
            assert_eq!(ServiceName::new("a", "b", label), error("port name"));
        }
    }

    #[test]
    fn an_error_quotes_no_more_than_80_characters_of_its_input() {
        let ClusterError::InvalidLabel { value, .. } =
            ServiceName::new(&"ä".repeat(1_000), "b", "").unwrap_err()
        else {
            panic!("another error");
        };
        assert_eq!(value, "ä".repeat(80));
    }
}
