//! Builds the file system a guest boots with: this program as `/init`, the tools that program the
//! kernel, and kernel modules. Boots nothing.
//!
//! The archive is not compressed: under TCG a guest spends more on unpacking it than the host saves
//! on reading it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::guest::{MODULE_LIST, PATH};

use super::cache::Cache;
use super::elf::{Needed, needed};
use super::error::{ImageError, at};
use super::kernel::Kernel;
use super::modules::ModuleTree;
use super::tree::{Node, Tree};

/// The tool that the lab itself wants in a guest.
const LAB_TOOLS: [&str; 1] = ["ip"];
/// Modules of the lab itself: its links, VIPs on a dummy device, and tunnels. A kernel that lacks
/// some, or has them built in, is no error.
const LAB_MODULES: [&str; 4] = ["veth", "dummy", "bridge", "ipip"];

/// Folders every guest has, to mount on and to write into.
const EMPTY_FOLDERS: [&str; 7] = ["/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var"];
/// Protocol names that `ipset` and `nft` look up (RFC 5237's registry).
const PROTOCOLS: &str =
    "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n";
/// What a guest boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitramfsSpec {
    /// Program that becomes `/init`: this one.
    pub init: PathBuf,
    /// Names of tools besides the lab's own, looked for in `PATH` and the usual folders for
    /// administrators.
    pub tools: Vec<String>,
    /// Other files: path here, absolute path in the guest.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Names of modules besides the lab's own; those they need come along.
    pub modules: Vec<String>,
}

/// Builds the image of `spec` for `kernel`, or finds it in the cache. The archive is named by the
/// SHA-256 of its content. Tools that are not installed here, and modules that the kernel lacks,
/// are left out.
///
/// # Errors
/// When an input cannot be read or is damaged, or the cache cannot be written.
pub fn build_initramfs(
    kernel: &Kernel,
    spec: &InitramfsSpec,
    cache: &Cache,
) -> Result<PathBuf, ImageError> {
    let mut tree = Tree::default();
    for folder in EMPTY_FOLDERS {
        tree.add(Path::new(folder), Node::Folder);
    }
    tree.add(Path::new("/etc/protocols"), Node::Text(PROTOCOLS.to_owned()));
    tree.add(Path::new("/init"), Node::File(spec.init.clone()));
    add_tools(&mut tree, spec)?;
    add_modules(&mut tree, kernel, &spec.modules)?;
    for (host, guest) in &spec.files {
        tree.add(guest, Node::File(host.clone()));
    }
    let _lock = cache.lock()?;
    cache.insert_initramfs(&tree.archive()?)
}

/// Adds the tools and all libraries that they and `/init` need.
fn add_tools(tree: &mut Tree, spec: &InitramfsSpec) -> Result<(), ImageError> {
    let names = LAB_TOOLS.into_iter().chain(spec.tools.iter().map(String::as_str));
    let tools: Vec<PathBuf> = names.filter_map(find_tool).collect();
    for tool in &tools {
        tree.add_from_host(tool)?;
    }
    let mut all = Needed::default();
    for program in [&spec.init].into_iter().chain(&tools) {
        let mut libraries = needed(program, &[])?;
        let plug_ins = extensions(&libraries.files)?;
        if !plug_ins.is_empty() {
            libraries = needed(program, &plug_ins)?;
        }
        all.files.extend(libraries.files.into_iter().chain(plug_ins));
        all.links.extend(libraries.links);
    }
    for path in &all.files {
        tree.add_from_host(path)?;
    }
    for (link, target) in all.links {
        if !all.files.contains(&link) {
            tree.add(&link, Node::Link(target));
        }
    }
    Ok(())
}

