//! Opens a compressed stream by what it starts with, not by what its name or media type claims.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
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
}

impl Compression {
    /// By the first bytes.
    pub(crate) fn of(start: &[u8]) -> Compression {
        if start.starts_with(&GZIP) {
            Compression::Gzip
        } else if start.starts_with(&ZSTD) || is_skippable(start) {
            Compression::Zstd
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
