use super::*;

const MEMORY_BYTES: u64 = 3 << 20;

fn saved(letter: u8) -> Result<Saved, Error> {
    let mut memory = vec![0; MEMORY_BYTES as usize];
    memory[5000] = letter;
    memory[(2 << 20) + 1] = letter;
    let sealed = |name, bytes: &[u8]| file::sealed(name, bytes).map_err(Error::system("seal"));
    Ok(Saved { memory: sealed("memory", &memory)?, state: sealed("state", b"devices")? })
}

fn no_need() -> Result<Saved, Error> {
    Err(Error::Invalid("it should not have been made".into()))
}

fn content(fd: &OwnedFd) -> Vec<u8> {
    fs::read(file::path_of(fd.as_fd())).expect("read")
}

#[test]
fn a_template_is_made_once_and_comes_back_the_same_and_sparse() {
    let folder = tempfile::tempdir().expect("folder");
    let made = get_or_make(folder.path(), "k", MEMORY_BYTES, || saved(b'a')).expect("made");
    assert_eq!(made.origin, "made for this run");
    let again = get_or_make(folder.path(), "k", MEMORY_BYTES, no_need).expect("kept");
    assert!(again.origin.contains("verified"), "{}", again.origin);
    assert_eq!(
        (content(&made.memory), content(&made.state)),
        (content(&again.memory), content(&again.state))
    );
    assert_eq!(again.state_bytes, 7);
    let occupied = rustix::fs::fstat(&again.memory).expect("there").st_blocks * 512;
    assert!(occupied <= 4 * 4096, "{occupied}");
    // Sealed: nothing writes to it, whoever opens it for writing.
    let mut writable = File::options().write(true).open(file::path_of(again.memory.as_fd())).expect("opened");
    assert!(writable.write_all(b"x").is_err());
}

#[test]
fn a_template_with_one_wrong_byte_is_refused_and_made_again() {
    for name in ["memory", "state"] {
        let folder = tempfile::tempdir().expect("folder");
        get_or_make(folder.path(), "k", MEMORY_BYTES, || saved(b'a')).expect("made");
        let path = folder.path().join("k").join(name);
        let mut bytes = fs::read(&path).expect("read");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");
        let error = get_or_make(folder.path(), "k", MEMORY_BYTES, no_need).expect_err("refused");
        assert!(error.to_string().contains("should not have been made"), "{error}");
        // It is gone: the next run makes it.
        let made = get_or_make(folder.path(), "k", MEMORY_BYTES, || saved(b'b')).expect("made");
        assert_eq!(made.origin, "made for this run");
    }
    let folder = tempfile::tempdir().expect("folder");
    get_or_make(folder.path(), "k", MEMORY_BYTES, || saved(b'a')).expect("made");
    fs::write(folder.path().join("k/state"), "devicez").expect("written");
    let made = get_or_make(folder.path(), "k", MEMORY_BYTES, || saved(b'b')).expect("made");
    assert!(made.origin.contains("refused") && made.origin.contains("state"), "{}", made.origin);
    assert_eq!(content(&made.memory)[5000], b'b');
}

#[test]
fn a_foreign_truncated_or_writable_template_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |key: &str| folder.path().join(key);
    get_or_make(folder.path(), "other", MEMORY_BYTES, || saved(b'a')).expect("made");
    let refused = |key: &str| {
        let made = get_or_make(folder.path(), key, MEMORY_BYTES, || saved(b'b')).expect("made");
        assert!(made.origin.contains("refused"), "{}", made.origin);
        assert_eq!(content(&made.memory)[5000], b'b');
        made.origin
    };
    fs::rename(path("other"), path("k")).expect("moved");
    assert!(refused("k").contains("another configuration"));
    let memory = File::options().write(true).open(path("k").join("memory")).expect("opened");
    memory.set_len(MEMORY_BYTES - 4096).expect("truncated");
    refused("k");
    memory.set_len(1 << 30).expect("extended");
    fs::write(path("k").join("manifest.json"), "{}").expect("written");
    assert!(refused("k").contains("manifest"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(path("k"), mode).expect("mode");
    assert!(refused("k").contains("others can write"));
    // What it left half done is no obstacle.
    fs::create_dir(path("k").with_extension("new")).expect("made");
    fs::write(path("k").join("state"), "x").expect("written");
    refused("k");
    assert!(get_or_make(folder.path(), "k", MEMORY_BYTES, no_need).is_ok());
}

#[test]
fn those_not_used_for_long_go_first() {
    let folder = tempfile::tempdir().expect("folder");
    for number in 0..BOUNDS.count + 3 {
        get_or_make(folder.path(), &format!("k{number}"), MEMORY_BYTES, || saved(b'a')).expect("made");
        let manifest = folder.path().join(format!("k{number}/manifest.json"));
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000 - number as u64);
        File::options()
            .append(true)
            .open(manifest)
            .and_then(|file| file.set_modified(long_ago))
            .expect("set");
        // Used again and again.
        get_or_make(folder.path(), "k0", MEMORY_BYTES, no_need).expect("kept");
    }
    let kept = |number: usize| folder.path().join(format!("k{number}")).exists();
    assert!(kept(0) && !kept(1) && !kept(2) && !kept(3) && kept(4) && kept(BOUNDS.count + 2));
}

#[test]
fn two_at_once_make_it_once() {
    let folder = tempfile::tempdir().expect("folder");
    let made = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                get_or_make(folder.path(), "k", MEMORY_BYTES, || {
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    saved(b'a')
                })
                .expect("got");
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

/// Each file of a template in its turn has no room; the run has its template all the same, and the next one
/// makes its own.
#[test]
fn a_template_without_room_is_used_and_not_kept() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small file system to fill");
        return;
    }
    // Two pages of memory, one of state, one of the manifest.
    for size in [c"size=4k", c"size=8k", c"size=12k"] {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().to_owned();
        let tried = std::thread::spawn(move || {
            crate::vm::disk::tests::mount_small(&path, size);
            let made = get_or_make(&path, "k", MEMORY_BYTES, || saved(b'a')).expect("made");
            assert_eq!(content(&made.memory)[5000], b'a');
            assert!(
                made.origin.starts_with("made for this run; it could not be kept: cannot keep the template ")
                    && made.origin.contains("No space left on device")
                    && made.origin.contains("make room there"),
                "{}",
                made.origin
            );
            let left = fs::read_dir(&path).expect("listed").map(|entry| entry.expect("read").file_name());
            assert_eq!(left.collect::<Vec<_>>(), ["lock"]);
            let flags = rustix::mount::MountFlags::empty();
            rustix::mount::mount_remount(&path, flags, c"size=16k").expect("more room");
            let made = get_or_make(&path, "k", MEMORY_BYTES, || saved(b'b')).expect("made");
            assert_eq!(made.origin, "made for this run");
            get_or_make(&path, "k", MEMORY_BYTES, no_need).expect("kept");
        });
        tried.join().unwrap_or_else(|_| panic!("{size:?}"));
    }
}
