//! Messages of the kernel's routing netlink: what is sent, and what comes back (netlink(7),
//! rtnetlink(7); Documentation/userspace-api/netlink/intro.rst).

/// Bytes of a message's header (struct nlmsghdr).
const HEADER: usize = 16;
/// Length and type of an attribute (struct rtattr).
const ATTRIBUTE: usize = 4;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_F_NET_BYTEORDER: u16 = 1 << 14;

/// One request, or several that are sent together.
#[derive(Debug, Default)]
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where the current message begins.
    begin: usize,
    /// Messages so far.
    pub(super) count: u32,
}

impl Request {
    /// Begins a message with its fixed part; `NLM_F_REQUEST` is added to the flags.
    pub(super) fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> &mut Request {
        self.begin = self.bytes.len();
        self.count += 1;
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend(fixed);
        self.close()
    }

    /// An attribute with a value.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Request {
        self.wrap(kind, |request| request.bytes.extend(value))
    }

    /// A string attribute, with the NUL behind it.
    pub(super) fn string(&mut self, kind: u16, value: &str) -> &mut Request {
        self.wrap(kind, |request| {
            request.bytes.extend(value.as_bytes());
            request.bytes.push(0);
        })
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) -> &mut Request {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// An attribute whose value is the attributes that `fill` appends.
    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) -> &mut Request {
        self.wrap(kind | NLA_F_NESTED, fill)
    }

    fn wrap(&mut self, kind: u16, fill: impl FnOnce(&mut Request)) -> &mut Request {
        let begin = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - begin) as u16;
        self.bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.close()
    }

    /// Bytes as they are, inside of an attribute.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Request {
        self.bytes.extend(bytes);
        self
    }

    /// Corrects the current message's length.
    fn close(&mut self) -> &mut Request {
        let length = (self.bytes.len() - self.begin) as u32;
        self.bytes[self.begin..self.begin + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One message of the kernel.
pub(super) struct Reply<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) body: &'a [u8],
}

/// The messages in what was received; it ends where one is shorter than it says.
pub(super) fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        let body = bytes.get(HEADER..length)?;
        let reply = Reply { kind: short(bytes, 4)?, flags: short(bytes, 6)?, body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

/// The attributes in `bytes`: type without its flags, and value.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const FLAGS: u16 = NLA_F_NESTED | NLA_F_NET_BYTEORDER;
    std::iter::from_fn(move || {
        let length = short(bytes, 0)? as usize;
        let value = bytes.get(ATTRIBUTE..length)?;
        let kind = short(bytes, 2)? & !FLAGS;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A string attribute's value.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut request = Request::default();
        request.message(16, 5, &[7; 16]).string(3, "eth0").nested(18, |inner| {
            inner.string(1, "veth").number(2, 9);
        });
        request.message(17, 0, &[1; 4]);
        let found: Vec<_> = replies(request.bytes()).collect();
        assert_eq!(found.iter().map(|reply| reply.kind).collect::<Vec<_>>(), [16, 17]);
        let outer: Vec<_> = attributes(&found[0].body[16..]).collect();
        assert_eq!((outer[0].0, text(outer[0].1)), (3, "eth0".to_owned()));
        let inner: Vec<_> = attributes(outer[1].1).collect();
        assert_eq!((outer[1].0, text(inner[0].1), number(inner[1].1, 0)), (18, "veth".to_owned(), Some(9)));
        assert_eq!(found[1].body, [1; 4]);
    }

    #[test]
    fn nonsense_ends_and_does_not_panic() {
        for length in 0..40 {
            let bytes = vec![0xff; length];
            assert_eq!(replies(&bytes).count() + attributes(&bytes).count(), 0);
            assert!(replies(&vec![0; length]).count() == 0);
        }
    }
}
