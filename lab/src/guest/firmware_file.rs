//! Reads a named file from QEMU's firmware configuration device, from user space inside the guest.
//!
//! Reading is synchronous and the content belongs to the QEMU process that runs now: a restored
//! snapshot sees the file its own process was started with. Layout: `docs/specs/fw_cfg.rst`, QEMU
//! 7.2.

use std::io;

use super::io_port::Port;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const KEY_SIGNATURE: u16 = 0x00;
const KEY_DIRECTORY: u16 = 0x19;
/// One directory entry: size (be32), key (be16), reserved (be16), name (56 bytes, NUL padded).
const ENTRY_BYTES: usize = 64;
const ENTRIES_MAX: u32 = 1024;
/// Largest file accepted: an imported Cluster of a million Services stays below it.
const FILE_BYTES_MAX: u32 = 1 << 30;

/// The content of the file `name`, or `None` if this QEMU process has no such file.
pub(super) fn read(name: &str) -> io::Result<Option<Vec<u8>>> {
    let (selector, data) = (Port::open(SELECTOR)?, Port::open(DATA)?);
    let mut signature = [0; 4];
    selector.write_u16(KEY_SIGNATURE);
    data.read_exact(&mut signature);
    if &signature != b"QEMU" {
        return Err(io::Error::other("no QEMU firmware configuration device at I/O port 0x510"));
    }
    selector.write_u16(KEY_DIRECTORY);
    let Some((key, size)) = find(&data, name)? else { return Ok(None) };
    let mut content = vec![0; size as usize];
    selector.write_u16(key);
    data.read_exact(&mut content);
    Ok(Some(content))
}

/// Key and size of a file in the directory, from which `data` reads.
fn find(data: &Port, name: &str) -> io::Result<Option<(u16, u32)>> {
    let mut count = [0; 4];
    data.read_exact(&mut count);
    let count = u32::from_be_bytes(count);
    if count > ENTRIES_MAX {
        return Err(io::Error::other(format!(
            "firmware configuration lists {count} files, more than {ENTRIES_MAX}"
        )));
    }
    for _ in 0..count {
        let mut entry = [0; ENTRY_BYTES];
        data.read_exact(&mut entry);
        let (size, key, found) = parse_entry(&entry);
        if found == name.as_bytes() {
            if size > FILE_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "firmware file {name} has {size} bytes, too many"
                )));
            }
            return Ok(Some((key, size)));
        }
    }
    Ok(None)
}

fn parse_entry(entry: &[u8; ENTRY_BYTES]) -> (u32, u16, &[u8]) {
    let size = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
    let key = u16::from_be_bytes([entry[4], entry[5]]);
    let name = entry[8..].split(|&byte| byte == 0).next().unwrap_or_default();
    (size, key, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_big_endian_with_a_padded_name() {
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&[0, 0, 1, 2, 0, 0x21, 0, 0]);
        entry[8..11].copy_from_slice(b"opt");
        assert_eq!(parse_entry(&entry), (0x102, 0x21, b"opt".as_slice()));
    }
}
