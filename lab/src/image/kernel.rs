//! From a SPEC to a kernel that can boot: in the cache already, or fetched, unpacked and put there.
//! Boots nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{Cache, folder_bytes, sha256};
use super::choose::{near_series, release_of, series_of};
use super::deb::Deb;
use super::error::{BRING_ONES_OWN, ImageError, at};
use super::modules::ModuleTree;
use super::package::{Fetched, PackageRecord, every_suite, fetch, from_file, on_offer};
use super::seal::{seal, sealed};
use super::spec::KernelSpec;
use super::vmlinux::{extract, has_pvh_entry, release};

/// What is known of a kernel, in its folder; a lock on it says that the kernel is in use.
pub(super) const MANIFEST: &str = "manifest.json";
/// Largest boot image read, in bytes (an unpacked `vmlinux` with debug information: 500 MB).
const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// Hexadecimal digits of a hash in a folder's name.
const HASH_DIGITS: usize = 16;

/// A kernel that can boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` says in it.
    pub release: String,
    /// What to boot: the unpacked ELF kernel, which QEMU starts directly through PVH; the packed
    /// one for a kernel without a PVH entry.
    pub vmlinux: PathBuf,
    /// The boot image as packaged.
    pub vmlinuz: PathBuf,
    /// Its modules: what is `/lib/modules/RELEASE` on an installed system.
    pub modules_dir: PathBuf,
    /// Where it came from, for people.
    pub source: String,
    /// Its build configuration, if that was with it.
    pub config: Option<PathBuf>,
    /// What is known of its origin; written beside it.
    pub manifest: Manifest,
}

/// What is known of a kernel's origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What `uname -r` says in it.
    pub release: String,
    /// Its packages, the image package first; none when it came as files.
    pub packages: Vec<PackageRecord>,
    /// Folder of its modules, when that is not the cache's own.
    pub modules_dir: Option<PathBuf>,
    /// SHA-256 of its boot image, in hexadecimal.
    pub vmlinuz_sha256: String,
    /// Whether it has a PVH entry.
    pub pvh: bool,
    /// Bytes unpacked from the packages.
    pub unpacked_bytes: u64,
}

