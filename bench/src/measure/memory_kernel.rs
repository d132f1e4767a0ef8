//! Memory that the kernel itself holds, as `/proc/meminfo` tells it
//! (`Documentation/filesystems/proc.rst`, Linux 6.1).

use std::fs;

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelMemory {
    /// Objects of the kernel, such as rules and connections.
    pub slab: u64,
    /// Data of each processor.
    pub per_cpu: u64,
    /// Large pieces, such as tables of iptables.
    pub vmalloc: u64,
}

impl KernelMemory {
    /// What it is now; nothing where the kernel does not tell.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
        };
        Some(Self {
            slab: field("Slab")?,
            per_cpu: field("Percpu")?,
            vmalloc: field("VmallocUsed")?,
        })
    }

    /// All of it.
    pub(super) fn total(self) -> u64 {
        self.slab + self.per_cpu + self.vmalloc
    }

    /// By how much it has grown since, each kind by its name.
    pub(super) fn grown_since(self, before: Self) -> [(&'static str, u64); 3] {
        [
            ("slab", self.slab.saturating_sub(before.slab)),
            ("per-cpu", self.per_cpu.saturating_sub(before.per_cpu)),
            ("vmalloc", self.vmalloc.saturating_sub(before.vmalloc)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_in_bytes_and_compared() {
        let text = "MemTotal:  99 kB\nSlab:   3 kB\nVmallocUsed:   2 kB\nPercpu:   1 kB\n";
        let before = KernelMemory::parse(text).unwrap();
        assert_eq!(before.total(), 6 << 10);
        let after = KernelMemory { slab: 5 << 10, vmalloc: 0, ..before };
        let grown = after.grown_since(before);
        assert_eq!(grown, [("slab", 2 << 10), ("per-cpu", 0), ("vmalloc", 0)]);
        assert_eq!(KernelMemory::parse("Slab: x kB"), None);
        assert!(KernelMemory::read().is_some());
    }
}
