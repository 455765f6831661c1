//! Messages of netlink(7): the few that checks ask the kernel with, from inside and from the host.

use nix::libc;

/// NFNL_SUBSYS_NFTABLES and what it can be told (linux/netfilter/nfnetlink.h, nf_tables.h).
const NFTABLES: u16 = 10;
const NEWTABLE: u16 = NFTABLES << 8;
const GETTABLE: u16 = NFTABLES << 8 | 1;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
/// The table goes with the socket that has made it.
const TABLE_OWNER: u32 = 2;
/// NFPROTO_INET.
const FAMILY: u8 = 1;

/// All interfaces.
pub(super) fn links() -> Vec<u8> {
    message(libc::RTM_GETLINK, libc::NLM_F_DUMP, &[0; size_of::<libc::ifinfomsg>()], &[])
}

/// The loopback, which is number 1 and stays where it is, to the namespace of process 1.
pub(super) fn move_loopback() -> Vec<u8> {
    let mut fixed = [0; size_of::<libc::ifinfomsg>()];
    // Behind family, padding and type.
    fixed[4..8].copy_from_slice(&1i32.to_ne_bytes());
    let process = attribute(libc::IFLA_NET_NS_PID, &1u32.to_ne_bytes());
    message(libc::RTM_NEWLINK, libc::NLM_F_ACK, &fixed, &process)
}

/// All tables of rules.
pub(super) fn tables() -> Vec<u8> {
    message(GETTABLE, libc::NLM_F_DUMP, &general(0, 0), &[])
}

/// A new table without a rule.
pub(super) fn new_table(name: &str) -> Vec<u8> {
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    let mut attributes = attribute(TABLE_NAME, &text);
    attributes.extend(attribute(TABLE_FLAGS, &TABLE_OWNER.to_be_bytes()));
    let create = libc::NLM_F_CREATE | libc::NLM_F_ACK;
    [
        message(BATCH_BEGIN, 0, &general(0, NFTABLES), &[]),
        message(NEWTABLE, create, &general(FAMILY, 0), &attributes),
        message(BATCH_END, 0, &general(0, NFTABLES), &[]),
    ]
    .concat()
}

/// struct nfgenmsg: family, version 0, resource in network order.
fn general(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// struct nlmsghdr and what follows.
fn message(kind: u16, flags: libc::c_int, fixed: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = size_of::<libc::nlmsghdr>() + fixed.len() + attributes.len();
    let flags = (flags | libc::NLM_F_REQUEST) as u16;
    let mut bytes = (length as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence and port: one socket, one question.
    bytes.extend([0; 8]);
    bytes.extend(fixed);
    bytes.extend(attributes);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// struct nlattr and its value.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_they_say() {
        for (bytes, kinds) in [
            (links(), vec![libc::RTM_GETLINK]),
            (move_loopback(), vec![libc::RTM_NEWLINK]),
            (tables(), vec![GETTABLE]),
            (new_table("word"), vec![BATCH_BEGIN, NEWTABLE, BATCH_END]),
        ] {
            let (mut left, mut seen) = (bytes.as_slice(), Vec::new());
            while let Some((length, rest)) = left.split_first_chunk::<4>() {
                seen.push(u16::from_ne_bytes([rest[0], rest[1]]));
                left = &left[u32::from_ne_bytes(*length) as usize..];
            }
            assert_eq!(seen, kinds);
        }
    }
}
