//! Finds kernel modules and the order in which they must be loaded. Loads none.
//!
//! Packages ship no `modules.dep`, so dependencies are read from the modules themselves, and only
//! from those that are asked for: about a hundred of some thousand files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::compressed::read_all;
use super::error::{ImageError, at};

/// Largest module read, in bytes unpacked (the largest graphics driver: 15 MB).
const MODULE_BYTES_MAX: u64 = 64 << 20;
/// Most files looked at (the largest kernel packages hold about 5,000).
const FILES_MAX: usize = 50_000;
/// Deepest chain of dependencies followed (real ones: below 10).
const DEPTH_MAX: usize = 64;

/// The modules of one kernel.
#[derive(Debug)]
pub(super) struct ModuleTree {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// One module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Name as the kernel writes it, with `_`.
    pub(super) name: String,
    /// Its file on this machine, perhaps compressed.
    pub(super) file: PathBuf,
}

impl ModuleTree {
    /// Lists the modules below `folder`: what is `/lib/modules/RELEASE` on an installed system.
    ///
    /// # Errors
    /// When the folder cannot be read, or holds absurdly many files.
    pub(super) fn read(folder: &Path) -> Result<Self, ImageError> {
        let (mut files, mut folders, mut seen) = (BTreeMap::new(), vec![folder.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
                let entry = entry.map_err(at("list", &folder))?;
                seen += 1;
                if seen > FILES_MAX {
                    let problem = "more files than any kernel has modules";
                    let remedy = "pass the folder of one kernel's modules, as in /lib/modules";
                    return Err(ImageError::file(&folder, problem, remedy));
                }
                // Not followed when a link, as `build` and `source` are.
                let kind = entry.file_type().map_err(at("look at", &folder))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file()
                    && let Some(module) = module_name(&name)
                {
                    files.insert(module, entry.path());
                }
            }
        }
        Ok(Self { files, builtin: builtin(&folder.join("modules.builtin"))? })
    }

    /// Whether it names no module at all, neither as a file nor as built in.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.builtin.is_empty()
    }

    /// The modules called `names` (`-` and `_` are equal) and all they need, each after those it
    /// needs. Names built into the kernel need no loading; one that the kernel has not, or cannot
    /// load, since a module it needs is absent, is left out.
    ///
    /// # Errors
    /// When a module file cannot be read, is damaged, or dependencies never end.
    pub(super) fn in_load_order<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Module>, ImageError> {
        let (mut ordered, mut visited) = (Vec::new(), BTreeMap::new());
        for name in names {
            self.visit(&canonical(name), 0, &mut visited, &mut ordered)?;
        }
        Ok(ordered)
    }

    /// Orders the module after those it needs; whether the kernel can have it. `visited` has the
    /// answers so far; of a module that is being looked at, in a circle, it is assumed.
    fn visit(
        &self,
        name: &str,
        depth: usize,
        visited: &mut BTreeMap<String, bool>,
        ordered: &mut Vec<Module>,
    ) -> Result<bool, ImageError> {
        let Some(file) = self.files.get(name) else { return Ok(self.builtin.contains(name)) };
        if let Some(&known) = visited.get(name) {
            return Ok(known);
        }
        visited.insert(name.to_owned(), true);
        let needs = needs(&read_module(file)?).map_err(|problem| malformed(file, &problem))?;
        if depth >= DEPTH_MAX {
            return Err(malformed(file, "its dependencies never end"));
        }
        // What is built in never stands in `depends=`: without the file of one named there, the
        // kernel refuses the module.
        for needed in &needs.depends {
            if !self.visit(needed, depth + 1, visited, ordered)? {
                visited.insert(name.to_owned(), false);
                return Ok(false);
            }
        }
        // A soft dependency may name an alias, or be absent.
        for before in &needs.before {
            self.visit(before, depth + 1, visited, ordered)?;
        }
        ordered.push(Module { name: name.to_owned(), file: file.clone() });
        for after in &needs.after {
            self.visit(after, depth + 1, visited, ordered)?;
        }
        Ok(true)
    }
}

/// The bytes of a module file, unpacked.
pub(super) fn read_module(file: &Path) -> Result<Vec<u8>, ImageError> {
    let opened = File::open(file).map_err(at("open", file))?;
    read_all(opened, MODULE_BYTES_MAX).map_err(at("unpack", file))
}

/// Module name of a file called `file`, if it is a module: `nf-a.ko.xz` is `nf_a`.
fn module_name(file: &str) -> Option<String> {
    let (stem, ending) = file.split_once(".ko")?;
    matches!(ending, "" | ".xz" | ".zst" | ".gz").then(|| canonical(stem))
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Names listed in `modules.builtin`; none when the file is absent.
fn builtin(file: &Path) -> Result<BTreeSet<String>, ImageError> {
    if !file.exists() {
        return Ok(BTreeSet::new());
    }
    let text = fs::read_to_string(file).map_err(at("read", file))?;
    let names = text.lines().filter_map(|line| module_name(line.rsplit('/').next()?));
    Ok(names.collect())
}

/// Other modules a module asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    depends: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
}

