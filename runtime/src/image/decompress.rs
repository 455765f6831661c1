//! Opens a compressed stream by what it starts with, not by what its name or media type claims.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const BZIP2: &[u8; 3] = b"BZh";
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// What an xz stream may ask for as its dictionary; `xz -9` asks for 64 MiB.
const XZ_LIMIT_KIB: u32 = 256 << 10;
/// First bytes that tell.
pub(crate) const START_BYTES: u64 = 6;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Skippable frames are 0x184D2A50 to 0x184D2A5F, little endian (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
    /// Of root file systems and App Container Images, not of OCI layers.
    Bzip2,
    /// As [`Compression::Bzip2`].
    Xz,
}

impl Compression {
    /// By the first bytes.
    pub(crate) fn of(start: &[u8]) -> Compression {
        if start.starts_with(&GZIP) {
            Compression::Gzip
        } else if start.starts_with(&ZSTD) || is_skippable(start) {
            Compression::Zstd
        } else if start.starts_with(&XZ) {
            Compression::Xz
        } else if start.starts_with(BZIP2) && start.get(3).is_some_and(u8::is_ascii_digit) {
            Compression::Bzip2
        } else {
            Compression::None
        }
    }
}

/// The uncompressed content of `inner`, streaming.
///
/// # Errors
/// Where its first bytes cannot be read.
pub(crate) fn open<'a, R: Read + 'a>(inner: R) -> io::Result<Box<dyn Read + 'a>> {
    let mut inner = BufReader::with_capacity(64 << 10, inner);
    Ok(match Compression::of(inner.fill_buf()?) {
        Compression::None => Box::new(inner),
        Compression::Gzip => Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(inner))),
        Compression::Bzip2 => Box::new(BufReader::with_capacity(64 << 10, MultiBzDecoder::new(inner))),
        Compression::Xz => Box::new(XzReader::new_mem_limit(inner, true, XZ_LIMIT_KIB)),
        Compression::Zstd => {
            Box::new(BufReader::with_capacity(64 << 10, Frames { state: State::Between(Unread::new(inner)) }))
        }
    })
}

fn is_skippable(start: &[u8]) -> bool {
    start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == ZSTD_SKIPPABLE
}

/// A zstd stream is any number of frames, some of them to be skipped (zstd:chunked ends with those).
struct Frames<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Between(Unread<R>),
    Inside(Box<StreamingDecoder<Unread<R>, FrameDecoder>>),
    Ended,
}

/// A reader into which the four bytes just read can be put back.
struct Unread<R> {
    back: Option<([u8; 4], usize)>,
    inner: R,
}

impl<R: BufRead> Unread<R> {
    fn new(inner: R) -> Unread<R> {
        Unread { back: None, inner }
    }
}

impl<R: BufRead> Read for Unread<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((bytes, used)) = self.back else { return self.inner.read(buffer) };
        let n = buffer.len().min(bytes.len() - used);
        buffer[..n].copy_from_slice(&bytes[used..used + n]);
        self.back = (used + n < bytes.len()).then_some((bytes, used + n));
        Ok(n)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(mut inner) => {
                    if inner.inner.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let mut magic = [0; 4];
                    inner.read_exact(&mut magic)?;
                    if is_skippable(&magic) {
                        let mut length = [0; 4];
                        inner.read_exact(&mut length)?;
                        let length = u64::from(u32::from_le_bytes(length));
                        if io::copy(&mut (&mut inner).take(length), &mut io::sink())? != length {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        self.state = State::Between(inner);
                    } else {
                        inner.back = Some((magic, 0));
                        let decoder = StreamingDecoder::new(inner)
                            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                        self.state = State::Inside(Box::new(decoder));
                    }
                }
                State::Inside(mut decoder) => {
                    let n = decoder.read(buffer)?;
                    if n > 0 || buffer.is_empty() {
                        self.state = State::Inside(decoder);
                        return Ok(n);
                    }
                    self.state = State::Between(decoder.into_inner());
                }
            }
        }
    }
}
