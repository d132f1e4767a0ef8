//! From a SPEC to a kernel that can boot: in the cache already, or fetched, unpacked and put there.
//! Boots nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::apt::Apt;
use super::cache::{Cache, sha256};
use super::catalogue::{OfferedKernel, catalogue, series_of};
use super::choose::{default_kernel, near, newest};
use super::deb::Deb;
use super::error::{BRING_ONES_OWN, ImageError, at, read_file};
use super::kernels::Kernels;
use super::modules::ModuleTree;
use super::package::{Fetched, PackageRecord, fetch, from_file};
use super::seal::{seal, sealed};
use super::spec::KernelSpec;
use super::stock::{MANIFEST, bytes_of};
use super::vmlinux::{extract, has_pvh_entry, release};

/// Largest boot image read, in bytes (an unpacked `vmlinux` with debug information: 500 MB).
const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// Hexadecimal digits of a hash in a folder's name.
const HASH_DIGITS: usize = 16;
const PASS_AN_IMAGE: &str = "pass an x86 boot image (bzImage) or the ELF file vmlinux";

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

impl Kernels<'_> {
    /// The kernel that `spec` names. A default, series or release that was answered before is
    /// answered with the same kernel again, so that measurements stay comparable;
    /// [`Kernels::refresh`] looks for a newer one.
    ///
    /// # Errors
    /// When there is none, it cannot be fetched, or what was fetched is damaged: see
    /// [`ImageError`].
    pub fn resolve(&self, spec: &KernelSpec) -> Result<Kernel, ImageError> {
        let known = || self.cache.answer(&spec.to_string());
        if let Some(kernel) = known().and_then(|folder| load(&folder).ok()).filter(is_whole) {
            return Ok(kernel);
        }
        let _lock = self.cache.lock()?;
        // Another run may have fetched it while this one waited.
        let Some(folder) = known() else { return self.find(spec) };
        let release = load(&folder).ok().map(|kernel| kernel.release);
        if let Some(kernel) = self.whole(&folder)? {
            return Ok(kernel);
        }
        // The same kernel anew, where it can still be had.
        let same = release.and_then(|release| release.parse().ok());
        let Some(kernel) = same.and_then(|same| self.find(&same).ok()) else {
            return self.find(spec);
        };
        self.cache.remember(&spec.to_string(), kernel.folder())?;
        Ok(kernel)
    }

    /// The release of the kernel that [`Kernels::resolve`] would give, without fetching a kernel.
    ///
    /// # Errors
    /// As [`Kernels::resolve`].
    pub fn look_up(&self, spec: &KernelSpec) -> Result<String, ImageError> {
        if let Some(folder) = self.cache.answer(&spec.to_string()) {
            return Ok(load(&folder)?.release);
        }
        if let KernelSpec::Host | KernelSpec::Files { .. } | KernelSpec::Package(_) = spec {
            return Ok(self.resolve(spec)?.release);
        }
        let _lock = self.cache.lock()?;
        Ok(self.on_offer(spec)?.1.release)
    }

    /// The kernel that `spec` names now, and will name for [`Kernels::resolve`] from now on.
    ///
    /// # Errors
    /// As [`Kernels::resolve`].
    pub fn refresh(&self, spec: &KernelSpec) -> Result<Kernel, ImageError> {
        let _lock = self.cache.lock()?;
        self.find(spec)
    }

    /// Finds, and if needed puts into the cache, what `spec` names. The caller holds the cache's
    /// lock.
    fn find(&self, spec: &KernelSpec) -> Result<Kernel, ImageError> {
        match spec {
            KernelSpec::Host => {
                let release = rustix::system::uname().release().to_string_lossy().into_owned();
                let vmlinuz = PathBuf::from(format!("/boot/vmlinuz-{release}"));
                let modules = Path::new("/lib/modules").join(&release);
                match [&vmlinuz, &modules].into_iter().find(|path| !path.exists()) {
                    Some(absent) => {
                        let near = self.offered_near(&release).unwrap_or_default();
                        Err(no_host_kernel(absent, &release, &near))
                    }
                    None => self.adopt(&vmlinuz, &modules),
                }
            }
            KernelSpec::Files { vmlinuz, modules } => self.adopt(vmlinuz, modules),
            KernelSpec::Package(deb) => self.assemble(&from_file(deb)?),
            KernelSpec::Default
            | KernelSpec::Series(..)
            | KernelSpec::Newest(_)
            | KernelSpec::Release(_) => {
                let (apt, offered) = self.on_offer(spec)?;
                let downloads = format!("{}-{}", offered.package, offered.version);
                let downloads = self.cache.downloads(&downloads)?;
                let kernel = self.assemble(&fetch(&apt, &offered, &downloads, self.progress)?)?;
                self.cache.remember(&spec.to_string(), kernel.folder())?;
                self.cache.remember(&kernel.release, kernel.folder())?;
                fs::remove_dir_all(&downloads).map_err(at("remove", &downloads))?;
                Ok(kernel)
            }
        }
    }

    /// The kernel that `spec` (a default, series or release) names, and the indexes that it is in.
    fn on_offer(&self, spec: &KernelSpec) -> Result<(Apt, OfferedKernel), ImageError> {
        let is_default = *spec == KernelSpec::Default;
        let apt = if is_default { self.own_suites() } else { self.every_suite() }?;
        let kernels = catalogue(&apt)?;
        let kernel =
            if is_default { default_kernel(&apt, &kernels) } else { newest(spec, &kernels) }?;
        Ok((apt, kernel))
    }

    /// The series nearest to that of `release` that the package sources offer.
    fn offered_near(&self, release: &str) -> Result<Vec<String>, ImageError> {
        let Some((major, minor)) = series_of(release) else { return Ok(Vec::new()) };
        let kernels = catalogue(&self.every_suite()?)?;
        let releases = kernels.iter().map(|kernel| kernel.release.as_str());
        Ok(near(&KernelSpec::Series(major, minor), releases))
    }

    /// The kernel in the cache folder `folder`, if its images are what was put there; a damaged one
    /// is removed. The caller holds the cache's lock.
    fn whole(&self, folder: &Path) -> Result<Option<Kernel>, ImageError> {
        if let Ok(kernel) = load(folder)
            && (is_whole(&kernel) || mend(&kernel, folder)?)
        {
            return Ok(Some(kernel));
        }
        (self.progress)(&format!("{} is damaged, and is made again", folder.display()));
        fs::remove_dir_all(folder).map_err(at("remove", folder))?;
        Ok(None)
    }

    /// Puts the kernel in `packages` into the cache.
    fn assemble(&self, packages: &[Fetched]) -> Result<Kernel, ImageError> {
        let packed = packages.iter().map(|package| package.record.sha256.as_str());
        let hash = short_hash(&packed.collect::<String>());
        if let Some(kernel) = self.cached(&hash)? {
            return Ok(kernel);
        }
        let partial = self.cache.partial()?;
        let (mut found, mut unpacked_bytes) = (None, 0);
        for package in packages {
            (self.progress)(&format!("unpacking {}", package.record.name));
            let (release, bytes) = Deb::open(&package.path)?.unpack(partial.path())?;
            unpacked_bytes += bytes;
            found = found.or(release);
        }
        let vmlinuz = partial.path().join("vmlinuz");
        let (Some(release), true) = (found, vmlinuz.is_file()) else {
            let first = packages.first().map(|package| package.path.clone()).unwrap_or_default();
            let remedy = "pass a package called linux-image-RELEASE";
            return Err(ImageError::file(&first, "it holds no kernel with modules", remedy));
        };
        let image = read_image(&vmlinuz)?;
        let manifest = Manifest {
            release,
            packages: packages.iter().map(|package| package.record.clone()).collect(),
            modules_dir: None,
            vmlinuz_sha256: sha256(&image),
            pvh: unpack_image(&image, &vmlinuz, partial.path())?,
            unpacked_bytes,
        };
        self.insert(partial, &manifest, &hash)
    }

    /// Puts the image `vmlinuz` into the cache; its modules stay where they are.
    fn adopt(&self, vmlinuz: &Path, modules: &Path) -> Result<Kernel, ImageError> {
        let modules_dir = modules.canonicalize().map_err(at("find the modules", modules))?;
        if ModuleTree::read(&modules_dir)?.is_empty() {
            let remedy =
                "pass the folder that is /lib/modules/RELEASE where the kernel is installed";
            let problem = "it holds neither a kernel module nor modules.builtin";
            return Err(ImageError::file(&modules_dir, problem, remedy));
        }
        let image = read_image(vmlinuz)?;
        let vmlinuz_sha256 = sha256(&image);
        // The same image with other modules is another kernel.
        let hash = short_hash(&format!("{vmlinuz_sha256}{}", modules_dir.display()));
        if let Some(kernel) = self.cached(&hash)? {
            return Ok(kernel);
        }
        let partial = self.cache.partial()?;
        let copy = partial.path().join("vmlinuz");
        fs::write(&copy, &image).map_err(at("write", &copy))?;
        let pvh = unpack_image(&image, vmlinuz, partial.path())?;
        let release = release(&image)
            .ok_or_else(|| ImageError::file(vmlinuz, "it names no release", PASS_AN_IMAGE))?;
        let modules_dir = Some(modules_dir);
        let packages = Vec::new();
        let manifest =
            Manifest { release, packages, modules_dir, vmlinuz_sha256, pvh, unpacked_bytes: 0 };
        self.insert(partial, &manifest, &hash)
    }

    /// The kernel whose folder in the cache is named by `hash`, if it is there and whole.
    fn cached(&self, hash: &str) -> Result<Option<Kernel>, ImageError> {
        self.cache.kernel_by_hash(hash).map_or(Ok(None), |folder| self.whole(&folder))
    }

    /// Puts a folder with the images of a kernel into the cache.
    fn insert(
        &self,
        filled: TempDir,
        manifest: &Manifest,
        hash: &str,
    ) -> Result<Kernel, ImageError> {
        let path = filled.path().join(MANIFEST);
        let text = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other);
        text.and_then(|text| fs::write(&path, text)).map_err(at("write", &path))?;
        load(&self.cache.insert_kernel(filled, &format!("{}-{hash}", manifest.release))?)
    }
}

