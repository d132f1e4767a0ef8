//! Takes the ELF kernel out of a compressed x86 boot image, so that QEMU can start it directly
//! through PVH and the guest need not unpack it. Boots nothing.

use std::io;
use std::ops::Range;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, ReadRef};

use super::compressed::read_all;

/// Largest kernel unpacked, in bytes (distribution kernels: 50 to 110 MB).
const KERNEL_BYTES_MAX: usize = 512 << 20;
/// Where the parts of the setup header are ("The Linux/x86 Boot Protocol",
/// Documentation/x86/boot.rst, Linux 6.1).
const SETUP_SECTS: usize = 0x1f1;
const HEADER_MAGIC: Range<usize> = 0x202..0x206;
const PROTOCOL_VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// First boot protocol whose header tells where the payload is.
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;
/// The kernel is packed by `lz4 -l`: this number, then blocks with their length before them
/// (scripts/Makefile.lib, `cmd_lz4`, and `lib/decompress_unlz4.c`, Linux 6.1).
const LZ4_LEGACY_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
const LZ4_LEGACY_BLOCK_BYTES: usize = 8 << 20;
/// Note with the 32-bit entry point for PVH (include/xen/interface/elfnote.h, Linux 6.1).
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// The release a boot image says it is, such as `6.1.0-30-cloud-amd64`.
pub(super) fn release(image: &[u8]) -> Option<String> {
    let text = if is_elf(image) {
        let banner = b"Linux version ";
        let at = image.windows(banner.len()).position(|window| window == banner)?;
        image.get(at + banner.len()..)?
    } else {
        (image.get(HEADER_MAGIC)? == b"HdrS").then_some(())?;
        // The header counts from the end of the first sector.
        image.get(usize::from(u16_at(image, KERNEL_VERSION)?) + 0x200..)?
    };
    let end = text.iter().take(256).position(|byte| byte.is_ascii_whitespace() || *byte == 0)?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    let plausible = word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c));
    plausible.then(|| word.to_owned())
}

/// The ELF kernel inside the boot image `image`, or `image` itself if it is one already.
///
/// # Errors
/// A sentence on what is wrong with the image.
pub(super) fn extract(image: &[u8]) -> Result<Vec<u8>, String> {
    if is_elf(image) {
        must_be_x86_64(image)?;
        return Ok(image.to_vec());
    }
    let payload = payload(image)?;
    // After the packed kernel its unpacked length is written (arch/x86/boot/compressed/mkpiggy.c,
    // Linux 6.1).
    let length = payload.len().checked_sub(4).and_then(|at| u32_at(payload, at));
    let length = length.ok_or("its payload is empty")? as usize;
    if length > KERNEL_BYTES_MAX {
        return Err(format!("it says its kernel has {length} bytes, more than any kernel"));
    }
    let kernel = if payload.starts_with(&LZ4_LEGACY_MAGIC) {
        unpack_lz4(payload, length)?
    } else {
        read_all(payload, length as u64).map_err(|error| damaged(&error))?
    };
    if kernel.len() != length {
        return Err(format!("its kernel has {} bytes and should have {length}", kernel.len()));
    }
    if !is_elf(&kernel) {
        return Err(
            "its payload is packed in a way that is not known here, or is no ELF kernel".into()
        );
    }
    Ok(kernel)
}

