//! Compressed or not, seen by the first bytes: the media type and the file name may lie. And compressing again.

use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stdx::{Context, Result};

use crate::Limits;

mod writer;

pub use writer::{Compressor, compress};

/// Bytes an xz stream may ask for as its dictionary, in KiB: `xz -9` asks for 64 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Recognises the format; six bytes are enough.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            // A frame, or the skippable frame that some writers put first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}

type Source<R> = Counted<Chain<Cursor<Vec<u8>>, R>>;

/// The uncompressed bytes. Malformed input and exceeded limits are errors of kind `InvalidData`.
pub struct Decompressed<'a> {
    compression: Compression,
    decoder: Box<dyn Read + Send + 'a>,
    consumed: Arc<AtomicU64>,
    produced: u64,
    limits: Limits,
    failed: bool,
}

/// Looks at the first bytes and decodes what follows: concatenated gzip members, zstd frames and xz streams too.
pub fn decompress<'a>(mut reader: impl Read + Send + 'a, limits: &Limits) -> Result<Decompressed<'a>> {
    let mut start = Vec::with_capacity(6);
    (&mut reader).take(6).read_to_end(&mut start).context(|| "cannot read archive".to_owned())?;
    let compression = Compression::detect(&start);
    let consumed = Arc::new(AtomicU64::new(0));
    let source: Source<_> = Counted { inner: Cursor::new(start).chain(reader), count: Arc::clone(&consumed) };
    let buffered = |source| BufReader::with_capacity(128 << 10, source);
    let decoder: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(source))),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(buffered(source));
            Box::new(decoder.context(|| "cannot start zstd".to_owned())?)
        }
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(buffered(source), true, XZ_MEMORY_KIB)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(source))),
    };
    Ok(Decompressed { compression, decoder, consumed, produced: 0, limits: *limits, failed: false })
}

impl Decompressed<'_> {
    /// What was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    fn check(&self) -> io::Result<()> {
        let Limits { bytes, ratio, ratio_floor, .. } = self.limits;
        if self.produced > bytes {
            return Err(invalid(format!("archive expands to more than {bytes} bytes")));
        }
        let consumed = self.consumed.load(Ordering::Relaxed);
        if self.produced > ratio_floor && self.produced / ratio.max(1) > consumed {
            return Err(invalid(format!("archive expands to more than {ratio} times its size")));
        }
        Ok(())
    }
}

impl Read for Decompressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(invalid(format!("malformed {} data", self.compression)));
        }
        let result = self.decoder.read(buffer).and_then(|read| {
            self.produced += read as u64;
            self.check().map(|()| read)
        });
        result.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => {
                self.failed = true;
                match (error.raw_os_error(), kind) {
                    // The source itself failed.
                    (Some(_), _) | (None, io::ErrorKind::InvalidData) => error,
                    (None, io::ErrorKind::UnexpectedEof) => invalid(format!("{} data is cut off", self.compression)),
                    (None, _) => invalid(format!("malformed {} data: {error}", self.compression)),
                }
            }
        })
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `printf hello | xz`, since the library is built without its encoder.
    const XZ_HELLO: &[u8] = &[
        253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47, 229, 163, 1, 0, 4, 104,
        101, 108, 108, 111, 0, 0, 0, 0, 177, 55, 185, 219, 229, 218, 30, 155, 0, 1, 29, 5, 184, 45, 128, 175, 31, 182,
        243, 125, 1, 0, 0, 0, 0, 4, 89, 90,
    ];

    fn read(input: &[u8], limits: &Limits) -> io::Result<(Compression, Vec<u8>)> {
        let mut decompressed = decompress(input, limits).unwrap();
        let mut output = Vec::new();
        decompressed.read_to_end(&mut output)?;
        Ok((decompressed.compression(), output))
    }

    #[test]
    fn every_format_is_recognised_also_concatenated() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skippable = [b"\x50\x2a\x4d\x18\x02\0\0\0ab".as_slice(), &zstd(b"hello")].concat();
        for (compression, input, output) in [
            (Compression::None, b"hello".to_vec(), "hello"),
            (Compression::None, Vec::new(), ""),
            (Compression::Gzip, [gzip(b"hel"), gzip(b"lo")].concat(), "hello"),
            (Compression::Zstd, [zstd(b"hel"), zstd(b"lo")].concat(), "hello"),
            (Compression::Zstd, skippable, "hello"),
            (Compression::Xz, XZ_HELLO.to_vec(), "hello"),
            (Compression::Xz, [XZ_HELLO, XZ_HELLO].concat(), "hellohello"),
            (Compression::Bzip2, [bzip2(b"hel"), bzip2(b"lo")].concat(), "hello"),
        ] {
            let (found, bytes) = read(&input, &Limits::default()).unwrap();
            assert_eq!((found, bytes.as_slice()), (compression, output.as_bytes()));
        }
    }

    #[test]
    fn damaged_and_cut_off_data_is_an_error_that_stays() {
        let zstd = zstd::encode_all(b"hello hello hello".as_slice(), 1).unwrap();
        for input in [gzip(b"hello"), bzip2(b"hello"), zstd, XZ_HELLO.to_vec()] {
            for cut in [input.len() - 1, input.len() / 2, 7] {
                let mut reader = decompress(&input[..cut], &Limits::default()).unwrap();
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                assert!(reader.read(&mut [0]).is_err());
            }
            for position in 6..input.len() {
                let mut damaged = input.clone();
                damaged[position] ^= 0x55;
                let _ = read(&damaged, &Limits::default());
            }
        }
    }

    #[test]
    fn bombs_are_stopped() {
        let zeros = vec![0; 4 << 20];
        let bomb = gzip(&zeros);
        let limits = Limits { ratio: 100, ratio_floor: 1 << 20, ..Limits::default() };
        let error = read(&bomb, &limits).unwrap_err();
        assert_eq!(error.to_string(), "archive expands to more than 100 times its size");
        assert!(read(&bomb, &Limits { ratio: 100, ..Limits::default() }).is_ok());
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        assert_eq!(read(&bomb, &limits).unwrap_err().to_string(), "archive expands to more than 1048576 bytes");
        assert!(read(&zeros, &limits).is_err());
    }
}