/// Whether the images of a kernel are what was put into the cache.
fn is_whole(kernel: &Kernel) -> bool {
    sealed(&kernel.vmlinuz).is_some_and(|hash| hash == kernel.manifest.vmlinuz_sha256)
        && sealed(&kernel.vmlinux).is_some()
}

/// Unpacks what boots again, if the boot image is what it was; kernels that were put there before
/// there were seals get theirs.
fn mend(kernel: &Kernel, folder: &Path) -> Result<bool, ImageError> {
    let Ok(image) = read_image(&kernel.vmlinuz) else { return Ok(false) };
    if sha256(&image) != kernel.manifest.vmlinuz_sha256 {
        return Ok(false);
    }
    unpack_image(&image, &kernel.vmlinuz, folder).map(|_pvh| true)
}

/// The file `absent` is missing, without which `host` is no kernel; `near` can be had in its place.
fn no_host_kernel(absent: &Path, release: &str, near: &[String]) -> ImageError {
    const NAMED_MAX: usize = 3;
    let named = near[..near.len().min(NAMED_MAX)].join(", ");
    let offered = if named.is_empty() { String::new() } else { format!(", such as {named}") };
    let problem = format!(
        "not there, so that the kernel of this machine, {release}, cannot be booted in a guest; \
         install its package, or name another kernel{offered}"
    );
    ImageError::file(absent, problem, BRING_ONES_OWN)
}

