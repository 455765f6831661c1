//! Makes an image of Debian packages with mmdebstrap(1), from the sources the host's own apt uses.
//!
//! The same packages give the same image: what is made on the way carries the time of
//! SOURCE_DATE_EPOCH (reproducible-builds.org), else of the day's beginning in UTC, and what
//! mmdebstrap takes from the host (its name, its resolver) is taken out again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::digest::Digest;
use super::document::Platform;
use super::store::Store;
use super::{Error, Image, import, resolve};

mod apt;

const PROGRAM: &str = "mmdebstrap";
/// mmdebstrap's variants, from nothing but the packages named to a whole Debian.
pub const VARIANTS: [&str; 9] =
    ["extract", "custom", "essential", "apt", "minbase", "buildd", "important", "debootstrap", "standard"];
/// What makes a root file system boot: init, devices, the bus services expect, addresses.
const INIT: [&str; 5] = ["systemd-sysv", "udev", "dbus", "iproute2", "kmod"];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Takes out what mmdebstrap copies from the host.
const WITHOUT_HOST: &str = r#"rm -f "$1/etc/hostname" "$1/etc/resolv.conf""#;
const DAY_S: u64 = 86_400;
/// Lines of what mmdebstrap said that an error repeats.
const LAST_WORDS: usize = 6;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Packages, as apt takes them (`name`, `name=version`, `name/suite`).
    pub packages: Vec<String>,
    /// What to call it; else after its packages.
    pub name: Option<String>,
    /// Another release than the host's, by its code name.
    pub suite: Option<String>,
    /// One of [`VARIANTS`]; `minbase` where empty.
    pub variant: String,
    /// With what a virtual machine needs to boot it.
    pub includes_init: bool,
    /// The part of the command that arguments do not replace.
    pub entrypoint: Vec<String>,
    /// The part that they do.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Who it runs as.
    pub user: Option<String>,
    /// Where it starts.
    pub working_directory: Option<String>,
}

impl Store {
    /// Makes the image and unpacks it; `say` is told how it goes, a line at a time.
    ///
    /// # Errors
    /// Options that make no sense, mmdebstrap missing or failing (with what it said), or what the
    /// system said. The store is as it was then.
    pub fn build(&self, options: &BuildOptions, say: &mut dyn FnMut(&str)) -> Result<Image, Error> {
        options.check()?;
        let folders = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&folders).any(|folder| folder.join(PROGRAM).is_file()) {
            return Err(Error::Missing { program: PROGRAM.into() });
        }
        let _nothing_is_removed_now = self.lock_shared()?;
        let epoch_s = source_date_epoch()?;
        let temporary = self.temporary();
        temporary.create_folder()?;
        let sources = apt::sources(Path::new("/etc/apt"), options.suite.as_deref(), &temporary.path)?;
        let mut child = options
            .command(&temporary.path, epoch_s, &sources)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (layer, size_bytes) = self.take(&mut child, say)?;
        let config = options.config(&layer, epoch_s).to_string().into_bytes();
        let name = options.name.clone().unwrap_or_else(|| options.packages.join("-"));
        let layers = vec![import::info(&layer, &layer, size_bytes)];
        let listed = import::composed(self, vec![name.clone()], &config, &[layer], layers)?;
        resolve::ready(&name, listed, self)
    }

    /// The archive from its output into the store, and its log to `say`.
    fn take(&self, child: &mut Child, say: &mut dyn FnMut(&str)) -> Result<(Digest, u64), Error> {
        let piped = || failed("its output could not be taken".into());
        let (out, log) = (child.stdout.take().ok_or_else(piped)?, child.stderr.take().ok_or_else(piped)?);
        let (kept, last_words) = std::thread::scope(|scope| {
            let archive = scope.spawn(move || import::keep(self, (Box::new(out), None), PROGRAM, None));
            let mut last_words = Vec::new();
            for line in BufReader::new(log.take(64 << 20)).lines().map_while(Result::ok) {
                say(&line);
                last_words.push(line);
                if last_words.len() > LAST_WORDS {
                    last_words.remove(0);
                }
            }
            (archive.join(), last_words)
        });
        let status = child.wait().map_err(|error| failed(error.to_string()))?;
        let kept = kept.map_err(|_| failed("its output could not be kept".into()))?;
        if !status.success() {
            // Where the store refused its output, that is the reason.
            kept?;
            return Err(failed(format!("{status}\n{}", last_words.join("\n"))));
        }
        kept
    }
}

