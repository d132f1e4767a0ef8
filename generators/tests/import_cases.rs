//! What people have in place of one JSON list, each as a file in `import-cases/`: other forms of
//! the same objects, old objects, parts of lists, other API groups. Names and addresses are
//! invented.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use generators::{Finding, Imported, Importer, K8sError, KUBECTL, OnBadObject, Service, from_k8s};

const ARRAY: &str = include_str!("import-cases/array.json");
const BOM: &str = include_str!("import-cases/bom.json");
const CHUNK: &str = include_str!("import-cases/chunk.json");
const DUMP: &str = include_str!("import-cases/cluster-info-dump.json");
const HEADLESS: &str = include_str!("import-cases/headless-only.json");
const IP_MODE: &str = include_str!("import-cases/lb-ipmode-proxy.json");
const KNATIVE: &str = include_str!("import-cases/knative-service.json");
const OLD: &str = include_str!("import-cases/only-endpoints.json");
const YAML: &str = include_str!("import-cases/list.yaml");

fn imported(bytes: &[u8]) -> Imported {
    from_k8s(bytes, OnBadObject::Refuse).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    from_k8s(bytes, OnBadObject::Refuse).unwrap_err().to_string()
}

fn found(imported: Imported) -> Vec<(Finding, u64)> {
    imported.summary.found.into_iter().collect()
}

fn service(name: &str, vip: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"namespace":"shop","name":"{name}"}},"spec":{{"clusterIP":"{vip}","ports":[{{"port":80}}]}}}}"#
    )
}

#[test]
fn every_form_of_the_same_objects_gives_the_same_cluster() {
    let wanted = imported(ARRAY.as_bytes()).cluster;
    assert_eq!(wanted.endpoint_count(), 1);
    let unmarked = BOM.trim_start_matches('\u{feff}');
    let utf16 = |bytes: fn(u16) -> [u8; 2]| BOM.encode_utf16().flat_map(bytes).collect();
    let little: Vec<u8> = utf16(u16::to_le_bytes);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&little).unwrap();
    let items: Vec<&str> = YAML.split("\n- ").skip(1).collect();
    let documents: Vec<String> = items.iter().map(|item| item.replace("\n  ", "\n")).collect();
    let documents = format!("# of tests\n---\n{}\n---\n", documents.join("\n---\n"));
    for (form, bytes) in [
        ("a list", unmarked.as_bytes().to_vec()),
        ("a byte order mark", BOM.as_bytes().to_vec()),
        ("UTF-16 LE", little),
        ("UTF-16 BE", utf16(u16::to_be_bytes)),
        ("gzip of UTF-16", gzip.finish().unwrap()),
        ("an array of lists", format!("[{unmarked}]").into_bytes()),
        ("indented", unmarked.replace(',', ",\r\n\t").into_bytes()),
        ("YAML", YAML.as_bytes().to_vec()),
        ("YAML with CRLF", YAML.replace('\n', "\r\n").into_bytes()),
        ("YAML documents", documents.into_bytes()),
        ("YAML array", format!("- {}", items.join("\n- ")).replace("\n  ", "\n  ").into_bytes()),
        ("a YAML list after warnings", format!("Warning: a is deprecated\n{YAML}").into_bytes()),
        ("JSON after warnings", format!("Warning: a is deprecated\n{unmarked}").into_bytes()),
    ] {
        assert_eq!(imported(&bytes).cluster, wanted, "{form}");
    }
    let dump = imported(DUMP.as_bytes());
    assert_eq!(dump.cluster, wanted);
    assert_eq!(found(dump), [(Finding::OtherLine, 4)]);
}

#[test]
fn old_endpoints_count_where_there_is_no_slice() {
    let old = imported(OLD.as_bytes());
    assert_eq!(old.cluster.endpoint_count(), 2);
    assert_eq!(old.cluster.services()[0].endpoints()[1].to_string(), "10.244.2.5:8080");
    assert_eq!((old.summary.slices, old.summary.endpoints), (0, 1));
    assert_eq!(found(old), [(Finding::FromEndpoints, 1)]);
    // The same Service with a slice: the Endpoints object is what the cluster mirrors of it, or the
    // other way round.
    let slice = format!("{OLD}[{{{}", ARRAY.split_once("},{").unwrap().1);
    let both = imported(slice.as_bytes());
    assert_eq!(both.cluster.endpoint_count(), 1);
    assert_eq!(found(both), [(Finding::MirroredEndpoints, 1)]);
}

