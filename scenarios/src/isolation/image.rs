//! Images that lead astray who starts them: an instance is started from one, or refused, and nothing outside
//! may have changed by it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use guest::probe::{Observation, Request};
use runtime::image::Image;
use runtime::{Backend, InstanceName, Limits, Prepared, RunContext};

use sha2::{Digest, Sha256};

use super::check::{Check, Expect, Finding, HostileImage, MadeOf, Seen, Watched};
use super::judge;
use super::layers;
use super::nonce::{Nonce, Plots};
use super::round::{Outcome, Place};
use super::start::{Started, start};

/// Carries out a check that brings an image.
pub(super) fn attempt(
    check: &Check,
    image: &HostileImage,
    backend: &dyn Backend,
    context: &RunContext,
    place: &Place<'_>,
) -> Outcome {
    if let Expect::Pointless(why) = (check.expect)(place.kind) {
        return Outcome { finding: Finding::Absent(why.into()), ..Outcome::failed(why) };
    }
    let ground = match Ground::lay(image, place.plots) {
        Ok(ground) => ground,
        Err(error) => return Outcome::failed(&format!("the image cannot be made: {error}")),
    };
    let prepared =
        ground.image().and_then(|files| backend.prepare(context, &files).map_err(|error| error.to_string()));
    let ask = |prepared: &dyn Prepared, index, requests: &[Request]| {
        let name = InstanceName { storm: place.number, index };
        let started = start(prepared, name, requests, Limits::default(), place.timeout, place.stop);
        let started = started.map_err(|error| error.to_string())?;
        match started.trouble.is_empty() {
            true => Ok(started),
            false => {
                let trouble = started.trouble.clone();
                started.stop();
                Err(trouble)
            }
        }
    };
    let exchange = ground.exchanged().map(Exchange::begin);
    let began = prepared.and_then(|prepared| {
        // Who races has to be lucky: several times.
        for at in (0..exchange.as_ref().map_or(0, |_| TRIES)).take_while(|_| !place.stop.requested()) {
            if let Ok(started) = ask(prepared.as_ref(), 3 + at, &changes()) {
                started.stop();
            }
        }
        let changer = ask(prepared.as_ref(), 1, &changes())?;
        // While the first one has changed them, or has tried to.
        let sibling = ask(prepared.as_ref(), 2, &looks());
        let answers = |started: &Started| started.observations.iter().flatten().cloned().collect::<Vec<_>>();
        let seen = (answers(&changer), sibling.as_ref().map(answers).unwrap_or_default());
        sibling?.stop();
        changer.stop();
        Ok(seen)
    });
    let exchanged = exchange.map(Exchange::end);
    let said = match &began {
        Ok((changed, _)) => format!("it started; writing {CHANGED} said {}", told(changed.first())),
        Err(why) => format!("it did not start: {why}"),
    };
    let said = match exchanged {
        None => said,
        Some(0) => return Outcome::failed("nothing has changed places"),
        Some(times) => format!("{said}; {times} changes of place beside {TRIES} starts"),
    };
    let finding = match (ground.found(&said), &began, image.watched) {
        (Finding::Apart(_), Err(_), Watched::Files) => Finding::Broken(said.clone()),
        (Finding::Apart(_), Ok((_, seen)), Watched::Files) if !is_as_it_was(seen) => {
            Finding::Open(format!("{said}; a sibling sees {seen:?}"))
        }
        (found, ..) => found,
    };
    Outcome {
        finding,
        // Who is refused says nothing; the host's folder is what speaks.
        answered: Ok(began.as_ref().map_or(0, |(changed, seen)| (changed.len() + seen.len()) as u32)),
        witness: Ok(format!("{} of the host is listed before and after", ground.watched().display())),
        own: None,
        evidence: serde_json::json!({ "before": ground.before, "after": ground.listed(), "start": said })
            .to_string(),
    }
}

/// A file an image may have, and what is done to it and beside it.
const CHANGED: &str = "/data/file";

fn changes() -> Vec<Request> {
    vec![
        Request::Write { path: CHANGED.into(), text: "changed".into() },
        Request::Create { path: "/data/new".into() },
    ]
}

fn looks() -> Vec<Request> {
    vec![Request::Read { path: CHANGED.into(), most: 64 }, Request::List { path: "/data".into() }]
}

fn is_as_it_was(seen: &[Observation]) -> bool {
    let text = seen.first().and_then(|seen| Seen(seen).text("text").ok());
    let names = seen.get(1).and_then(|seen| Seen(seen).list("names").ok());
    text == Some("as it was") && names.is_some_and(|names| names == ["file"])
}

fn told(answer: Option<&Observation>) -> String {
    let errno = answer.and_then(|answer| Seen(answer).number("errno").ok());
    errno.map_or_else(|| "nothing".into(), judge::name)
}

/// The control: what a setup makes that does not look where links lead.
pub(super) fn carelessly(image: &HostileImage, plots: &Plots) -> Finding {
    let ground = match Ground::lay(image, plots) {
        Ok(ground) => ground,
        Err(error) => return Finding::Broken(format!("the image cannot be made: {error}")),
    };
    let made = match image.made_of {
        MadeOf::Layers(layers) => {
            let outside = ground.canary.to_string_lossy();
            layers::unpack_carelessly(&layers(&outside), &ground.root)
        }
        MadeOf::Files { careless, .. } => make(&ground, careless),
    };
    ground.found(&format!("done carelessly: {made:?}"))
}

