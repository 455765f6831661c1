//! QEMU's firmware configuration device (docs/specs/fw_cfg.rst), read through its I/O ports: it is
//! there on every machine type and needs no driver.

/// Selector, 16 bits; the byte behind it is the data.
const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
/// Key of the directory: a count, then entries.
const DIRECTORY: u16 = 0x19;
/// No device has more files than this (FW_CFG_FILE_SLOTS_DFLT is 32).
const MAX_FILES: u32 = 1024;
/// No file of ours is longer.
const MAX_BYTES: usize = 1 << 20;

/// The device.
pub struct FwCfg(());

/// A file of the device.
#[derive(Clone, Copy)]
pub struct File {
    key: u16,
    size: usize,
}

impl FwCfg {
    /// Asks the kernel for the device's ports.
    pub fn open() -> Result<FwCfg, String> {
        // SAFETY: asks for access to two ports; nothing of this process's memory is touched.
        match unsafe { libc::ioperm(SELECTOR.into(), 2, 1) } {
            0 => Ok(FwCfg(())),
            _ => Err(format!("cannot use the ports of fw_cfg: {}", std::io::Error::last_os_error())),
        }
    }

    /// Looks a file up in the directory.
    pub fn find(&self, wanted: &str) -> Option<File> {
        self.select(DIRECTORY);
        let count = u32::from_be_bytes(self.read()).min(MAX_FILES);
        (0..count).find_map(|_| {
            let size = u32::from_be_bytes(self.read());
            let key = u16::from_be_bytes(self.read());
            let _reserved: [u8; 2] = self.read();
            let name: [u8; 56] = self.read();
            let end = name.iter().position(|byte| *byte == 0)?;
            (name[..end] == *wanted.as_bytes()).then_some(File { key, size: size as usize })
        })
    }

    /// All files.
    pub fn files(&self) -> Vec<File> {
        self.select(DIRECTORY);
        let count = u32::from_be_bytes(self.read()).min(MAX_FILES);
        let entries = (0..count).map(|_| {
            let size = u32::from_be_bytes(self.read());
            let key = u16::from_be_bytes(self.read());
            let _rest: [u8; 58] = self.read();
            File { key, size: size as usize }
        });
        entries.collect()
    }

    /// Whether the file begins with `start`.
    pub fn begins_with(&self, file: File, start: &[u8]) -> bool {
        self.select(file.key);
        start.iter().all(|byte| self.read::<1>()[0] == *byte)
    }

    /// Reads the whole file.
    pub fn content(&self, file: File) -> Vec<u8> {
        self.select(file.key);
        (0..file.size.min(MAX_BYTES)).map(|_| self.read::<1>()[0]).collect()
    }

    /// Reads a file that has no NUL, of whatever size: behind its end the device has nothing else.
    pub fn text(&self, file: File) -> Vec<u8> {
        self.select(file.key);
        (0..MAX_BYTES).map_while(|_| Some(self.read::<1>()[0]).filter(|byte| *byte != 0)).collect()
    }

    fn select(&self, key: u16) {
        // SAFETY: ioperm(2) granted this port; the instruction touches no memory.
        unsafe {
            std::arch::asm!("out dx, ax", in("dx") SELECTOR, in("ax") key, options(nomem, nostack, preserves_flags))
        };
    }

    fn read<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|_| {
            let byte: u8;
            // SAFETY: as above.
            unsafe {
                std::arch::asm!("in al, dx", in("dx") DATA, out("al") byte, options(nomem, nostack, preserves_flags))
            };
            byte
        })
    }
}
