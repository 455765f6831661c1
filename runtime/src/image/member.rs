//! Reads the members of a tar stream (POSIX pax, GNU and older ustar).
//!
//! The `tar` crate parses the header blocks; the walk from member to member is ours, because a
//! layer comes from a stranger: extension headers are bounded before they are read into memory,
//! pax records are cut by their length (an attribute's value may hold a line that looks like
//! `size=`), the pax size wins over the header's, and forms on which readers disagree are refused.

use std::io::{self, Read};

use tar::Header;

const BLOCK_BYTES: u64 = 512;
/// Long names and pax records of one member. Attributes are at most 64 KiB each (xattr(7)).
const EXTENSION_LIMIT_BYTES: u64 = 1 << 20;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    SymbolicLink,
    CharacterDevice,
    BlockDevice,
    Folder,
    Fifo,
}

/// One member, without its content.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) link: Vec<u8>,
    pub(crate) size_bytes: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) modified: (i64, u32),
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) device: (u32, u32),
    /// Where its content begins in the stream.
    pub(crate) offset_bytes: u64,
}

/// The members of one stream, in order.
pub(crate) struct Members<R> {
    inner: R,
    position_bytes: u64,
    unread_bytes: u64,
    padding_bytes: u64,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(inner: R) -> Members<R> {
        Members { inner, position_bytes: 0, unread_bytes: 0, padding_bytes: 0 }
    }

    /// The stream itself, to read what follows the last member.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The content of the member returned last.
    pub(crate) fn content(&mut self) -> impl Read + '_ {
        Content { members: self }
    }

    /// The next member, or none at the end of the archive.
    ///
    /// # Errors
    /// A broken or ambiguous archive, or what the stream itself said.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extension = Extension::default();
        loop {
            let Some(header) = self.header()? else {
                return if extension.is_empty() {
                    Ok(None)
                } else {
                    Err(bad("ends after an extension header"))
                };
            };
            match header.as_bytes()[156] {
                b'x' => extension.pax(&self.extension(&header)?)?,
                b'g' => refuse_global(&self.extension(&header)?)?,
                b'L' => extension.path = Some(without_nul(self.extension(&header)?)),
                b'K' => extension.link = Some(without_nul(self.extension(&header)?)),
                kind => return self.member(&header, kind, extension).map(Some),
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let skip = self.unread_bytes + self.padding_bytes;
        if io::copy(&mut (&mut self.inner).take(skip), &mut io::sink())? != skip {
            return Err(bad("ends in the middle of a member"));
        }
        self.position_bytes += skip;
        (self.unread_bytes, self.padding_bytes) = (0, 0);

        let mut header = Header::new_old();
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
        (&mut self.inner).take(BLOCK_BYTES).read_to_end(&mut block)?;
        match block.len() as u64 {
            0 => return Ok(None),
            BLOCK_BYTES => header.as_mut_bytes().copy_from_slice(&block),
            _ => return Err(bad("ends in the middle of a header")),
        }
        self.position_bytes += BLOCK_BYTES;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(block[i]) }).sum();
        if header.cksum()? != sum {
            return Err(bad("not a tar header: its checksum does not match"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        if size > EXTENSION_LIMIT_BYTES {
            return Err(bad(format!("an extension header of {size} bytes")));
        }
        self.expect(size);
        let mut bytes = Vec::with_capacity(size as usize);
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.unread_bytes = size;
        self.padding_bytes = (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES;
    }

    fn member(&mut self, header: &Header, kind: u8, extension: Extension) -> io::Result<Member> {
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link =
            extension.link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let kind = match kind {
            b'0' | b'7' | 0 if path.ends_with(b"/") => Kind::Folder,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::SymbolicLink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => return Err(bad(format!("{}: member type {:?}", lossy(&path), other as char))),
        };
        let size_bytes = match extension.size {
            Some(size) => size,
            None => header.entry_size()?,
        };
        if size_bytes > i64::MAX as u64 - BLOCK_BYTES {
            return Err(bad(format!("{}: a size of {size_bytes} bytes", lossy(&path))));
        }
        if kind != Kind::File && size_bytes != 0 {
            // Readers disagree whether content follows: one would see members another does not.
            return Err(bad(format!("{}: {kind:?} with {size_bytes} bytes of content", lossy(&path))));
        }
        self.expect(size_bytes);
        let modified = match extension.modified {
            Some(modified) => modified,
            None => (header.mtime()? as i64, 0),
        };
        let number = |value: io::Result<Option<u32>>| value.map(Option::unwrap_or_default);
        let device = match kind {
            Kind::CharacterDevice | Kind::BlockDevice => {
                (number(header.device_major())?, number(header.device_minor())?)
            }
            _ => (0, 0),
        };
        Ok(Member {
            path,
            kind,
            link,
            size_bytes,
            mode: header.mode()? & 0o7777,
            uid: extension.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extension.gid.map_or_else(|| header.gid(), Ok)?,
            modified,
            attributes: extension.attributes,
            device,
            offset_bytes: self.position_bytes,
        })
    }
}

struct Content<'a, R> {
    members: &'a mut Members<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.members.unread_bytes).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.members.inner.read(&mut buffer[..want])?;
        if n == 0 {
            return Err(bad("ends in the middle of a member"));
        }
        self.members.unread_bytes -= n as u64;
        self.members.position_bytes += n as u64;
        Ok(n)
    }
}