/// The kernel that `spec` names. A default, series or release that was answered before is answered
/// with the same kernel again, so that measurements stay comparable; [`refresh`] looks for a newer
/// one.
///
/// # Errors
/// When there is none, it cannot be fetched, or what was fetched is damaged: see [`ImageError`].
pub fn resolve(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, ImageError> {
    let known = || cache.answer(&spec.to_string());
    if let Some(kernel) = known().and_then(|folder| load(&folder).ok()).filter(is_whole) {
        return Ok(kernel);
    }
    let _lock = cache.lock()?;
    // Another run may have fetched it while this one waited.
    let Some(folder) = known() else { return find(spec, cache, progress) };
    let release = load(&folder).ok().map(|kernel| kernel.release);
    if let Some(kernel) = whole(&folder, progress)? {
        return Ok(kernel);
    }
    // The same kernel anew, where it can still be had.
    let same = release.and_then(|release| release.parse().ok());
    match same.and_then(|same| find(&same, cache, progress).ok()) {
        Some(kernel) => {
            cache.remember(&spec.to_string(), kernel.vmlinux.parent().unwrap_or(&folder))?;
            Ok(kernel)
        }
        None => find(spec, cache, progress),
    }
}

/// Whether the images of a kernel are what was put into the cache.
fn is_whole(kernel: &Kernel) -> bool {
    sealed(&kernel.vmlinuz).is_some_and(|hash| hash == kernel.manifest.vmlinuz_sha256)
        && sealed(&kernel.vmlinux).is_some()
}

/// The kernel in the cache folder `folder`, if its images are what was put there; a damaged one is
/// removed. The caller holds the cache's lock.
fn whole(folder: &Path, progress: &dyn Fn(&str)) -> Result<Option<Kernel>, ImageError> {
    if let Ok(kernel) = load(folder)
        && (is_whole(&kernel) || mend(&kernel, folder)?)
    {
        return Ok(Some(kernel));
    }
    progress(&format!("{} is damaged, and is made again", folder.display()));
    fs::remove_dir_all(folder).map_err(at("remove", folder))?;
    Ok(None)
}

/// Unpacks what boots again, if the boot image is what it was; kernels that were put there before
/// there were seals get theirs.
fn mend(kernel: &Kernel, folder: &Path) -> Result<bool, ImageError> {
    let Ok(image) = read_image(&kernel.vmlinuz) else { return Ok(false) };
    if sha256(&image) != kernel.manifest.vmlinuz_sha256 {
        return Ok(false);
    }
    unpack_image(&image, &kernel.vmlinuz, folder)?;
    seal_images(folder).map(|()| true)
}

fn seal_images(folder: &Path) -> Result<(), ImageError> {
    let images = ["vmlinuz", "vmlinux"].map(|name| folder.join(name));
    images.iter().filter(|path| path.is_file()).try_for_each(|path| seal(path).map(drop))
}

/// The release of the kernel that [`resolve`] would give, without fetching a kernel.
///
/// # Errors
/// As [`resolve`].
pub fn look_up(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<String, ImageError> {
    if let Some(folder) = cache.answer(&spec.to_string()) {
        return Ok(load(&folder)?.release);
    }
    if let KernelSpec::Host | KernelSpec::Files { .. } | KernelSpec::Package(_) = spec {
        return Ok(resolve(spec, cache, progress)?.release);
    }
    let _lock = cache.lock()?;
    let image = on_offer(spec, cache, progress)?.1.name;
    Ok(release_of(&image).unwrap_or(&image).to_owned())
}

/// The kernel that `spec` names now, and will name for [`resolve`] from now on.
///
/// # Errors
/// As [`resolve`].
pub fn refresh(
    spec: &KernelSpec,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, ImageError> {
    let _lock = cache.lock()?;
    find(spec, cache, progress)
}

/// Finds, and if needed puts into the cache, what `spec` names. The caller holds the cache's lock.
fn find(spec: &KernelSpec, cache: &Cache, progress: &dyn Fn(&str)) -> Result<Kernel, ImageError> {
    match spec {
        KernelSpec::Host => {
            let release = rustix::system::uname().release().to_string_lossy().into_owned();
            let vmlinuz = PathBuf::from(format!("/boot/vmlinuz-{release}"));
            let modules = Path::new("/lib/modules").join(&release);
            if let Some(absent) = [&vmlinuz, &modules].into_iter().find(|path| !path.exists()) {
                let near = series_of(&release)
                    .and_then(|series| offered_near(series, cache, progress).ok())
                    .unwrap_or_default();
                return Err(no_host_kernel(absent, &release, &near));
            }
            from_files(&vmlinuz, &modules, cache, progress)
        }
        KernelSpec::Files { vmlinuz, modules } => from_files(vmlinuz, modules, cache, progress),
        KernelSpec::Package(deb) => load(&assemble(&from_file(deb)?, cache, progress)?),
        KernelSpec::Default
        | KernelSpec::Series(..)
        | KernelSpec::Newest(_)
        | KernelSpec::Release(_) => {
            let packages = fetch(spec, cache, progress)?;
            let folder = assemble(&packages, cache, progress)?;
            let kernel = load(&folder)?;
            cache.remember(&spec.to_string(), &folder)?;
            cache.remember(&kernel.release, &folder)?;
            if let Some(downloads) = packages.first().and_then(|package| package.path.parent()) {
                fs::remove_dir_all(downloads).map_err(at("remove", downloads))?;
            }
            Ok(kernel)
        }
    }
}

/// The series nearest to `series` that the package sources offer.
fn offered_near(
    series: (u32, u32),
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Vec<String>, ImageError> {
    near_series(&every_suite(cache, progress)?, series)
}

/// The file `absent` is missing, without which `host` is no kernel; `near` can be had in its place.
fn no_host_kernel(absent: &Path, release: &str, near: &[String]) -> ImageError {
    const NAMED_MAX: usize = 3;
    let named = near.get(..NAMED_MAX).unwrap_or(near).join(", ");
    let offered = if named.is_empty() { String::new() } else { format!(", such as {named}") };
    ImageError::Malformed {
        path: absent.to_owned(),
        problem: format!(
            "not there, so that the kernel of this machine, {release}, cannot be booted in a guest; \
             install its package, or name another kernel{offered}"
        ),
        remedy: BRING_ONES_OWN,
    }
}

impl Kernel {
    /// Bytes it occupies in the cache; modules that are kept elsewhere do not count.
    pub fn bytes(&self) -> u64 {
        self.vmlinuz.parent().map(folder_bytes).unwrap_or_default()
    }
}

/// All kernels in the cache, sorted by release. Folders that are none are passed over.
pub fn cached_kernels(cache: &Cache) -> Vec<Kernel> {
    cache.kernels().iter().filter_map(|folder| load(folder).ok()).collect()
}

/// Puts the kernel in `packages` into the cache; returns its folder.
fn assemble(
    packages: &[Fetched],
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<PathBuf, ImageError> {
    let hashes: Vec<&str> = packages.iter().map(|package| package.record.sha256.as_str()).collect();
    let hash = short(&sha256(hashes.concat().as_bytes()));
    if let Some(folder) = cache.kernel_by_hash(&hash)
        && whole(&folder, progress)?.is_some()
    {
        return Ok(folder);
    }
    let partial = cache.partial()?;
    let (mut found, mut unpacked_bytes) = (None, 0);
    for package in packages {
        progress(&format!("unpacking {}", package.record.name));
        let unpacked = Deb::open(&package.path)?.unpack(partial.path())?;
        unpacked_bytes += unpacked.bytes;
        found = found.or(unpacked.release);
    }
    let first = packages.first().map(|package| package.path.clone()).unwrap_or_default();
    let vmlinuz = partial.path().join("vmlinuz");
    let (Some(release), true) = (found, vmlinuz.is_file()) else {
        return Err(ImageError::Malformed {
            path: first,
            problem: "it holds no kernel with modules".to_owned(),
            remedy: "pass a package called linux-image-RELEASE",
        });
    };
    let image = read_image(&vmlinuz)?;
    let name = format!("{release}-{hash}");
    let manifest = Manifest {
        release,
        packages: packages.iter().map(|package| package.record.clone()).collect(),
        modules_dir: None,
        vmlinuz_sha256: sha256(&image),
        pvh: unpack_image(&image, &vmlinuz, partial.path())?,
        unpacked_bytes,
    };
    write_manifest(&manifest, partial.path())?;
    seal_images(partial.path())?;
    cache.insert_kernel(partial, &name)
}

/// Puts the image `vmlinuz` into the cache; its modules stay where they are.
fn from_files(
    vmlinuz: &Path,
    modules: &Path,
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> Result<Kernel, ImageError> {
    let modules_dir = modules.canonicalize().map_err(at("find the modules", modules))?;
    if ModuleTree::read(&modules_dir)?.is_empty() {
        return Err(ImageError::Malformed {
            path: modules_dir,
            problem: "it holds neither a kernel module nor modules.builtin".to_owned(),
            remedy: "pass the folder that is /lib/modules/RELEASE where the kernel is installed",
        });
    }
    let image = read_image(vmlinuz)?;
    let vmlinuz_sha256 = sha256(&image);
    // The same image with other modules is another kernel.
    let both = format!("{vmlinuz_sha256}{}", modules_dir.display());
    let hash = short(&sha256(both.as_bytes()));
    if let Some(folder) = cache.kernel_by_hash(&hash)
        && let Some(kernel) = whole(&folder, progress)?
    {
        return Ok(kernel);
    }
    let partial = cache.partial()?;
    let copy = partial.path().join("vmlinuz");
    fs::write(&copy, &image).map_err(at("write", &copy))?;
    let pvh = unpack_image(&image, vmlinuz, partial.path())?;
    let release =
        release(&image).ok_or_else(|| malformed(vmlinuz, "it names no release".into()))?;
    let name = format!("{release}-{hash}");
    let manifest = Manifest {
        release,
        packages: Vec::new(),
        modules_dir: Some(modules_dir),
        vmlinuz_sha256,
        pvh,
        unpacked_bytes: 0,
    };
    write_manifest(&manifest, partial.path())?;
    seal_images(partial.path())?;
    load(&cache.insert_kernel(partial, &name)?)
}

/// Writes the ELF kernel inside `image`, read from `vmlinuz`, into `folder`; returns whether it has
/// a PVH entry.
fn unpack_image(image: &[u8], vmlinuz: &Path, folder: &Path) -> Result<bool, ImageError> {
    let kernel = extract(image).map_err(|problem| malformed(vmlinuz, problem))?;
    let pvh = has_pvh_entry(&kernel);
    if pvh {
        let path = folder.join("vmlinux");
        fs::write(&path, &kernel).map_err(at("write", &path))?;
    }
    Ok(pvh)
}

fn read_image(path: &Path) -> Result<Vec<u8>, ImageError> {
    let metadata = fs::metadata(path).map_err(at("look at", path))?;
    if !metadata.is_file() {
        return Err(malformed(path, "it is no file".to_owned()));
    }
    if metadata.len() > IMAGE_BYTES_MAX {
        let problem = format!("{} bytes are too many for a kernel", metadata.len());
        return Err(malformed(path, problem));
    }
    fs::read(path).map_err(at("read", path))
}

fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<(), ImageError> {
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other);
    text.and_then(|text| fs::write(&path, text)).map_err(at("write", &path))
}

/// The kernel in the cache folder `folder`.
fn load(folder: &Path) -> Result<Kernel, ImageError> {
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(at("read", &path))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| ImageError::Malformed {
            path: path.clone(),
            problem: error.to_string(),
            remedy: "remove this folder; the kernel is fetched again when it is needed",
        })?;
    let vmlinuz = folder.join("vmlinuz");
    let config = folder.join("config");
    let modules_dir = manifest.modules_dir.clone().unwrap_or_else(|| folder.join("modules"));
    Ok(Kernel {
        release: manifest.release.clone(),
        vmlinux: if manifest.pvh { folder.join("vmlinux") } else { vmlinuz.clone() },
        vmlinuz,
        source: describe(&manifest, &modules_dir),
        modules_dir,
        config: config.is_file().then_some(config),
        manifest,
    })
}

fn describe(manifest: &Manifest, modules_dir: &Path) -> String {
    match manifest.packages.first() {
        Some(PackageRecord { name, version, suite: Some(suite), .. }) => {
            format!("{name} {version} ({suite})")
        }
        Some(PackageRecord { name, version, .. }) => format!("{name} {version} (a file)"),
        None => format!("files, modules in {}", modules_dir.display()),
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(HASH_DIGITS).collect()
}

fn malformed(path: &Path, problem: String) -> ImageError {
    ImageError::Malformed {
        path: path.to_owned(),
        problem,
        remedy: "pass an x86 boot image (bzImage) or the ELF file vmlinux",
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::deb::tests::package;
    use super::super::modules::tests::module;
    use super::super::vmlinux::tests::{boot_image, elf_with_note, lz4_payload};
    use super::*;

    const QUIET: &dyn Fn(&str) = &|_| {};

    fn image(note: u32) -> Vec<u8> {
        boot_image("6.1.0-1-amd64 (a@b) #1", &lz4_payload(&elf_with_note(note)))
    }

    fn kernel_package() -> Vec<u8> {
        package(
            "Package: linux-image-6.1.0-1-amd64\nVersion: 6.1.5-1\nDepends: kmod\n",
            &[
                ("./boot/vmlinuz-6.1.0-1-amd64", &image(18)),
                ("./lib/modules/6.1.0-1-amd64/kernel/veth.ko", &module("depends=\0")),
            ],
        )
    }

    #[test]
    fn a_package_file_becomes_a_kernel_once() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let deb = root.path().join("linux-image.deb");
        fs::write(&deb, kernel_package()).unwrap();
        let spec = KernelSpec::Package(deb);
        let kernel = resolve(&spec, &cache, QUIET).unwrap();
        assert_eq!(kernel.release, "6.1.0-1-amd64");
        assert_eq!(kernel.source, "linux-image-6.1.0-1-amd64 6.1.5-1 (a file)");
        assert_eq!(fs::read(&kernel.vmlinux).unwrap(), elf_with_note(18));
        assert!(kernel.modules_dir.join("kernel/veth.ko").is_file());
        assert_eq!(kernel.config, None);
        assert_eq!(resolve(&spec, &cache, QUIET).unwrap(), kernel);
        assert_eq!(cached_kernels(&cache), [kernel]);
        assert_eq!(fs::read_dir(cache.root().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn a_kernel_that_was_damaged_in_the_cache_is_made_again() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let deb = root.path().join("linux-image.deb");
        fs::write(&deb, kernel_package()).unwrap();
        let spec = KernelSpec::Package(deb);
        let kernel = resolve(&spec, &cache, QUIET).unwrap();
        let folder = kernel.vmlinux.parent().unwrap();
        let whole = fs::read(&kernel.vmlinux).unwrap();
        let mut altered = whole.clone();
        altered[0] ^= 1;
        let damage: [(&Path, &[u8]); 4] = [
            (&kernel.vmlinux, &altered),
            (&kernel.vmlinux, &whole[..9]),
            (&kernel.vmlinuz, b"short"),
            (&folder.join(MANIFEST), b"{"),
        ];
        for (path, content) in damage {
            fs::write(path, content).unwrap();
            assert_eq!(resolve(&spec, &cache, QUIET).unwrap(), kernel, "{}", path.display());
            assert_eq!(fs::read(&kernel.vmlinux).unwrap(), whole);
            assert_eq!(sha256(&fs::read(&kernel.vmlinuz).unwrap()), kernel.manifest.vmlinuz_sha256);
        }
        // The same by the answer that is remembered for a release.
        cache.remember("6.1", folder).unwrap();
        fs::write(&kernel.vmlinux, altered).unwrap();
        assert_eq!(resolve(&"6.1".parse().unwrap(), &cache, QUIET).unwrap(), kernel);
        assert_eq!(fs::read(&kernel.vmlinux).unwrap(), whole);
    }

    #[test]
    fn a_package_without_kernel_leaves_nothing_in_the_cache() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let deb = root.path().join("x.deb");
        // The image alone, as a package without its modules is.
        fs::write(&deb, package("Package: x\n", &[("./boot/vmlinuz-6.1", &image(18))])).unwrap();
        let error = resolve(&KernelSpec::Package(deb), &cache, QUIET).unwrap_err().to_string();
        assert!(error.contains("no kernel with modules"), "{error}");
        assert!(cache.kernels().is_empty());
    }

    #[test]
    fn files_become_a_kernel_whose_modules_stay_where_they_are() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let (vmlinuz, modules) = (root.path().join("bzImage"), root.path().to_owned());
        fs::write(&vmlinuz, image(0)).unwrap();
        let spec = KernelSpec::Files { vmlinuz: vmlinuz.clone(), modules };
        let error = resolve(&spec, &cache, QUIET).unwrap_err().to_string();
        assert!(error.contains("neither a kernel module nor modules.builtin"), "{error}");
        fs::write(root.path().join("veth.ko"), module("depends=\0")).unwrap();
        let kernel = resolve(&spec, &cache, QUIET).unwrap();
        assert_eq!(kernel.release, "6.1.0-1-amd64");
        assert_eq!(kernel.modules_dir, root.path().canonicalize().unwrap());
        // Without a PVH entry the packed image is what boots.
        assert_eq!(kernel.vmlinux, kernel.vmlinuz);
        // Another build in the same place is another kernel.
        fs::write(&vmlinuz, image(18)).unwrap();
        assert_ne!(resolve(&spec, &cache, QUIET).unwrap(), kernel);
    }

    #[test]
    fn a_machine_without_its_own_kernel_is_told_which_ones_there_are() {
        let near = ["6.18", "6.12", "7.0", "6.1"].map(str::to_owned);
        let said = no_host_kernel(Path::new("/boot/vmlinuz-6.18.5"), "6.18.5", &near).to_string();
        assert!(said.contains("/boot/vmlinuz-6.18.5") && said.contains("PATH.deb"), "{said}");
        assert!(said.contains("name another kernel, such as 6.18, 6.12, 7.0;"), "{said}");
        let unknown = no_host_kernel(Path::new("/x"), "6.18.5", &[]).to_string();
        assert!(unknown.contains("name another kernel; bring"), "{unknown}");
    }

    #[test]
    fn a_damaged_image_is_named() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let vmlinuz = root.path().join("bzImage");
        let mut image = image(18);
        image.truncate(1030);
        fs::write(&vmlinuz, image).unwrap();
        fs::write(root.path().join("veth.ko"), module("depends=\0")).unwrap();
        let spec = KernelSpec::Files { vmlinuz: vmlinuz.clone(), modules: root.path().into() };
        let error = resolve(&spec, &cache, QUIET).unwrap_err().to_string();
        assert!(error.contains(&*vmlinuz.to_string_lossy()), "{error}");
        assert!(error.contains("shorter than its setup header says"), "{error}");
    }
}