fn failed(why: String) -> Error {
    Error::Program { program: PROGRAM.into(), why }
}

fn source_date_epoch() -> Result<u64, Error> {
    let variable = "SOURCE_DATE_EPOCH";
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .map_err(|_| Error::malformed(variable, format!("{text:?} is not a number of seconds"))),
        Err(_) => {
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            Ok(now_s - now_s % DAY_S)
        }
    }
}

impl BuildOptions {
    fn check(&self) -> Result<(), Error> {
        let is_package = |name: &String| {
            name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.~:=/_".contains(&b))
        };
        if let Some(bad) = self.packages.iter().find(|name| !is_package(name)) {
            return Err(Error::malformed(format!("package {bad:?}"), "is not the name of a package"));
        }
        if self.packages.is_empty() {
            return Err(Error::malformed("packages", "name at least one"));
        }
        if !self.variant.is_empty() && !VARIANTS.contains(&self.variant.as_str()) {
            let why = format!("there is none; there are {}", VARIANTS.join(", "));
            return Err(Error::malformed(format!("variant {:?}", self.variant), why));
        }
        if let Some(bad) = self.environment.iter().find(|pair| pair.find('=').is_none_or(|at| at == 0)) {
            return Err(Error::malformed(format!("environment {bad:?}"), "is not NAME=value"));
        }
        Ok(())
    }

    fn variant(&self) -> &str {
        if self.variant.is_empty() { "minbase" } else { &self.variant }
    }

    /// mmdebstrap in a process and mount namespace of its own where this is root, so that all it
    /// starts and mounts ends with it, and it with us.
    fn command(&self, folder: &Path, epoch_s: u64, sources: &[PathBuf]) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if is_root {
            command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
            // Swept with the store's other leavings, should this be killed. An ordinary user's
            // mmdebstrap works as other users, who cannot enter here.
            command.env("TMPDIR", folder);
        }
        let mut packages = self.packages.clone();
        if self.includes_init {
            packages.extend(INIT.iter().map(|name| (*name).to_owned()));
        }
        command.arg(PROGRAM).arg(format!("--variant={}", self.variant()));
        command.arg(format!("--include={}", packages.join(",")));
        command.args(["--format=tar", "--skip=output/dev"]);
        // Only what has maintainer scripts gets as far as the last hook.
        let last = if self.variant() == "extract" { "extract" } else { "customize" };
        command.arg(format!("--{last}-hook={WITHOUT_HOST}"));
        command.arg(self.suite.as_deref().unwrap_or_default()).arg("-").args(sources);
        command.env("SOURCE_DATE_EPOCH", epoch_s.to_string()).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn config(&self, layer: &Digest, epoch_s: u64) -> Value {
        let platform = Platform::host();
        let mut environment = vec![PATH.to_owned()];
        environment.extend(self.environment.iter().cloned());
        let mut command = self.command.clone();
        if self.includes_init && command.is_empty() && self.entrypoint.is_empty() {
            command = vec!["/sbin/init".into()];
        }
        let mut execution = json!({
            "Env": environment,
            "WorkingDir": self.working_directory.as_deref().unwrap_or("/"),
        });
        if !self.entrypoint.is_empty() {
            execution["Entrypoint"] = json!(self.entrypoint);
        }
        if !command.is_empty() {
            execution["Cmd"] = json!(command);
        }
        if let Some(user) = &self.user {
            execution["User"] = json!(user);
        }
        json!({
            "created": crate::clock::rfc3339(epoch_s),
            "architecture": platform.architecture,
            "os": platform.os,
            "config": execution,
            "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
        })
    }
}