/// What extension headers say about the member that follows.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<(i64, u32)>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extension {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none() && self.attributes.is_empty()
    }

    fn pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        for record in records(bytes)? {
            let (key, value) = record;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(decimal(value)?),
                b"uid" => self.uid = Some(decimal(value)?),
                b"gid" => self.gid = Some(decimal(value)?),
                b"mtime" => self.modified = Some(seconds(value)?),
                _ if key.starts_with(b"GNU.sparse") => return Err(bad("sparse members are not supported")),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.attributes.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A global header that renames or resizes everything after it is an ambiguity nobody needs.
fn refuse_global(bytes: &[u8]) -> io::Result<()> {
    match records(bytes)?.iter().find(|(key, _)| matches!(*key, b"path" | b"linkpath" | b"size")) {
        Some((key, _)) => Err(bad(format!("a global pax header that sets {}", lossy(key)))),
        None => Ok(()),
    }
}

/// Records are `LENGTH KEY=VALUE\n`, the length counting all of it (pax, POSIX.1-2017).
fn records(mut bytes: &[u8]) -> io::Result<Vec<(&[u8], &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let space =
            bytes.iter().position(|b| *b == b' ').ok_or_else(|| bad("a pax record without a length"))?;
        let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| bad("a pax record too long"))?;
        let record = bytes.get(space + 1..length).ok_or_else(|| bad("a pax record with a wrong length"))?;
        let record = record.strip_suffix(b"\n").ok_or_else(|| bad("a pax record with a wrong length"))?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(|| bad("a pax record without ="))?;
        found.push((&record[..equals], &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Ok(found)
}

fn decimal(bytes: &[u8]) -> io::Result<u64> {
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| bad(format!("{:?} is not a number", lossy(bytes))))
}

/// Seconds since the epoch with any number of decimals; before it, the fraction counts downwards.
fn seconds(bytes: &[u8]) -> io::Result<(i64, u32)> {
    let wrong = || bad(format!("{:?} is not a time", lossy(bytes)));
    let (negative, rest) = bytes.strip_prefix(b"-").map_or((false, bytes), |rest| (true, rest));
    let (whole, fraction) = match rest.iter().position(|b| *b == b'.') {
        Some(dot) => (&rest[..dot], &rest[dot + 1..]),
        None => (rest, &rest[..0]),
    };
    let whole = i64::try_from(decimal(whole)?).map_err(|_| wrong())?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let nanos =
        (0..9).fold(0, |sum, i| sum * 10 + u32::from(fraction.get(i).map_or(0, |digit| digit - b'0')));
    Ok(match (negative, nanos) {
        (false, nanos) => (whole, nanos),
        (true, 0) => (-whole, 0),
        (true, nanos) => (-whole - 1, 1_000_000_000 - nanos),
    })
}

fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
