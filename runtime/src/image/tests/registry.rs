//! Images from a registry: Debian's docker-registry, started on this host's loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::build::{file, gzip, layout, tar, write};
use crate::image::digest::Digest;
use crate::image::{Error, Image, Store};

/// `me` with the password `secret`, by bcrypt.
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

struct Running {
    child: Child,
    host: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: {program} is not installed");
    }
    found.is_ok()
}

fn start(folder: &Path, asks_for_password: bool) -> Option<Running> {
    if !has("docker-registry") || !has("skopeo") || !has("setpriv") {
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("port").port();
    let host = format!("127.0.0.1:{port}");
    let storage = folder.join("registry");
    let mut config = json!({
        "version": 0.1, "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": host},
    });
    if asks_for_password {
        fs::write(folder.join("htpasswd"), HTPASSWD).expect("htpasswd");
        config["auth"] = json!({"htpasswd": {"realm": "test", "path": folder.join("htpasswd")}});
    }
    // JSON is YAML.
    fs::write(folder.join("registry.yml"), config.to_string()).expect("config");
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
        .arg(folder.join("registry.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("registry");
    let running = Running { child, host };
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&running.host).is_err() {
        assert!(Instant::now() < deadline, "the registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(running)
}

fn push(folder: &Path, running: &Running, name: &str, options: &[&str]) {
    let pushed = Command::new("skopeo")
        .args(["copy", "--all", "--dest-tls-verify=false", "--insecure-policy"])
        .args(options)
        .arg(format!("oci:{}", folder.join("layout").display()))
        .arg(format!("docker://{}/{name}", running.host))
        .output()
        .expect("skopeo");
    assert!(pushed.status.success(), "{pushed:?}");
}

/// A layout whose only entry is an index: one image for another machine, then ours.
fn put_layout(folder: &Path) -> String {
    let layers = [tar(&[file("bin/app", b"1")]), tar(&[file("etc/two", &[7; 100_000])])];
    let delivered: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let mut made = layout(&layers, &delivered, "+gzip");
    let index: serde_json::Value = made
        .parts
        .iter()
        .find(|(name, _)| name == "index.json")
        .map(|(_, bytes)| serde_json::from_slice(bytes).expect("index"))
        .expect("index");
    let mut ours = index["manifests"][2].clone();
    ours.as_object_mut().expect("descriptor").remove("annotations");
    let mut foreign = ours.clone();
    foreign["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let list = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [foreign, ours],
    })
    .to_string()
    .into_bytes();
    let digest = Digest::of(&list);
    let top = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": list.len(),
    }]});
    made.parts.retain(|(name, _)| name != "index.json");
    made.parts.push((format!("blobs/sha256/{}", digest.hex()), list));
    made.parts.push(("index.json".into(), top.to_string().into_bytes()));
    write(&folder.join("layout"), &made.parts);
    made.manifest
}

#[test]
fn a_list_of_manifests_gives_the_one_for_this_machine() {
    let here = tempfile::tempdir().expect("folder");
    let Some(running) = start(here.path(), false) else { return };
    let digest = put_layout(here.path());
    push(here.path(), &running, "some/app:1", &[]);
    let store = Store::open(&here.path().join("store")).expect("store");
    let name = format!("{}/some/app:1", running.host);
    let image = Image::resolve(&format!("docker://{name}"), &store).expect("image");
    assert_eq!(image.digest, digest);
    assert_eq!(fs::read(image.rootfs.as_ref().expect("files").join("bin/app")).expect("app"), b"1");
    assert_eq!(Image::resolve(&name, &store).expect("from the store").digest, digest);
    let by_digest = format!("docker://{}/some/app@{digest}", running.host);
    assert_eq!(Image::resolve(&by_digest, &store).expect("by digest").digest, digest);

    for (reference, says) in [
        (format!("docker://{}/some/app:2", running.host), "unknown"),
        (format!("docker://{}/no/such:1", running.host), "unknown"),
        (format!("docker://{}/Bad Name", running.host), "invalid reference"),
        ("docker://127.0.0.1:1/app:1".to_owned(), "refused"),
    ] {
        let error = Image::resolve(&reference, &store).expect_err(&reference);
        assert!(matches!(error, Error::Registry { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&reference) && text.to_lowercase().contains(says), "{says}: {text}");
    }
}

#[test]
fn what_a_registry_has_altered_is_refused() {
    let here = tempfile::tempdir().expect("folder");
    let Some(running) = start(here.path(), false) else { return };
    put_layout(here.path());
    push(here.path(), &running, "app:1", &[]);
    // The registry hands out what lies on its disk, without looking.
    let blobs = here.path().join("registry/docker/registry/v2/blobs/sha256");
    let mut changed = 0;
    for entry in fs::read_dir(&blobs)
        .expect("blobs")
        .flat_map(|e| fs::read_dir(e.expect("entry").path()).expect("blobs"))
    {
        let path = entry.expect("entry").path().join("data");
        let mut bytes = fs::read(&path).expect("blob");
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).expect("altered");
            changed += 1;
        }
    }
    assert_eq!(changed, 2);
    let store = Store::open(&here.path().join("store")).expect("store");
    let error = Image::resolve(&format!("docker://{}/app:1", running.host), &store).expect_err("altered");
    assert!(
        error.to_string().to_lowercase().contains("digest") || matches!(error, Error::DigestMismatch { .. }),
        "{error}"
    );
    assert!(store.list().expect("list").is_empty());
    assert_eq!(fs::read_dir(here.path().join("store/rootfs/sha256")).expect("list").count(), 0);
}

#[test]
fn a_registry_that_asks_gets_what_login_has_kept() {
    let here = tempfile::tempdir().expect("folder");
    let Some(running) = start(here.path(), true) else { return };
    let digest = put_layout(here.path());
    push(here.path(), &running, "app:1", &["--dest-creds", "me:secret"]);
    // The environment is every test's, so this is asked of a process with its own.
    let config = here.path().join("docker");
    fs::create_dir(&config).expect("folder");
    let ask = |auths: serde_json::Value| {
        fs::write(config.join("config.json"), json!({"auths": auths}).to_string()).expect("config");
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "image::tests::registry::helper", "--nocapture", "--include-ignored"])
            .env("DOCKER_CONFIG", &config)
            .env("TEST_REFERENCE", format!("docker://{}/app:1", running.host))
            .env("TEST_STORE", here.path().join("store"))
            .output()
            .expect("called")
    };
    let said = ask(json!({}));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("docker login") && !text.contains(&digest), "{text}");
    let said = ask(json!({ &running.host: {"auth": "bWU6d3Jvbmc="} }));
    assert!(String::from_utf8_lossy(&said.stdout).contains("docker login"), "{said:?}");
    let said = ask(json!({ &running.host: {"auth": "bWU6c2VjcmV0"} }));
    assert!(String::from_utf8_lossy(&said.stdout).contains(&digest), "{said:?}");
}

/// Not a test of its own: the process of the one above.
#[test]
#[ignore = "is called by another test, with an environment of its own"]
fn helper() {
    let variable = |name| std::env::var(name).expect(name);
    let store = Store::open(Path::new(&variable("TEST_STORE"))).expect("store");
    match Image::resolve(&variable("TEST_REFERENCE"), &store) {
        Ok(image) => println!("{}", image.digest),
        Err(error) => println!("{error}"),
    }
}