impl Kernel {
    /// Bytes it occupies in the cache; modules that are kept elsewhere do not count.
    pub fn bytes(&self) -> u64 {
        bytes_of(self.folder())
    }

    /// Its folder in the cache.
    pub fn folder(&self) -> &Path {
        self.vmlinuz.parent().unwrap_or(&self.vmlinuz)
    }
}

/// All kernels in the cache, sorted by release. Folders that are none are passed over.
pub fn cached_kernels(cache: &Cache) -> Vec<Kernel> {
    cache.kernels().iter().filter_map(|folder| load(folder).ok()).collect()
}

/// Writes the ELF kernel inside `image`, read from `vmlinuz`, into `folder`, and seals both there;
/// returns whether it has a PVH entry.
fn unpack_image(image: &[u8], vmlinuz: &Path, folder: &Path) -> Result<bool, ImageError> {
    let kernel =
        extract(image).map_err(|problem| ImageError::file(vmlinuz, problem, PASS_AN_IMAGE))?;
    let pvh = has_pvh_entry(&kernel);
    if pvh {
        let path = folder.join("vmlinux");
        fs::write(&path, &kernel).map_err(at("write", &path))?;
        seal(&path)?;
    }
    seal(&folder.join("vmlinuz"))?;
    Ok(pvh)
}

