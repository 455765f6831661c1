//! The checks of cgroups once more in a container of a virtual machine, under a version of cgroups the host may
//! not have. This program carries them out there, with their controls; the rows come back over the console
//! under a name that says where they are from.

use std::time::Duration;

use results::record::Check as Row;
use runtime::RunContext;

use super::check::Check;
use super::plan::Plan;
use crate::Stop;
use crate::inside::{Carried, Guest};
use crate::prioritize::Version;

/// What a machine may take to boot, and each check with its control in it: emulated, it is slow.
const BOOT_S: u64 = 120;
const CHECK_S: u64 = 20;
/// How much of what a machine said is told where it said nothing else.
const LAST_LINES: usize = 8;
const BEGIN: &str = "=== checks";
const END: &str = "=== end ";

/// Whether a check is about cgroups, whose versions differ.
fn concerns(check: &Check) -> bool {
    check.id.starts_with("cg-") || check.id.starts_with("cgroup-")
}

/// Rows of those of the plan's checks that are about cgroups.
///
/// # Errors
/// Why there are none.
pub(super) fn ask(
    plan: &Plan,
    version: Version,
    context: &RunContext,
    stop: &Stop,
) -> Result<Vec<Row>, String> {
    let check: Vec<String> =
        plan.checks().into_iter().filter(|check| concerns(check)).map(|check| check.id.to_owned()).collect();
    if check.is_empty() {
        return Err("none of the checks asked for is about cgroups".into());
    }
    let options = plan.launch.vm_options().map_err(|error| error.to_string())?;
    let patience = Duration::from_secs(BOOT_S + CHECK_S * check.len() as u64);
    let mut inside = Plan { inside: Vec::new(), check, ..plan.clone() };
    inside.launch.on = vec!["container".into()];
    inside.launch.kernel = None;
    let inside = toml::to_string(&inside).map_err(|error| format!("cannot write the plan: {error}"))?;
    let carried = Carried::fill(context, None, &[])?;
    let kernel = options.kernel.map(|path| (path, String::new()));
    let guest = Guest { kernel, version: version.name(), accel: options.accel };
    let script = format!(
        "mkdir -p /dev/shm\ncat >/tmp/plan.toml <<'END OF PLAN'\nscenario = \"isolation\"\n{inside}\nEND OF PLAN\n\
         code=0; bench-itself run /tmp/plan.toml --out /tmp/out 2>&1 || code=$?\n\
         echo; echo '{BEGIN}'; cat /tmp/out/checks.csv; echo \"{END}$code\""
    );
    read(&carried.boot(&guest, &script, patience, context, stop)?, version)
}

fn read(lines: &[String], version: Version) -> Result<Vec<Row>, String> {
    let marked = |mark: &str| lines.iter().rposition(|line| line.starts_with(mark));
    let last = || lines[lines.len().saturating_sub(LAST_LINES)..].join(" / ");
    let (Some(begin), Some(end)) = (marked(BEGIN), marked(END)) else {
        return Err(format!("the machine told no checks; it said last: {}", last()));
    };
    let text = lines.get(begin + 1..end).unwrap_or_default().join("\n");
    let rows: Result<Vec<Row>, csv::Error> =
        csv::Reader::from_reader(text.as_bytes()).deserialize().collect();
    let rows = rows.map_err(|error| format!("the machine's checks are not understood: {error}"))?;
    if rows.is_empty() {
        let before = lines[..begin].last().map_or("nothing", String::as_str);
        return Err(format!("nothing was checked in the machine; it said: {before}"));
    }
    Ok(rows.into_iter().map(|row| Row { backend: version.backend(), ..row }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_over_under_a_name_of_their_own() {
        let head = "check,claim,backend,expectation,observation,witness,controls,verdict,evidence";
        let row = "cg-pids-bomb,cg-limit,container,apart,\"apart: 16, then EAGAIN\",there,C0 ok,pass,{}";
        let said = format!("boot\n{BEGIN}\n{head}\n{row}\n{END}0");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let rows = read(&lines(&said), Version::V2).expect("read");
        assert_eq!((rows.len(), rows[0].backend.as_str()), (1, "container in a VM (v2)"));
        let none = read(&lines(&format!("no memory\n{BEGIN}\n{head}\n{END}1")), Version::V2);
        assert!(none.as_ref().is_err_and(|error| error.contains("no memory")), "{none:?}");
        assert!(read(&lines("panic"), Version::V1).is_err_and(|error| error.contains("panic")));
    }
}
