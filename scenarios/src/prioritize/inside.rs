//! The same questions to a container of a virtual machine, under a version of cgroups the host may not
//! have. This program carries out the plan there; its readings come back over the console.

use std::time::Duration;

use results::record::Reading;
use runtime::RunContext;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::Stop;
use crate::inside::{Carried, Guest};

/// What a machine may take to boot, and each repetition of a mechanism in it: emulated, it is slow.
const BOOT_S: u64 = 120;
const REPETITION_S: u64 = 60;
const BEGIN: &str = "=== readings";
const END: &str = "=== end ";

/// A version of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// A hierarchy for each controller (cgroup-v1/cgroups.rst).
    V1,
    /// One hierarchy (cgroup-v2.rst).
    V2,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }

    /// How rows and charts call a container there.
    pub(crate) fn backend(self) -> String {
        format!("container in a VM ({})", self.name())
    }
}

/// Readings of the plan, whose storms are counted on from `first_storm`.
///
/// # Errors
/// Why there are none.
pub(super) fn ask(
    plan: &Plan,
    version: Version,
    first_storm: u32,
    context: &RunContext,
    stop: &Stop,
) -> Result<Vec<Reading>, String> {
    let options = plan.launch.vm_options().map_err(|error| error.to_string())?;
    let mut inside = Plan { inside: Vec::new(), ..plan.clone() };
    inside.launch.on = vec!["container".into()];
    inside.launch.kernel = None;
    let inside = toml::to_string(&inside).map_err(|error| format!("cannot write the plan: {error}"))?;
    let carried = Carried::fill(context, None, &[])?;
    let kernel = options.kernel.map(|path| (path, String::new()));
    let guest = Guest { kernel, version: version.name(), accel: options.accel };
    let script = format!(
        "cat >/tmp/plan.toml <<'END OF PLAN'\nscenario = \"prioritize\"\n{inside}\nEND OF PLAN\n\
         code=0; bench-itself run /tmp/plan.toml --out /tmp/out 2>&1 || code=$?\n\
         echo '{BEGIN}'; cat /tmp/out/readings.csv; echo \"{END}$code\""
    );
    let repetitions = plan.mechanisms.len() as u64 * u64::from(plan.storms);
    let patience = Duration::from_secs(BOOT_S + REPETITION_S * repetitions);
    let lines = carried.boot(&guest, &script, patience, context, stop)?;
    read(&lines, version, first_storm)
}

fn read(lines: &[String], version: Version, first_storm: u32) -> Result<Vec<Reading>, String> {
    let marked = |mark: &str| lines.iter().rposition(|line| line.starts_with(mark));
    let last = || lines.last().map_or("nothing", String::as_str);
    let (Some(begin), Some(end)) = (marked(BEGIN), marked(END)) else {
        return Err(format!("the machine told no readings; it said last: {}", last()));
    };
    let text = lines.get(begin + 1..end).unwrap_or_default().join("\n");
    let rows: Result<Vec<Reading>, csv::Error> =
        csv::Reader::from_reader(text.as_bytes()).deserialize().collect();
    let rows = rows.map_err(|error| format!("the machine's readings are not understood: {error}"))?;
    if rows.is_empty() {
        let before = lines[..begin].last().map_or("nothing", String::as_str);
        return Err(format!("nothing was measured in the machine; it said: {before}"));
    }
    let backend = version.backend();
    Ok(rows
        .into_iter()
        .map(|row| Reading { storm: first_storm + row.storm, backend: backend.clone(), ..row })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_over_under_their_own_name() {
        let head = "storm,backend,mechanism,case,control,by,unit,asked,least,most,measured,outcome,reason";
        let said = format!(
            "boot\n{BEGIN}\n{head}\n1,container,pids-limit,a,false,host's count,processes,32.0,32.0,32.0,32.0,measured,\n{END}0"
        );
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let rows = read(&lines(&said), Version::V2, 10).expect("read");
        assert_eq!((rows.len(), rows[0].storm, rows[0].backend.as_str()), (1, 11, "container in a VM (v2)"));
        let none = read(&lines(&format!("no memory\n{BEGIN}\n{head}\n{END}1")), Version::V1, 0);
        assert!(none.as_ref().is_err_and(|error| error.contains("no memory")), "{none:?}");
        assert!(read(&lines("panic"), Version::V2, 0).is_err_and(|error| error.contains("panic")));
        assert!(read(&lines(&format!("{BEGIN}\n{head}\nx\n{END}0")), Version::V2, 0).is_err());
    }
}
