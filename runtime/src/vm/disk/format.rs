//! The file formats of disks.

/// What a disk file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DiskFormat {
    /// The bytes of the disk and nothing else.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// VMware's.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// Hyper-V's of today.
    Vhdx,
    /// Hyper-V's and Virtual PC's of old, and Azure's: VHD.
    Vpc,
}

impl DiskFormat {
    /// All of them.
    pub const ALL: [DiskFormat; 6] = [
        DiskFormat::Raw,
        DiskFormat::Qcow2,
        DiskFormat::Vmdk,
        DiskFormat::Vdi,
        DiskFormat::Vhdx,
        DiskFormat::Vpc,
    ];

    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
            DiskFormat::Vmdk => "vmdk",
            DiskFormat::Vdi => "vdi",
            DiskFormat::Vhdx => "vhdx",
            DiskFormat::Vpc => "vpc",
        }
    }

    /// The format called `name`.
    pub fn from_name(name: &str) -> Option<DiskFormat> {
        DiskFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    /// By the first bytes of a file (each format's magic, as qemu-img(1) looks for them).
    pub(super) fn of_head(head: &[u8]) -> DiskFormat {
        let has = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
        if has(0, b"QFI\xfb") {
            DiskFormat::Qcow2
        } else if has(0, b"KDMV") {
            DiskFormat::Vmdk
        } else if has(0x40, &0xbeda_107f_u32.to_le_bytes()) {
            DiskFormat::Vdi
        } else if has(0, b"vhdxfile") {
            DiskFormat::Vhdx
        } else if has(0, b"conectix") {
            DiskFormat::Vpc
        } else {
            DiskFormat::Raw
        }
    }
}
