//! The smallest programs, in machine code.

/// A processor that does nothing any more: `cli`, `hlt` and a jump to both.
pub const HALT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];

/// An ELF that begins with `code`, whoever starts it: Linux, or QEMU by its PVH entry
/// (xen/include/public/arch-x86/hvm/start_info.h).
pub fn program(code: &[u8]) -> Vec<u8> {
    const ENTRY: u32 = 0x10_0000 + CODE as u32;
    const NOTES: usize = 64 + 2 * 56;
    const CODE: usize = NOTES + 20;
    let end = (CODE + code.len()) as u64;
    let mut elf = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    // ET_EXEC, EM_X86_64, version, entry, program headers, sections, flags, sizes and counts.
    put(&[2, 0, 62, 0, 1, 0, 0, 0]);
    [u64::from(ENTRY), 64, 0].iter().for_each(|word| put(&word.to_le_bytes()));
    put(&[0; 4]);
    [64u16, 56, 2, 64, 0, 0].iter().for_each(|half| put(&half.to_le_bytes()));
    // PT_LOAD of the whole, PT_NOTE.
    for (kind, offset, at, length) in
        [(1u32, 0u64, 0x10_0000u64, end), (4, NOTES as u64, 0x10_0000 + NOTES as u64, 20)]
    {
        put(&kind.to_le_bytes());
        put(&7u32.to_le_bytes());
        [offset, at, at, length, length, 4].iter().for_each(|word| put(&word.to_le_bytes()));
    }
    [4u32, 4, 18].iter().for_each(|word| put(&word.to_le_bytes()));
    put(b"Xen\0");
    put(&ENTRY.to_le_bytes());
    put(code);
    elf
}
