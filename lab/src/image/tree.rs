//! The file tree of a guest, made of files of this machine and of text, and written as a `newc`
//! archive. Does not know what a guest needs.
//!
//! The same tree gives the same bytes: entries are sorted, inode numbers count from 1, times are 0
//! and owners root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use cpio::newc::{Builder, ModeFileType, trailer};

use super::error::{ImageError, at, read_file};
use super::modules::read_module;

/// Longest chain of symbolic links followed, as in the kernel (include/linux/namei.h,
/// `MAXSYMLINKS`, Linux 6.1).
const LINKS_MAX: usize = 40;
/// Largest file put into a guest, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What is at one path of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    /// Content of a file here. All are executable, libraries and data too.
    File(PathBuf),
    /// Content of a module file here, unpacked.
    Module(PathBuf),
    Text(String),
    Link(PathBuf),
}

impl Node {
    fn mode(&self) -> (ModeFileType, u32) {
        match self {
            Self::Folder => (ModeFileType::Directory, 0o755),
            Self::File(_) => (ModeFileType::Regular, 0o755),
            Self::Module(_) | Self::Text(_) => (ModeFileType::Regular, 0o644),
            Self::Link(_) => (ModeFileType::Symlink, 0o777),
        }
    }

    fn content(&self) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Folder => Ok(Vec::new()),
            Self::File(host) => read_file(host, FILE_BYTES_MAX),
            Self::Module(host) => read_module(host),
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Link(target) => Ok(target.as_os_str().as_encoded_bytes().to_vec()),
        }
    }
}

/// The guest's files by path without the leading slash. Sorted, so a folder comes before what is in
/// it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// Puts `node` at the absolute path `guest`, following links among the tree's folders.
    pub(super) fn add(&mut self, guest: &Path, node: Node) {
        let mut path = PathBuf::new();
        for component in guest.components() {
            let Component::Normal(name) = component else { continue };
            if !path.as_os_str().is_empty() {
                path = self.resolve(path);
                self.nodes.entry(path.clone()).or_insert(Node::Folder);
            }
            path.push(name);
        }
        self.nodes.insert(path, node);
    }

    /// Where `path` leads when it is a link of the tree.
    fn resolve(&self, mut path: PathBuf) -> PathBuf {
        for _ in 0..LINKS_MAX {
            let Some(Node::Link(target)) = self.nodes.get(&path) else { break };
            path = joined(&path, target);
        }
        path
    }

    /// Puts the file at the absolute path `host` at the same path of the guest, with every link on
    /// the way there: tools are links to one program that looks at its name, and folders such as
    /// `/lib` are links too.
    pub(super) fn add_from_host(&mut self, host: &Path) -> Result<(), ImageError> {
        let mut rest = plain(host);
        for _ in 0..LINKS_MAX {
            let Some((link, target)) = first_link(&rest)? else {
                self.add(&rest, Node::File(Path::new("/").join(&rest)));
                return Ok(());
            };
            let below = rest.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
            let place = joined(&link, &target);
            self.add(&link, Node::Link(target));
            rest = if below.as_os_str().is_empty() { place } else { place.join(below) };
        }
        Err(at("follow the links of", host)(io::Error::other("too many links")))
    }

    /// The archive (Documentation/driver-api/early-userspace/buffer-format.rst, Linux 6.1).
    pub(super) fn archive(&self) -> Result<Vec<u8>, ImageError> {
        let mut out = Vec::new();
        for ((path, node), inode) in self.nodes.iter().zip(1..) {
            let content = node.content()?;
            let size = u32::try_from(content.len())
                .map_err(|_| at("pack", path)(io::ErrorKind::FileTooLarge.into()))?;
            let (kind, permissions) = node.mode();
            let links = if *node == Node::Folder { 2 } else { 1 };
            let entry = Builder::new(&path.to_string_lossy())
                .ino(inode)
                .mode(permissions)
                .set_mode_file_type(kind)
                .nlink(links);
            let mut writer = entry.write(&mut out, size);
            writer.write_all(&content).map_err(at("pack", path))?;
            writer.finish().map_err(at("pack", path))?;
        }
        trailer(&mut out).map_err(at("finish", Path::new("the archive")))?;
        Ok(out)
    }
}

/// The first part of `path` (relative to `/`) that is a link on this machine, and where it leads.
fn first_link(path: &Path) -> Result<Option<(PathBuf, PathBuf)>, ImageError> {
    let mut part = PathBuf::new();
    for component in path.components() {
        part.push(component);
        let full = Path::new("/").join(&part);
        let meta = fs::symlink_metadata(&full).map_err(at("look at", &full))?;
        if meta.is_symlink() {
            let target = fs::read_link(&full).map_err(at("read the link", &full))?;
            return Ok(Some((part, target)));
        }
    }
    Ok(None)
}

/// Where a link at `link` with content `target` leads, relative to `/`.
fn joined(link: &Path, target: &Path) -> PathBuf {
    plain(&link.parent().unwrap_or(Path::new("")).join(target))
}

/// `path` relative to `/`, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn links_on_the_way_to_a_file_come_along() {
        let root = TempDir::new().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("usr/sbin")).unwrap();
        fs::create_dir_all(at("etc/alternatives")).unwrap();
        fs::write(at("usr/sbin/xtables-multi"), "program").unwrap();
        symlink("usr/sbin", at("sbin")).unwrap();
        symlink(at("etc/alternatives/iptables"), at("usr/sbin/iptables")).unwrap();
        symlink(at("sbin/xtables-multi"), at("etc/alternatives/iptables")).unwrap();
        let mut tree = Tree::default();
        tree.add_from_host(&at("sbin/iptables")).unwrap();
        let node = |name: &str| tree.nodes.get(&plain(&at(name)));
        assert_eq!(node("sbin"), Some(&Node::Link("usr/sbin".into())));
        assert_eq!(node("usr/sbin/iptables"), Some(&Node::Link(at("etc/alternatives/iptables"))));
        assert_eq!(node("etc/alternatives/iptables"), Some(&Node::Link(at("sbin/xtables-multi"))));
        assert_eq!(node("usr/sbin/xtables-multi"), Some(&Node::File(at("usr/sbin/xtables-multi"))));
    }

    #[test]
    fn circular_links_are_an_error() {
        let root = TempDir::new().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let error = Tree::default().add_from_host(&root.path().join("a")).unwrap_err();
        assert!(error.to_string().contains("too many links"), "{error}");
    }

    #[test]
    fn what_is_put_below_a_linked_folder_lands_in_the_folder() {
        let mut tree = Tree::default();
        tree.add(Path::new("/lib"), Node::Link("usr/lib".into()));
        tree.add(Path::new("/lib/modules/x"), Node::Text(String::new()));
        assert!(tree.nodes.contains_key(Path::new("usr/lib/modules/x")));
        assert_eq!(tree.nodes.get(Path::new("lib")), Some(&Node::Link("usr/lib".into())));
    }
}