/// Reads `depends=` and `softdep=` of the section `.modinfo` (include/linux/module.h, `MODULE_INFO`
/// and `MODULE_SOFTDEP`, Linux 6.1).
fn needs(module: &[u8]) -> Result<Needs, String> {
    let file = object::File::parse(module).map_err(|error| format!("no module: {error}"))?;
    let section = file.section_by_name(".modinfo").ok_or("no module: it has no .modinfo")?;
    let info = section.data().map_err(|error| format!("no module: {error}"))?;
    let mut needs = Needs::default();
    for field in info.split(|byte| *byte == 0) {
        let field = String::from_utf8_lossy(field);
        if let Some(names) = field.strip_prefix("depends=") {
            needs.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(canonical));
        } else if let Some(words) = field.strip_prefix("softdep=") {
            soft(words, &mut needs);
        }
    }
    Ok(needs)
}

fn soft(words: &str, needs: &mut Needs) {
    let mut after = false;
    for word in words.split_whitespace() {
        match word {
            "pre:" => after = false,
            "post:" => after = true,
            name if after => needs.after.push(canonical(name)),
            name => needs.before.push(canonical(name)),
        }
    }
}

fn malformed(file: &Path, problem: &str) -> ImageError {
    ImageError::file(file, problem, "fetch the kernel again, or build its modules again")
}

#[cfg(test)]
pub(super) mod tests {
    use object::write::Object;
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// A module that says `modinfo` of itself.
    pub(in super::super) fn module(modinfo: &str) -> Vec<u8> {
        let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = file.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        file.append_section_data(section, modinfo.as_bytes(), 1);
        file.write().unwrap()
    }

    /// A module folder with the modules `(file, modinfo)`.
    fn tree(modules: &[(&str, &str)]) -> (TempDir, ModuleTree) {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("kernel/net")).unwrap();
        for (file, modinfo) in modules {
            fs::write(folder.path().join("kernel/net").join(file), module(modinfo)).unwrap();
        }
        fs::write(folder.path().join("modules.builtin"), "kernel/net/ipv6/ip-v6.ko\n").unwrap();
        let tree = ModuleTree::read(folder.path()).unwrap();
        (folder, tree)
    }

    fn names(tree: &ModuleTree, wanted: &[&str]) -> Vec<String> {
        tree.in_load_order(wanted.iter().copied())
            .unwrap()
            .into_iter()
            .map(|module| module.name)
            .collect()
    }

    #[test]
    fn modules_come_after_those_they_need() {
        let (_folder, tree) = tree(&[
            ("ip_vs.ko", "license=GPL\0depends=nf-conntrack,libcrc32c\0"),
            ("nf_conntrack.ko", "depends=libcrc32c\0"),
            ("libcrc32c.ko", "softdep=pre: crc32c-intel post: extra\0depends=\0"),
            ("crc32c-intel.ko", "depends=\0"),
            ("extra.ko", "depends=\0"),
        ]);
        let order = ["crc32c_intel", "libcrc32c", "extra", "nf_conntrack", "ip_vs"];
        assert_eq!(names(&tree, &["ip-vs", "nf_conntrack"]), order);
    }

    #[test]
    fn absent_modules_and_built_in_ones_are_left_out() {
        let (_folder, tree) = tree(&[("a.ko", "softdep=pre: not_here\0")]);
        assert_eq!(names(&tree, &["a", "ip_v6", "xt-none", "xt_none"]), ["a"]);
    }

    #[test]
    fn a_module_whose_needs_are_absent_is_left_out() {
        // As in a kernel without IPVS that has the match `ipvs` all the same.
        let (_folder, tree) = tree(&[
            ("xt_ipvs.ko", "depends=ip_vs,nf_conntrack\0"),
            ("ip_vs_ftp.ko", "depends=xt_ipvs\0"),
            ("nf_conntrack.ko", "depends=ip-v6\0"),
        ]);
        assert_eq!(names(&tree, &["ip_vs_ftp", "xt_ipvs", "nf_conntrack"]), ["nf_conntrack"]);
    }

    #[test]
    fn circles_end() {
        let (_folder, tree) = tree(&[("a.ko", "depends=b\0"), ("b.ko", "depends=a\0")]);
        assert_eq!(names(&tree, &["a"]), ["b", "a"]);
    }

    #[test]
    fn an_endless_chain_is_an_error() {
        let chain: Vec<_> = (0..DEPTH_MAX + 2)
            .map(|i| (format!("m{i}.ko"), format!("depends=m{}\0", i + 1)))
            .collect();
        let chain: Vec<_> = chain.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (_folder, tree) = tree(&chain);
        let error = tree.in_load_order(["m0"]).unwrap_err();
        assert!(error.to_string().contains("never end"), "{error}");
    }

    #[test]
    fn a_damaged_module_is_named() {
        let (folder, tree) = tree(&[("a.ko", "depends=\0")]);
        fs::write(folder.path().join("kernel/net/a.ko"), b"text").unwrap();
        let error = tree.in_load_order(["a"]).unwrap_err().to_string();
        assert!(error.contains("a.ko") && error.contains("fetch the kernel again"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_module_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            damage in 0_usize..350,
        ) {
            let _either = needs(&bytes);
            let _either = needs(&module(&String::from_utf8_lossy(&bytes)));
            let mut damaged = module("depends=a,b\0softdep=pre: c\0");
            for (at, byte) in bytes.iter().take(4).enumerate() {
                if let Some(place) = damaged.get_mut(damage + at) { *place = *byte }
            }
            let _either = needs(&damaged);
        }
    }
}