fn read_image(path: &Path) -> Result<Vec<u8>, ImageError> {
    if !fs::metadata(path).map_err(at("look at", path))?.is_file() {
        return Err(ImageError::file(path, "it is no file", PASS_AN_IMAGE));
    }
    read_file(path, IMAGE_BYTES_MAX)
}

/// The kernel in the cache folder `folder`.
fn load(folder: &Path) -> Result<Kernel, ImageError> {
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(at("read", &path))?;
    let remedy = "remove this folder; the kernel is fetched again when it is needed";
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| ImageError::file(&path, error, remedy))?;
    let vmlinuz = folder.join("vmlinuz");
    let modules_dir = manifest.modules_dir.clone().unwrap_or_else(|| folder.join("modules"));
    Ok(Kernel {
        release: manifest.release.clone(),
        vmlinux: if manifest.pvh { folder.join("vmlinux") } else { vmlinuz.clone() },
        vmlinuz,
        source: describe(&manifest, &modules_dir),
        modules_dir,
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

/// The beginning of a hash, in hexadecimal: what the name of a kernel's folder ends in.
fn short_hash(text: &str) -> String {
    format!("{:.HASH_DIGITS$}", sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::deb::tests::package;
    use super::super::modules::tests::module;
    use super::super::vmlinux::tests::{boot_image, elf_with_note, lz4_payload};
    use super::*;

    fn resolve(spec: &KernelSpec, cache: &Cache) -> Result<Kernel, ImageError> {
        Kernels { cache, progress: &|_| {} }.resolve(spec)
    }

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
        let kernel = resolve(&spec, &cache).unwrap();
        assert_eq!(kernel.release, "6.1.0-1-amd64");
        assert_eq!(kernel.source, "linux-image-6.1.0-1-amd64 6.1.5-1 (a file)");
        assert_eq!(fs::read(&kernel.vmlinux).unwrap(), elf_with_note(18));
        assert!(kernel.modules_dir.join("kernel/veth.ko").is_file());
        assert_eq!(resolve(&spec, &cache).unwrap(), kernel);
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
        let kernel = resolve(&spec, &cache).unwrap();
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
            assert_eq!(resolve(&spec, &cache).unwrap(), kernel, "{}", path.display());
            assert_eq!(fs::read(&kernel.vmlinux).unwrap(), whole);
            assert_eq!(sha256(&fs::read(&kernel.vmlinuz).unwrap()), kernel.manifest.vmlinuz_sha256);
        }
        // The same by the answer that is remembered for a release.
        cache.remember("6.1", folder).unwrap();
        fs::write(&kernel.vmlinux, altered).unwrap();
        assert_eq!(resolve(&"6.1".parse().unwrap(), &cache).unwrap(), kernel);
        assert_eq!(fs::read(&kernel.vmlinux).unwrap(), whole);
    }

    #[test]
    fn a_package_without_kernel_leaves_nothing_in_the_cache() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let deb = root.path().join("x.deb");
        // The image alone, as a package without its modules is.
        fs::write(&deb, package("Package: x\n", &[("./boot/vmlinuz-6.1", &image(18))])).unwrap();
        let error = resolve(&KernelSpec::Package(deb), &cache).unwrap_err().to_string();
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
        let error = resolve(&spec, &cache).unwrap_err().to_string();
        assert!(error.contains("neither a kernel module nor modules.builtin"), "{error}");
        fs::write(root.path().join("veth.ko"), module("depends=\0")).unwrap();
        let kernel = resolve(&spec, &cache).unwrap();
        assert_eq!(kernel.release, "6.1.0-1-amd64");
        assert_eq!(kernel.modules_dir, root.path().canonicalize().unwrap());
        // Without a PVH entry the packed image is what boots.
        assert_eq!(kernel.vmlinux, kernel.vmlinuz);
        // Another build in the same place is another kernel.
        fs::write(&vmlinuz, image(18)).unwrap();
        assert_ne!(resolve(&spec, &cache).unwrap(), kernel);
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
        let error = resolve(&spec, &cache).unwrap_err().to_string();
        assert!(error.contains(&*vmlinuz.to_string_lossy()), "{error}");
        assert!(error.contains("shorter than its setup header says"), "{error}");
    }
}
