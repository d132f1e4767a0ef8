//! Reads a stream that may be compressed, told apart by its magic bytes. Knows no container format.

use std::io::{self, Cursor, Read};

/// Largest dictionary or window a stream may ask for, in bytes: what `zstd -22 --ultra` uses for
/// kernels.
const WINDOW_BYTES_MAX: u64 = 128 << 20;

const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// `input` decompressed when it starts as xz, Zstandard or gzip, else as it is.
///
/// # Errors
/// When the first bytes cannot be read, or a header is damaged. Later damage shows on reading.
pub(super) fn decompressed<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(XZ_MAGIC.len());
    input.by_ref().take(XZ_MAGIC.len() as u64).read_to_end(&mut head)?;
    let is = |magic: &[u8]| head.starts_with(magic);
    let (xz, zstd, gzip) = (is(XZ_MAGIC), is(ZSTD_MAGIC), is(GZIP_MAGIC));
    let whole = Cursor::new(head).chain(input);
    if xz {
        let limit_kib = u32::try_from(WINDOW_BYTES_MAX >> 10).unwrap_or(u32::MAX);
        Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(whole, false, limit_kib)))
    } else if zstd {
        let reader =
            ruzstd::decoding::StreamingDecoder::new_with_max_window_size(whole, WINDOW_BYTES_MAX);
        Ok(Box::new(reader.map_err(io::Error::other)?))
    } else if gzip {
        Ok(Box::new(flate2::read::GzDecoder::new(whole)))
    } else {
        Ok(Box::new(whole))
    }
}

/// All of `input`, decompressed, at most `bytes_max` of it.
///
/// # Errors
/// When reading fails, the stream is damaged, or it is longer than `bytes_max`.
pub(super) fn read_all(input: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decompressed(input)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("longer than {bytes_max} bytes when unpacked")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn plain_and_short_streams_pass_through() {
        assert_eq!(read_all(&b"ab"[..], 2).unwrap(), b"ab");
        assert_eq!(read_all(&b""[..], 0).unwrap(), b"");
    }

    #[test]
    fn a_stream_longer_than_its_bound_is_refused() {
        assert!(read_all(&gzip(&[0; 1000])[..], 999).is_err());
        assert_eq!(read_all(&gzip(&[0; 1000])[..], 1000).unwrap().len(), 1000);
    }

    #[test]
    fn zstandard_is_unpacked() {
        let packed = ruzstd::encoding::compress_to_vec(
            &b"kernel kernel kernel"[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(read_all(&packed[..], 100).unwrap(), b"kernel kernel kernel");
    }

    proptest! {
        #[test]
        fn damaged_streams_are_errors_or_bytes_never_panics(
            magic in prop::sample::select(vec![XZ_MAGIC, ZSTD_MAGIC, GZIP_MAGIC]),
            rest in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let bytes = [magic, &rest].concat();
            let _either = read_all(&bytes[..], 1 << 20);
        }
    }
}
