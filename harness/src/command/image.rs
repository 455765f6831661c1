//! `bench image`: brings images in, makes them, shows them, hands them on and removes them.

use std::io::Write;
use std::path::Path;

use runtime::image::{self, BuildOptions, Devices, Error, Format, Image, Listed, Removed, Store};
use serde_json::{Value, json};

use crate::cli::{ImageBuildArgs, ImageCommand, ImageFormat, ImageImportArgs};
use crate::failure::Failure;
use crate::terminal;

/// Digits of a digest that are shown where people read: enough to name the image again.
const SHORT: usize = "sha256:".len() + 12;

/// Carries out one of its commands.
///
/// # Errors
/// An image that is not there, broken, hostile or in use, or what the system said.
pub fn run(command: ImageCommand, out: &mut impl Write) -> Result<u8, Failure> {
    let store = store(&runtime::cache_dir())?;
    match command {
        ImageCommand::Import(args) => import(&args, store, out)?,
        ImageCommand::Build(args) => build(args, &store, out)?,
        ImageCommand::List { json } => list(&store, json, out)?,
        ImageCommand::Inspect { image, json } => inspect(&store, &image, json, out)?,
        ImageCommand::Rm { images } => remove(&store, &images, out)?,
        ImageCommand::Export { image, format, file } => export(&store, &image, format, &file)?,
    }
    Ok(0)
}

/// Where images are kept: in the cache, for root as for anybody, because all of it can be made or
/// fetched again, and one folder to remove is what a user expects of a program without a package.
///
/// # Errors
/// What could not be made.
pub fn store(cache_dir: &Path) -> Result<Store, Failure> {
    Store::open(&cache_dir.join("images")).map_err(failure)
}

/// What is not there is wrong usage; everything else was tried and did not work.
fn failure(error: Error) -> Failure {
    match error {
        Error::NotFound { .. } => Failure::Usage(error.to_string()),
        Error::Missing { .. } => Failure::Missing(error.to_string()),
        error => Failure::Cannot(error.to_string()),
    }
}

fn import(args: &ImageImportArgs, store: Store, out: &mut impl Write) -> Result<(), Failure> {
    let store = if args.devices { store.with_devices(Devices::Create) } else { store };
    terminal::say(&format!("bringing in {}", args.image));
    let image = with_files(&args.image, &store)?;
    if let Some(name) = &args.name {
        store.name(&image.digest, name).map_err(failure)?;
    }
    report(&image, args.json, out)
}

fn build(args: ImageBuildArgs, store: &Store, out: &mut impl Write) -> Result<(), Failure> {
    let options = BuildOptions {
        packages: args.packages,
        name: args.name,
        suite: args.suite,
        variant: args.variant,
        includes_init: args.include_init,
        entrypoint: command("--entrypoint", args.entrypoint.as_deref())?,
        command: command("--cmd", args.cmd.as_deref())?,
        environment: args.env,
        user: args.user,
        working_directory: args.workdir,
    };
    let image = store.build(&options, &mut terminal::say).map_err(failure)?;
    report(&image, args.json, out)
}

/// The two forms a Dockerfile has for a command.
fn command(flag: &str, text: Option<&str>) -> Result<Vec<String>, Failure> {
    match text {
        None => Ok(Vec::new()),
        Some(json) if json.starts_with('[') => serde_json::from_str(json)
            .map_err(|error| Failure::Usage(format!("{flag} {json}: {error}; expected [\"PROGRAM\", …]"))),
        Some(line) => Ok(vec!["/bin/sh".into(), "-c".into(), line.into()]),
    }
}

/// What scripts want of a new image: its digest, or all there is to know.
fn report(image: &Image, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    match json {
        true => writeln!(out, "{:#}", image::inspect(image))?,
        false => writeln!(out, "{}", image.digest)?,
    }
    Ok(())
}

fn with_files(reference: &str, store: &Store) -> Result<Image, Failure> {
    Image::resolve(reference, store).and_then(|image| image.with_files(store)).map_err(failure)
}

fn list(store: &Store, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let images = store.list().map_err(failure)?;
    if json {
        let images: Vec<Value> = images.iter().map(listed).collect();
        writeln!(out, "{:#}", Value::from(images))?;
        return Ok(());
    }
    if images.is_empty() {
        terminal::say("no images yet: bench image import PATH, or bench image build --packages NAME,…");
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["name", "digest", "layers", "size", "brought in"]);
    for image in &images {
        table.add_row([
            if image.names.is_empty() { "-".to_owned() } else { image.names.join(", ") },
            image.digest[..SHORT].to_owned(),
            image.layers.len().to_string(),
            bytes(image.size_bytes()),
            crate::time::utc(image.imported_unix_ns),
        ]);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn listed(image: &Listed) -> Value {
    json!({
        "names": image.names,
        "digest": image.digest,
        "config_digest": image.config_digest,
        "chain_id": image.chain_id,
        "layers": image.layers,
        "size_bytes": image.size_bytes(),
        "imported_unix_ns": image.imported_unix_ns,
    })
}

fn inspect(store: &Store, reference: &str, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let image = with_files(reference, store)?;
    let found = image::inspect(&image);
    if json {
        writeln!(out, "{found:#}")?;
        return Ok(());
    }
    for (name, value) in found.as_object().into_iter().flatten() {
        lines(name, value, "", out)?;
    }
    Ok(())
}

/// Names and values, one a line; what is empty is left out.
fn lines(name: &str, value: &Value, indent: &str, out: &mut impl Write) -> Result<(), Failure> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => {}
        Value::Object(fields) if name == "details" => {
            for (name, value) in fields {
                lines(name, value, indent, out)?;
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                writeln!(out, "{indent}{name:<18} {key}={}", word(value))?;
            }
        }
        Value::Array(items) => {
            for item in items {
                let text = match item {
                    Value::Object(layer) => {
                        let size = layer["size_bytes"].as_u64().unwrap_or_default();
                        format!("{} {}", word(&layer["digest"]), bytes(size))
                    }
                    other => word(other),
                };
                writeln!(out, "{indent}{name:<18} {text}")?;
            }
        }
        Value::String(text) if text.is_empty() => {}
        other => writeln!(out, "{indent}{name:<18} {}", word(other))?,
    }
    Ok(())
}

fn remove(store: &Store, references: &[String], out: &mut impl Write) -> Result<(), Failure> {
    for reference in references {
        match store.remove(reference).map_err(failure)? {
            Removed::Name(name) => writeln!(out, "removed the name {name}")?,
            Removed::Image(digest) => writeln!(out, "removed {digest}")?,
        }
    }
    Ok(())
}

fn export(store: &Store, reference: &str, format: ImageFormat, file: &Path) -> Result<(), Failure> {
    let format = match format {
        ImageFormat::Oci => Format::Oci,
        ImageFormat::OciFolder => Format::OciFolder,
        ImageFormat::Docker => Format::Docker,
    };
    let image = with_files(reference, store)?;
    if file == Path::new("-") {
        return store.export(&image, format, &mut std::io::stdout().lock()).map_err(failure);
    }
    store.export_to(&image, format, file).map_err(failure)?;
    terminal::say(&format!("wrote {} ({})", file.display(), image.digest));
    Ok(())
}

/// A size in the largest binary unit of which there is at least one.
fn bytes(size: u64) -> String {
    let (mut value, mut unit) = (size as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" { format!("{size} B") } else { format!("{value:.1} {unit}") }
}
