//! The runtimes of an engine, as it tells of them.

use serde_json::Value;

use crate::{Error, Requirement};

/// That an engine which tells `info` of itself has the runtime `name`.
pub(super) fn requirement(info: Result<Value, Error>, name: &str) -> Requirement {
    let state = info.map_err(|error| error.to_string()).and_then(|info| known(&info, name));
    let fix = state.is_err().then(|| {
        format!("add it to the runtimes in /etc/docker/daemon.json, or start dockerd with --add-runtime {name}=PATH")
    });
    Requirement { what: format!("the engine's runtime {name}"), fix, state }
}

/// Where the engine has the runtime.
fn known(info: &Value, name: &str) -> Result<String, String> {
    let Some(known) = info["Runtimes"].as_object() else { return Ok("the engine does not tell".into()) };
    match known.get(name) {
        Some(runtime) => Ok(runtime["path"].as_str().unwrap_or(name).to_owned()),
        None => {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            Err(format!("the engine has no runtime {name}, but {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_the_engine_does_not_have_is_named_with_those_it_has() {
        // As Docker 20.10 tells it, shortened.
        let info = serde_json::json!({ "Runtimes": { "crun": { "path": "/usr/bin/crun" }, "runc": { "path": "runc" } } });
        assert_eq!(requirement(Ok(info.clone()), "crun").state, Ok("/usr/bin/crun".into()));
        let lacking = requirement(Ok(info), "youki");
        assert_eq!(lacking.state, Err("the engine has no runtime youki, but crun, runc".into()));
        assert!(lacking.fix.is_some_and(|fix| fix.contains("--add-runtime youki=PATH")));
        assert!(known(&serde_json::json!({}), "crun").is_ok());
    }
}
