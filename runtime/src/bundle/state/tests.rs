use super::*;

fn record(id: &str) -> Record {
    Record {
        id: id.into(),
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        created: "2026-01-01T00:00:00Z".into(),
        owner_uid: 0,
        is_created: true,
        init: None,
        master: None,
        cgroup: Some("bench-oci/x".into()),
        config: Spec::default(),
    }
}

#[test]
fn names_are_harmless_and_taken_once() {
    let place = tempfile::tempdir().unwrap();
    let root = Root::new(Some(place.path()));
    for id in ["", ".", "..", "a/b", "a b", "ä", "a\n", &"x".repeat(256)] {
        let error = root.create(id).unwrap_err().to_string();
        assert!(error.contains("is not 1 to 255 of letters"), "{error}");
    }
    let folder = root.create("a_1+b-c.d").unwrap();
    assert!(root.create("a_1+b-c.d").unwrap_err().to_string().contains("exists already"));
    assert_eq!(root.list().unwrap(), ["a_1+b-c.d"]);
    folder.remove().unwrap();
    assert!(root.find("a_1+b-c.d").unwrap_err().to_string().contains("does not exist"));
    assert_eq!(root.list().unwrap(), [""; 0]);
}

#[test]
fn what_is_written_is_read() {
    let place = tempfile::tempdir().unwrap();
    let folder = Root::new(Some(place.path())).create("x").unwrap();
    assert!(folder.read().unwrap().is_none());
    folder.write(&record("x")).unwrap();
    let read = folder.read().unwrap().unwrap();
    assert_eq!((read.id.as_str(), read.is_created), ("x", true));
    assert_eq!(read.config, Spec::default());
    std::fs::write(folder.path().join("state.json"), "{").unwrap();
    assert!(folder.read().unwrap_err().to_string().contains("is no record"));
}

#[test]
fn the_status_is_what_the_kernel_knows() {
    let place = tempfile::tempdir().unwrap();
    let folder = Root::new(Some(place.path())).create("x").unwrap();
    let mut record = Record { is_created: false, ..record("x") };
    assert_eq!(folder.status(&record), Status::Creating);
    record.is_created = true;
    assert_eq!(folder.status(&record), Status::Stopped);
    // A process that has the pipe open, as init at its gate, then one that has not.
    let gate = folder.make_gate().unwrap();
    record.init = Some(InitProcess::of(std::process::id() as i32).unwrap());
    assert_eq!(folder.status(&record), Status::Created);
    drop(gate);
    assert_eq!(folder.status(&record), Status::Running);
    let state = record.state(Status::Stopped);
    assert_eq!((state.pid, state.bundle.to_str()), (0, Some("/b")));
}