/// The matches and targets of iptables, which it opens by name, from a folder beside its library.
fn extensions(libraries: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, ImageError> {
    let is_library = |path: &&PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libxtables.so"))
    };
    let library = libraries.iter().find(is_library);
    let folder = library.and_then(|path| path.parent()).map(|folder| folder.join("xtables"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else { return Ok(Vec::new()) };
    let entries = fs::read_dir(&folder).map_err(at("list", &folder))?;
    entries.map(|entry| Ok(entry.map_err(at("list", &folder))?.path())).collect()
}

/// The program called `name` in `PATH`, or in a folder that only an administrator's `PATH` has.
fn find_tool(name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    // Folders that the guest's own PATH has come first, so that a tool is found there too.
    let folders = std::env::split_paths(PATH).chain(std::env::split_paths(&own));
    let mut paths = folders.map(|folder| folder.join(name));
    paths.find(|path| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Adds modules and the list in load order.
fn add_modules(tree: &mut Tree, kernel: &Kernel, names: &[String]) -> Result<(), ImageError> {
    let folder = PathBuf::from("/lib/modules").join(&kernel.release);
    let mut list = String::new();
    let names = LAB_MODULES.into_iter().chain(names.iter().map(String::as_str));
    for module in ModuleTree::read(&kernel.modules_dir)?.in_load_order(names)? {
        let path = folder.join(format!("{}.ko", module.name));
        list.push_str(&path.to_string_lossy());
        list.push('\n');
        tree.add(&path, Node::Module(module.file));
    }
    tree.add(Path::new(MODULE_LIST), Node::Text(list));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use cpio::newc;
    use tempfile::TempDir;

    use super::super::kernel::Manifest;
    use super::super::modules::tests::module;
    use super::*;

    /// `(path, mode, inode, content)` of every entry.
    fn entries(archive: &[u8]) -> Vec<(String, u32, u32, Vec<u8>)> {
        let (mut all, mut rest) = (Vec::new(), archive);
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return all;
            }
            let entry = reader.entry().clone();
            assert_eq!((entry.mtime(), entry.uid(), entry.gid()), (0, 0, 0));
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            all.push((entry.name().to_owned(), entry.mode(), entry.ino(), content));
            rest = reader.finish().unwrap();
        }
    }

    fn kernel(root: &Path) -> Kernel {
        let modules_dir = root.join("modules");
        fs::create_dir_all(&modules_dir).unwrap();
        fs::write(modules_dir.join("b.ko"), module("depends=a\0")).unwrap();
        fs::write(modules_dir.join("a.ko"), module("depends=\0")).unwrap();
        Kernel {
            release: "6.1-test".into(),
            vmlinux: root.join("vmlinux"),
            vmlinuz: root.join("vmlinuz"),
            modules_dir,
            source: "test".into(),
            manifest: Manifest {
                release: "6.1-test".into(),
                packages: Vec::new(),
                modules_dir: None,
                vmlinuz_sha256: String::new(),
                pvh: true,
                unpacked_bytes: 0,
            },
        }
    }

    fn spec(root: &Path) -> InitramfsSpec {
        let init = root.join("program");
        fs::write(&init, "#!/bin/sh\n").unwrap();
        InitramfsSpec {
            init: init.clone(),
            tools: vec!["no-such-tool".into()],
            files: vec![(init, "/etc/vipbench/extra".into())],
            modules: vec!["b".into(), "no-such-module".into()],
        }
    }

    #[test]
    fn the_archive_has_init_modules_and_their_order() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let built = build_initramfs(&kernel(root.path()), &spec(root.path()), &cache).unwrap();
        let entries = entries(&fs::read(&built).unwrap());
        assert!(
            !entries.iter().any(|(name, ..)| name.contains("no-such") || name.contains("no_such"))
        );

        // `/lib` may be a link to `/usr/lib`, and comes along with the tools.
        let is_at = |name: &str, path: &str| name.strip_prefix("usr/").unwrap_or(name) == path;
        let content = |path: &str| {
            let (_, mode, _, content) =
                entries.iter().find(|(name, ..)| is_at(name, path)).unwrap();
            (*mode, String::from_utf8_lossy(content).into_owned())
        };
        assert_eq!(content("init"), (0o100_755, "#!/bin/sh\n".into()));
        let order = "/lib/modules/6.1-test/a.ko\n/lib/modules/6.1-test/b.ko\n";
        assert_eq!(content("etc/vipbench/modules"), (0o100_644, order.into()));
        assert_eq!(content("proc").0, 0o040_755);
        assert!(content("etc/protocols").1.contains("tcp 6"));
        assert_eq!(content("lib/modules/6.1-test/a.ko").0, 0o100_644);
        let names: Vec<_> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        for name in &names {
            let folder = Path::new(name).parent().unwrap().to_string_lossy();
            let (at, folder_at) =
                (names.iter().position(|n| n == name), names.iter().position(|n| **n == *folder));
            assert!(
                folder.is_empty() || folder_at.is_some_and(|folder_at| Some(folder_at) < at),
                "{name}"
            );
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_image() {
        let root = TempDir::new().unwrap();
        let cache = Cache::at(&root.path().join("cache")).unwrap();
        let (kernel, spec) = (kernel(root.path()), spec(root.path()));
        let first = build_initramfs(&kernel, &spec, &cache).unwrap();
        let bytes = fs::read(&first).unwrap();
        // Newer files with the same content are the same input.
        fs::write(&spec.init, "#!/bin/sh\n").unwrap();
        let again = build_initramfs(&kernel, &spec, &cache).unwrap();
        assert_eq!(again, first);
        assert_eq!(fs::read(&again).unwrap(), bytes);
        fs::write(&spec.init, "#!/bin/other\n").unwrap();
        assert_ne!(build_initramfs(&kernel, &spec, &cache).unwrap(), first);
        assert_eq!(fs::read_dir(cache.root().join("partial")).unwrap().count(), 0);
    }
}