fn make(ground: &Ground, careless: &str) -> std::io::Result<()> {
    let path = ground.root.join(careless);
    let folder = path.parent().unwrap_or(&ground.root);
    if let Some([one, other]) = ground.exchanged() {
        // It looks, and is right about what it sees.
        if fs::symlink_metadata(folder)?.is_symlink() {
            return Ok(());
        }
        exchange(&one, &other)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(&path, "made")
}

/// Starts that are tried while something changes places.
const TRIES: u32 = 6;

/// Two paths that change places again and again.
struct Exchange {
    goes_on: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Exchange {
    fn begin([one, other]: [PathBuf; 2]) -> Exchange {
        let goes_on = Arc::new(AtomicBool::new(true));
        let its = goes_on.clone();
        let thread = std::thread::spawn(move || {
            let mut times = 0;
            while its.load(Ordering::Relaxed) {
                times += u64::from(exchange(&one, &other).is_ok());
                // A start takes some milliseconds: long enough to look in between, short enough to be met.
                std::thread::sleep(Duration::from_micros(200));
            }
            times
        });
        Exchange { goes_on, thread }
    }

    /// How often they have.
    fn end(self) -> u64 {
        self.goes_on.store(false, Ordering::Relaxed);
        self.thread.join().unwrap_or(0)
    }
}

/// renameat2(2), RENAME_EXCHANGE.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    let here = rustix::fs::CWD;
    Ok(rustix::fs::renameat_with(here, one, here, other, rustix::fs::RenameFlags::EXCHANGE)?)
}

/// What lies in the host's folder.
const FILE: &str = "file";

/// An image and the folder of the host that it leads to, removed when dropped.
struct Ground {
    made_of: MadeOf,
    folder: PathBuf,
    root: PathBuf,
    canary: PathBuf,
    watches: Watched,
    before: Vec<String>,
}

impl Ground {
    fn lay(image: &HostileImage, plots: &Plots) -> std::io::Result<Ground> {
        let folder = Nonce::new(plots).path();
        let (root, canary) = (folder.join("root"), folder.join("canary"));
        let mut ground = Ground {
            made_of: image.made_of,
            folder,
            root,
            canary,
            watches: image.watched,
            before: Vec::new(),
        };
        for made in [&ground.folder, &ground.root, &ground.canary] {
            fs::create_dir(made)?;
            // Whoever an instance's root is outside may write there: only care keeps it away.
            fs::set_permissions(made, fs::Permissions::from_mode(0o777))?;
        }
        fs::write(ground.canary.join(FILE), "canary")?;
        fs::set_permissions(ground.canary.join(FILE), fs::Permissions::from_mode(0o666))?;
        if let MadeOf::Files { fill, .. } = image.made_of {
            fill(&ground.root, &ground.canary)?;
        }
        ground.before = ground.listed();
        Ok(ground)
    }

    fn watched(&self) -> &Path {
        match self.watches {
            Watched::Outside => &self.canary,
            Watched::Files => &self.root,
        }
    }

    /// Those of its files that change places.
    fn exchanged(&self) -> Option<[PathBuf; 2]> {
        match self.made_of {
            MadeOf::Files { exchanged, .. } => exchanged.map(|names| names.map(|name| self.root.join(name))),
            MadeOf::Layers(_) => None,
        }
    }

    fn image(&self) -> Result<Image, String> {
        if let MadeOf::Layers(layers) = self.made_of {
            return layers::import(&layers(&self.canary.to_string_lossy()), &self.folder);
        }
        let digest = format!("sha256:{:x}", Sha256::digest(self.content().join("\n")));
        Ok(Image {
            reference: "brought by a check".into(),
            digest,
            rootfs: Some(self.root.clone()),
            ..Image::builtin()
        })
    }

    /// What the image's files are: the same files have the same digest, for what is kept by it.
    fn content(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let what = fs::read_link(&path).map_err(|_| fs::read_to_string(&path));
                all.push(format!(
                    "{} {is_folder} {what:?}",
                    path.strip_prefix(&self.root).unwrap_or(&path).display()
                ));
                folders.extend(is_folder.then_some(path));
            }
        }
        all.sort();
        all
    }

    /// Everything in the host's folder, with what a change of it changes.
    fn listed(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.watched().to_owned()];
        while let Some(folder) = folders.pop() {
            let told = |path: &Path| match fs::symlink_metadata(path) {
                Ok(data) => format!(
                    "{} mode {:o} owner {} bytes {} changed {}.{:09}",
                    path.display(),
                    data.mode(),
                    data.uid(),
                    data.len(),
                    data.ctime(),
                    data.ctime_nsec()
                ),
                Err(error) => format!("{}: {error}", path.display()),
            };
            found.push(told(&folder));
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => folders.push(entry.path()),
                    false => found.push(told(&entry.path())),
                }
            }
        }
        found.sort();
        found
    }

    fn found(&self, said: &str) -> Finding {
        let after = self.listed();
        match after.iter().find(|one| !self.before.contains(one)) {
            _ if after == self.before => Finding::Apart(format!("{said}; nothing outside has changed")),
            Some(new) => Finding::Open(format!("{said}; outside there is {new}")),
            None => Finding::Open(format!("{said}; outside something is gone")),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::super::list;
    use super::*;

    #[test]
    fn who_follows_links_is_noticed() {
        let images: Vec<_> =
            list::all().into_iter().filter_map(|check| Some((check.id, check.image?))).collect();
        assert!(images.len() >= 5);
        let folder = tempfile::tempdir().expect("folder");
        let plots = Plots { folder: folder.path().into(), group: "bench/none".into() };
        for (id, image) in images {
            let found = carelessly(&image, &plots);
            assert!(matches!(found, Finding::Open(_)), "{id}: {found:?}");
            let ground = Ground::lay(&image, &plots).expect("laid");
            assert!(matches!(ground.found(""), Finding::Apart(_)), "{id}");
        }
    }
}