/// Whether QEMU can start the ELF kernel `kernel` directly: the kernel was built with
/// `CONFIG_PVH=y`.
pub(super) fn has_pvh_entry(kernel: &[u8]) -> bool {
    let notes = || -> object::read::Result<bool> {
        let header = FileHeader64::<LittleEndian>::parse(kernel)?;
        let endian = header.endian()?;
        for segment in header.program_headers(endian, kernel)? {
            let Some(mut notes) = segment.notes(endian, kernel)? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == b"Xen" && note.n_type(endian).0 == XEN_ELFNOTE_PHYS32_ENTRY {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    notes().unwrap_or(false)
}

fn must_be_x86_64(kernel: &[u8]) -> Result<(), String> {
    let machine = FileHeader64::<LittleEndian>::parse(kernel)
        .and_then(|header| Ok(header.e_machine(header.endian()?)));
    match machine {
        Ok(elf::EM_X86_64) => Ok(()),
        Ok(other) => Err(format!("it is an ELF file for machine {} and not for x86-64", other.0)),
        Err(error) => Err(format!("it is no 64-bit little-endian ELF file: {error}")),
    }
}

fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&elf::ELFMAG)
}

fn payload(image: &[u8]) -> Result<&[u8], String> {
    if image.get(HEADER_MAGIC) != Some(b"HdrS".as_slice()) {
        return Err("it has no x86 setup header".into());
    }
    if u16_at(image, PROTOCOL_VERSION).is_none_or(|version| version < PROTOCOL_WITH_PAYLOAD) {
        return Err("its boot protocol is older than 2.08 (Linux 2.6.26)".into());
    }
    let range = || {
        let sectors = match *image.get(SETUP_SECTS)? {
            // "For backwards compatibility, if the setup_sects field contains 0, the real value is
            // 4."
            0 => 4,
            sectors => usize::from(sectors),
        };
        let start = (sectors + 1) * 512 + u32_at(image, PAYLOAD_OFFSET)? as usize;
        let end = start.checked_add(u32_at(image, PAYLOAD_LENGTH)? as usize)?;
        image.get(start..end)
    };
    range().ok_or_else(|| "it is shorter than its setup header says".into())
}

fn unpack_lz4(payload: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut kernel = Vec::new();
    let mut at = LZ4_LEGACY_MAGIC.len();
    while kernel.len() < length {
        let size = u32_at(payload, at).ok_or("its payload ends early")? as usize;
        let packed = (at + 4).checked_add(size).and_then(|end| payload.get(at + 4..end));
        let packed = packed.ok_or("its payload ends early")?;
        let block_bytes = LZ4_LEGACY_BLOCK_BYTES.min(length - kernel.len());
        let block = lz4_flex::block::decompress(packed, block_bytes)
            .map_err(|error| damaged(&io::Error::other(error)))?;
        if block.is_empty() {
            return Err("its payload has an empty block".into());
        }
        kernel.extend(block);
        at += 4 + size;
    }
    Ok(kernel)
}

fn damaged(error: &io::Error) -> String {
    format!("its payload is damaged: {error}")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.read_at::<[u8; 2]>(at as u64).ok().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.read_at::<[u8; 4]>(at as u64).ok().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// An ELF kernel with one note: name `Xen`, type `note_type`.
    pub(in super::super) fn elf_with_note(note_type: u32) -> Vec<u8> {
        const HEADER: u64 = 64;
        const SEGMENT: u64 = 56;
        let note =
            [&[4, 4, note_type].map(u32::to_le_bytes).concat()[..], b"Xen\0\0\0\0\0"].concat();
        let (at, size) = (HEADER + SEGMENT, note.len() as u64);
        [
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
            // ET_EXEC, EM_X86_64, version 1; the segments follow the header.
            [2, 62, 1, 0].map(u16::to_le_bytes).concat(),
            [0, HEADER, 0].map(u64::to_le_bytes).concat(),
            [0, 0, 64, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat(),
            [elf::PT_NOTE.0, 4].map(u32::to_le_bytes).concat(),
            [at, 0, 0, size, size, 4].map(u64::to_le_bytes).concat(),
            note,
        ]
        .concat()
    }

    /// A boot image of `release` around `payload`.
    pub(in super::super) fn boot_image(release: &str, payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[SETUP_SECTS] = 1;
        image[HEADER_MAGIC].copy_from_slice(b"HdrS");
        image[PROTOCOL_VERSION..][..2].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[KERNEL_VERSION..][..2].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..][..release.len()].copy_from_slice(release.as_bytes());
        image[PAYLOAD_LENGTH..][..4]
            .copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(payload);
        image
    }

    fn with_length(mut packed: Vec<u8>, length: usize) -> Vec<u8> {
        packed.extend(u32::try_from(length).unwrap().to_le_bytes());
        packed
    }

    pub(in super::super) fn lz4_payload(kernel: &[u8]) -> Vec<u8> {
        let packed = lz4_flex::block::compress(kernel);
        let size = u32::try_from(packed.len()).unwrap().to_le_bytes();
        with_length([&LZ4_LEGACY_MAGIC, &size[..], &packed].concat(), kernel.len())
    }

    #[test]
    fn an_lz4_kernel_comes_out_whole() {
        let kernel = elf_with_note(18);
        let image = boot_image("6.1.0-1-amd64 (a@b) #1", &lz4_payload(&kernel));
        assert_eq!(extract(&image).unwrap(), kernel);
        assert_eq!(release(&image).as_deref(), Some("6.1.0-1-amd64"));
    }

    #[test]
    fn zstandard_and_gzip_kernels_come_out_whole() {
        let kernel = elf_with_note(18);
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(&kernel[..], level);
        let image = boot_image("6.12", &with_length(zstd, kernel.len()));
        assert_eq!(extract(&image).unwrap(), kernel);
        // gzip ends with the length by itself.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&kernel).unwrap();
        assert_eq!(extract(&boot_image("6.12", &gzip.finish().unwrap())).unwrap(), kernel);
    }

    #[test]
    fn an_elf_kernel_of_another_machine_is_refused() {
        let mut kernel = elf_with_note(18);
        assert_eq!(extract(&kernel).unwrap(), kernel);
        kernel[18..20].copy_from_slice(&elf::EM_AARCH64.0.to_le_bytes());
        let error = extract(&kernel).unwrap_err();
        assert_eq!(error, "it is an ELF file for machine 183 and not for x86-64");
        kernel[4] = 1;
        assert!(extract(&kernel).unwrap_err().contains("no 64-bit"));
    }

    #[test]
    fn only_the_right_note_is_a_pvh_entry() {
        assert!(has_pvh_entry(&elf_with_note(18)));
        assert!(!has_pvh_entry(&elf_with_note(17)));
        assert!(!has_pvh_entry(b"\x7fELF"));
    }

    #[test]
    fn a_damaged_image_is_told_apart() {
        let kernel = elf_with_note(18);
        let image = boot_image("6.1", &lz4_payload(&kernel));
        let cut = extract(&image[..image.len() - 1]).unwrap_err();
        assert_eq!(cut, "it is shorter than its setup header says");
        assert_eq!(extract(b"text").unwrap_err(), "it has no x86 setup header");
        let huge = boot_image("6.1", &with_length(vec![1], KERNEL_BYTES_MAX + 1));
        assert!(extract(&huge).unwrap_err().contains("more than any kernel"));
        let unknown = boot_image("6.1", &with_length(b"LZO?".to_vec(), 8));
        assert!(extract(&unknown).unwrap_err().contains("packed in a way that is not known"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..1500),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let lz4 = [&LZ4_LEGACY_MAGIC, &payload[..]].concat();
            for image in [bytes, boot_image("6.1", &payload), boot_image("6.1", &with_length(lz4, 999))] {
                let _either = extract(&image);
                let _either = release(&image);
                let _either = has_pvh_entry(&[b"\x7fELF\x02\x01\x01", &image[..]].concat());
            }
        }

        #[test]
        fn a_damaged_elf_never_panics(at in 0_usize..350, value in any::<u8>()) {
            let mut kernel = elf_with_note(18);
            if let Some(byte) = kernel.get_mut(at) { *byte = value }
            let _either = has_pvh_entry(&kernel);
        }
    }
}