#[test]
fn endpoints_that_are_not_ready_of_ipv6_cut_off_or_of_nobody_are_counted() {
    let subset =
        r#""subsets":[{"notReadyAddresses":[{"ip":"10.244.1.9"}],"addresses":[{"ip":"fd00::1"},"#;
    let text = OLD.replace(r#""subsets":[{"addresses":["#, subset).replace(
        r#""Endpoints","metadata":{"#,
        r#""Endpoints","metadata":{"annotations":{"endpoints.kubernetes.io/over-capacity":"truncated"},"#,
    );
    let counts =
        [(Finding::FromEndpoints, 1), (Finding::TruncatedEndpoints, 1), (Finding::NotReady, 1)];
    let read = imported(text.as_bytes());
    // The Endpoint of IPv6 is of a family that the Service does not have.
    assert_eq!(read.cluster.endpoint_count(), 3);
    assert_eq!(found(read), counts);
    let other =
        text.replace(r#""Endpoints","metadata":{"#, r#""Endpoints","metadata":{"name":"x","#);
    assert!(refused(other.as_bytes()).contains("duplicate field `name`"));
    let nobody = OLD.replace(
        r#""Endpoints","metadata":{"namespace":"shop""#,
        r#""Endpoints","metadata":{"namespace":"x""#,
    );
    let counts = [(Finding::OtherEndpoints, 1), (Finding::WithoutEndpoints, 1)];
    assert_eq!(found(imported(nobody.as_bytes())), counts);
    for (from, to, wanted) in [
        (
            "10.244.2.5",
            "x",
            "Endpoints shop/web: subsets[0].addresses[1].ip: \"x\" is not an IP address",
        ),
        (r#""port":8080"#, r#""port":0"#, "subsets[0].ports[0].port: is 0"),
        (r#"{"ip":"10.244.2.5"}"#, "{}", "subsets[0].addresses[1].ip: is missing"),
    ] {
        let error = refused(OLD.replace(from, to).as_bytes());
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn services_alone_are_imported_and_said_to_be_without_endpoints() {
    let alone = imported(service("web", "10.96.0.7").as_bytes());
    assert_eq!((alone.cluster.services().len(), alone.cluster.endpoint_count()), (1, 0));
    let counts = [(Finding::NoEndpointObjects, 1), (Finding::WithoutEndpoints, 1)];
    assert_eq!(found(alone), counts);
}

#[test]
fn services_without_work_are_refused_with_the_reason() {
    assert_eq!(
        refused(HEADLESS.as_bytes()),
        "1 headless Service: nothing for a Service proxy to do"
    );
    let more = format!("{HEADLESS}{}{}", service("a", ""), service("b", ""));
    let wanted = "1 headless Service, 2 Services without a cluster IP yet: nothing for a Service proxy to do";
    assert_eq!(refused(more.as_bytes()), wanted);
}

#[test]
fn kinds_are_told_by_their_api_group_too() {
    let before = imported(KNATIVE.as_bytes());
    assert_eq!(before.cluster.services()[0].name().as_str(), "apps/greet-00001:http");
    let counts = [(Finding::ExternalName, 1), (Finding::OtherKind, 1)];
    assert_eq!(found(before), counts);
    // The other group's Service first.
    let mut lines: Vec<&str> = KNATIVE.lines().collect();
    let last = format!("{},", lines.remove(4));
    lines.insert(1, &last);
    let text = lines.join("\n").replace("}},\n]}", "}}\n]}").replace("8012}]},\n]}", "8012}]}\n]}");
    assert_eq!(found(imported(text.as_bytes())), counts);
}

#[test]
fn a_part_of_a_list_and_an_error_of_the_api_are_refused() {
    let error = refused(CHUNK.as_bytes());
    assert!(error.contains("1234 objects are not in it") && error.contains(KUBECTL), "{error}");
    let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
        "message":"services is forbidden: User \"x\" cannot list resource","reason":"Forbidden","code":403}"#;
    let error = refused(status.as_bytes());
    assert!(error.ends_with("services is forbidden: User \"x\" cannot list resource"), "{error}");
}

#[test]
fn an_address_of_a_load_balancer_that_sends_to_nodes_is_not_left_out() {
    assert_eq!(found(imported(IP_MODE.as_bytes())), [(Finding::NodePort, 1)]);
    let vip = IP_MODE.replace("\"Proxy\"", "\"VIP\"");
    let counts = [(Finding::NodePort, 1), (Finding::LoadBalancerIp, 1)];
    assert_eq!(found(imported(vip.as_bytes())), counts);
}

#[test]
fn several_inputs_are_one_cluster_and_faults_name_theirs() {
    let parts: Vec<&str> = YAML.split("\n- ").collect();
    let [_, web, slice] = parts[..] else { panic!("two objects") };
    let read = |inputs: &[(&str, &str)]| {
        let mut importer = Importer::default();
        for (name, text) in inputs {
            importer.read_of_folder(name, text.as_bytes())?;
        }
        importer.finish(OnBadObject::Refuse)
    };
    let (web, slice) = (format!("- {web}"), format!("- {slice}"));
    let other = "description: of a chart\nvalues: &a [1]\n";
    let all = [
        ("s.yaml", &*slice),
        ("w.yaml", &web),
        ("Chart.yaml", other),
        ("all.yaml", YAML),
        ("n.json", "{\"a\":1}"),
    ];
    let whole = read(&all).unwrap();
    assert_eq!(whole.cluster, imported(YAML.as_bytes()).cluster);
    let counts = [(Finding::OtherKind, 1), (Finding::RepeatedObject, 2), (Finding::OtherFile, 1)];
    assert_eq!(found(whole), counts);
    let later = YAML.replace("10.244.1.5", "10.244.1.6");
    let Err(K8sError::Bad { bad }) = read(&[("a.yaml", YAML), ("b.yaml", &later)]) else {
        panic!("two states of a cluster are none");
    };
    let wanted = "EndpointSlice shop/web-1: metadata.name: another EndpointSlice has this name and says something else: \
        keep one (object 2 of b.yaml)";
    assert_eq!(bad.to_string(), wanted);
}

#[test]
fn ports_and_addresses_in_yaml_are_checked_like_those_in_json() {
    for (from, to, wanted) in [
        ("port: 80\n", "port: 70000\n", "spec.ports[0].port: invalid value: integer `70000`"),
        ("port: 80\n", "port: \"80\"\n", "spec.ports[0].port: invalid type: string \"80\""),
        (
            "clusterIP: 10.96.0.7",
            "clusterIP: 10.96",
            "spec.clusterIP: invalid type: floating point",
        ),
        (
            "\n- apiVersion: disc",
            "\n- x: &a [1]\n  apiVersion: disc",
            "anchors and aliases are not read",
        ),
        ("\n- apiVersion: v1\n", "\n- *a\n- apiVersion: v1\n", "unknown anchor at line 4"),
        ("items:\n", "items: 3\nother:\n", "an array of Kubernetes objects at line 4"),
    ] {
        let text = YAML.replacen(from, to, 1);
        assert_ne!(text, YAML, "{from}");
        let error = refused(text.as_bytes());
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn ten_thousand_services_are_read_from_yaml() {
    let mut yaml = String::from("apiVersion: v1\nkind: List\nitems:\n");
    let items: Vec<&str> = YAML.split("\n- ").skip(1).collect();
    for number in 0..10_000_u32 {
        let vip = format!("10.{}.{}.{}", 96 + (number >> 16), number >> 8 & 0xff, number & 0xff);
        for item in &items {
            let item = item.replace("10.96.0.7", &vip).replace("web", &format!("web{number}"));
            yaml.extend(["- ", &item, "\n"]);
        }
    }
    let read = imported(yaml.replace("10.96.0.0\n", "10.100.0.0\n").as_bytes());
    assert_eq!(read.cluster.services().len(), 10_000);
    assert!(
        read.cluster
            .services()
            .iter()
            .map(Service::endpoints)
            .all(|endpoints| endpoints.len() == 1)
    );
}
