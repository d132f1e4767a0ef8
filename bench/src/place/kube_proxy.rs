//! Where the files of kube-proxies are: on the host where the user has them, in a guest in a folder
//! of their own.

use std::path::PathBuf;

use proxies::kube_proxy::Binary;
use results::Place;

/// The folder in a guest.
const FOLDER: &str = "/kube-proxy";

/// The file of a kube-proxy as a cell in this place finds it.
pub fn file_of(binary: &Binary, place: Place) -> PathBuf {
    match place {
        Place::Host => binary.path.clone(),
        Place::Guest => PathBuf::from(FOLDER).join(&binary.version),
    }
}

/// The files that guests need, path here and path there, for the kube-proxies that are known.
pub(super) fn kube_proxy_files() -> Vec<(PathBuf, PathBuf)> {
    let known = proxies::backends().filter_map(|backend| backend.binary);
    let mut files: Vec<_> =
        known.map(|one| (one.path.clone(), file_of(one, Place::Guest))).collect();
    files.sort();
    files.dedup();
    files
}
