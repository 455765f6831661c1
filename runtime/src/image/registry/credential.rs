//! Who to be at a registry: what `docker login` has kept (docker's config.json: auths,
//! credHelpers, credsStore).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// How long a helper may take; some unlock a key ring by asking.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// What a helper calls the user of a token that is no password.
const TOKEN_USER: &str = "<token>";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// What is known for `host`; anonymous where nothing is.
///
/// # Errors
/// A configuration or a helper that cannot be understood, named; never with a secret in it.
pub(super) fn find(host: &str) -> Result<RegistryAuth, String> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    match folder {
        Some(folder) => find_in(&folder.join("config.json"), host),
        None => Ok(RegistryAuth::Anonymous),
    }
}

fn find_in(path: &Path, host: &str) -> Result<RegistryAuth, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
    };
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let is_host = |key: &String| bare(key) == host;
    if let Some((key, helper)) = config.cred_helpers.iter().find(|(key, _)| is_host(key)) {
        return ask(helper, key);
    }
    let entry = config.auths.iter().find(|(key, _)| is_host(key));
    let complain = |what: &str| format!("{}: auths.{host}: {what}", path.display());
    match (entry, &config.creds_store) {
        // With a store, the entry only says that there is something in it.
        (Some((key, entry)), Some(store)) if entry.auth.is_none() => ask(store, key),
        (Some((_, entry)), _) => of_entry(entry).map_err(complain),
        (None, Some(store)) => ask(store, host),
        (None, None) => Ok(RegistryAuth::Anonymous),
    }
}

/// `https://host/v1/` and `host` are the same registry.
fn bare(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

fn of_entry(entry: &Entry) -> Result<RegistryAuth, &'static str> {
    if let Some(token) = entry.registry_token.clone().filter(|token| !token.is_empty()) {
        return Ok(RegistryAuth::Bearer(token));
    }
    if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) {
        let bytes = STANDARD.decode(auth).map_err(|_| "auth is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
        let (user, password) = text.split_once(':').ok_or("auth is not `user:password`")?;
        return Ok(RegistryAuth::Basic(user.into(), password.trim_end_matches('\0').into()));
    }
    match (&entry.username, &entry.password) {
        (Some(user), Some(password)) => Ok(RegistryAuth::Basic(user.clone(), password.clone())),
        _ if entry.identity_token.is_some() => Err("identity tokens are not supported"),
        _ => Ok(RegistryAuth::Anonymous),
    }
}

/// Asks `docker-credential-HELPER` (docker-credential-helpers' protocol).
fn ask(helper: &str, server: &str) -> Result<RegistryAuth, String> {
    if helper.is_empty() || helper.contains('/') {
        return Err(format!("{helper:?} is not the name of a credential helper"));
    }
    call(Path::new(&format!("docker-credential-{helper}")), server)
}

fn call(program: &Path, server: &str) -> Result<RegistryAuth, String> {
    let failed = |why: String| format!("{}: {why}", program.display());
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not want to hear it says so by its exit status.
        let _ = stdin.write_all(server.as_bytes());
    }
    let deadline = Instant::now() + HELPER_TIMEOUT;
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("no answer within {} s", HELPER_TIMEOUT.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(1 << 20).read_to_end(&mut answer).map_err(|error| failed(error.to_string()))?;
    }
    if !status.success() {
        // The protocol's way to say that it knows nothing.
        if String::from_utf8_lossy(&answer).contains("not found") {
            return Ok(RegistryAuth::Anonymous);
        }
        return Err(failed(format!("{status}")));
    }
    let helped: Helped =
        serde_json::from_slice(&answer).map_err(|_| failed("its answer is no JSON".into()))?;
    if helped.username == TOKEN_USER {
        return Err(failed("identity tokens are not supported".into()));
    }
    Ok(RegistryAuth::Basic(helped.username, helped.secret))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(config: &str, host: &str) -> Result<RegistryAuth, String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("config.json");
        fs::write(&path, config).expect("config");
        find_in(&path, host)
    }

    #[test]
    fn what_login_has_kept_is_found() {
        let basic = |user: &str, password: &str| Ok(RegistryAuth::Basic(user.into(), password.into()));
        let auth = r#"{"auths": {"https://index.example/v1/": {"auth": "bWU6cGE6c3M="}, "b:5000": {"username": "u", "password": "p"}}}"#;
        assert_eq!(found(auth, "index.example"), basic("me", "pa:ss"));
        assert_eq!(found(auth, "b:5000"), basic("u", "p"));
        assert_eq!(found(auth, "b"), Ok(RegistryAuth::Anonymous));
        assert_eq!(found("{}", "b"), Ok(RegistryAuth::Anonymous));
        assert_eq!(find_in(Path::new("/no/such/config"), "b"), Ok(RegistryAuth::Anonymous));
        let token = r#"{"auths": {"b": {"registrytoken": "t"}}}"#;
        assert_eq!(found(token, "b"), Ok(RegistryAuth::Bearer("t".into())));
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        for (config, says) in [
            ("{", "config.json"),
            (r#"{"auths": {"b": {"auth": "!secret"}}}"#, "auths.b: auth is not base64"),
            (r#"{"auths": {"b": {"auth": "c2VjcmV0"}}}"#, "user:password"),
            (r#"{"auths": {"b": {"identitytoken": "secret"}}}"#, "identity"),
            (r#"{"credHelpers": {"b": "no-such-helper-here"}}"#, "docker-credential-no-such-helper-here"),
            (r#"{"credsStore": "../x"}"#, "not the name"),
        ] {
            let error = found(config, "b").expect_err(config);
            assert!(error.contains(says) && !error.contains("secret\""), "{config}: {error}");
        }
    }

    #[test]
    fn a_helper_is_asked() {
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("docker-credential-mine");
        let script =
            "#!/bin/sh\nhost=$(cat)\necho '{\"Username\": \"u\", \"Secret\": \"for '\"$host\"'\"}'\n";
        fs::write(&program, script).expect("helper");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        assert_eq!(call(&program, "b"), Ok(RegistryAuth::Basic("u".into(), "for b".into())));
        let unknown = "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n";
        fs::write(&program, unknown).expect("helper");
        assert_eq!(call(&program, "b"), Ok(RegistryAuth::Anonymous));
        fs::write(&program, "#!/bin/sh\nexit 3\n").expect("helper");
        assert!(call(&program, "b").is_err_and(|error| error.contains("exit status: 3")));
    }
}
