//! What is known of an image, for `bench image inspect`.

use serde_json::{Value, json};

use super::Image;

/// Everything known of it, as JSON.
pub fn inspect(image: &Image) -> Value {
    json!({
        "reference": image.reference,
        "digest": image.digest,
        "config_digest": image.config_digest,
        "rootfs": image.rootfs,
        "command": image.command,
        "environment": image.environment,
        "working_directory": image.working_directory,
        "user": image.user,
        "details": image.details,
        "layers": image.layers,
        "size_bytes": image.layers.iter().map(|layer| layer.size_bytes).sum::<u64>(),
    })
}
