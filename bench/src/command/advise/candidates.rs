//! Which proxies are advised: by what is true of each backend, not by name.

use proxies::kube_proxy::{Mode, PREFIX};
use proxies::{Acts, Descriptor};
use results::advise::LeftOut;

use crate::cli::AdviseArgs;

/// The control.
const CONTROL: &str = "none";

/// The proxies to measure, the control first.
pub(super) fn proxies(args: &AdviseArgs) -> Vec<String> {
    let named = if !args.kube_proxies.is_empty() {
        Mode::ALL.map(|mode| format!("{PREFIX}{}", mode.as_str())).into()
    } else if args.proxies.is_empty() {
        let usable = ours().filter(|backend| unfit(backend).is_none());
        usable.map(|backend| backend.name.to_owned()).collect()
    } else {
        args.proxies.clone()
    };
    let others = named.into_iter().filter(|name| name != CONTROL);
    std::iter::once(CONTROL.to_owned()).chain(others).collect()
}

/// Proxies that are not advised, each with the reason; one that is named is no such.
pub(super) fn left_out(args: &AdviseArgs) -> Vec<LeftOut> {
    let unnamed = ours().filter(|backend| args.proxies.iter().all(|name| name != backend.name));
    let left_out = unnamed.filter_map(|backend| {
        Some(LeftOut { proxy: backend.name.to_owned(), reason: unfit(backend)?.to_owned() })
    });
    left_out.collect()
}

fn ours() -> impl Iterator<Item = &'static Descriptor> {
    proxies::backends().filter(|backend| !backend.is_control() && backend.binary.is_none())
}

/// Why a backend does not serve a node as kube-proxy does, if it does not.
fn unfit(backend: &Descriptor) -> Option<&'static str> {
    if backend.forwards_itself() {
        Some("connections end in a program of its own, so that Endpoints do not see their client")
    } else if backend.acts == Acts::OnSockets {
        Some("it serves sockets of the node and its pods alone, nobody outside")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> AdviseArgs {
        let words = [&["vipbench", "advise", "--services", "9"], more].concat();
        match Cli::try_parse_from(words).unwrap().command {
            Command::Advise(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_backend_is_measured_or_left_out_for_a_reason() {
        let args = args(&[]);
        let measured = proxies(&args);
        assert_eq!(measured[0], CONTROL);
        let left_out = left_out(&args);
        for backend in ours() {
            let is_measured = measured.iter().any(|name| name == backend.name);
            let is_left_out = left_out.iter().any(|one| one.proxy == backend.name);
            assert!(is_measured != is_left_out, "{}", backend.name);
        }
        assert!(measured.len() > 3 && !left_out.is_empty());
    }

    #[test]
    fn a_proxy_that_is_named_is_looked_at_whatever_it_is() {
        let unfit = left_out(&args(&[])).swap_remove(0).proxy;
        let args = args(&["--proxy", &unfit]);
        assert_eq!(proxies(&args), [CONTROL, &unfit]);
        assert!(left_out(&args).iter().all(|one| one.proxy != unfit));
    }

    #[test]
    fn a_kube_proxy_is_looked_at_in_each_mode() {
        let names = proxies(&args(&["--kube-proxy", "x"]));
        assert_eq!(names.len(), 1 + Mode::ALL.len());
        assert!(names[1..].iter().all(|name| name.starts_with(PREFIX)), "{names:?}");
    }
}
