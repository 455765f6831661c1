//! A plan that is carried out in a machine by this program; its rows come back over the console.

use std::time::Duration;

use runtime::RunContext;
use serde::de::DeserializeOwned;

use super::{Carried, Guest, Version};
use crate::{Plan, Stop};

/// What a machine may take to boot: emulated, it is slow.
const BOOT: Duration = Duration::from_secs(120);
/// How much of what a machine said is told where it said nothing else.
const LAST_LINES: usize = 8;
const BEGIN: &str = "=== rows";
const END: &str = "=== end ";

/// Carries out `plan` on `container` in a machine under a version of cgroups, within `patience` once
/// it has booted, and reads the rows of `file` of its run folder.
///
/// # Errors
/// Why there are none.
pub(crate) fn carry_out<R: DeserializeOwned>(
    mut plan: Plan,
    file: &str,
    version: Version,
    patience: Duration,
    context: &RunContext,
    stop: &Stop,
) -> Result<Vec<R>, String> {
    let options = plan.launch().vm_options().map_err(|error| error.to_string())?;
    let launch = plan.launch_mut();
    launch.on = vec!["container".into()];
    launch.kernel = None;
    let text = plan.to_table().map_err(|error| format!("cannot write the plan: {error}"))?;
    let carried = Carried::fill(context, None, &[])?;
    let kernel = options.kernel.map(|path| (path, String::new()));
    let guest = Guest { kernel, version, accel: options.accel };
    let script = format!(
        "mkdir -p /dev/shm\ncat >/tmp/plan.toml <<'END OF PLAN'\nscenario = {:?}\n{text}\nEND OF PLAN\n\
         code=0; bench-itself run /tmp/plan.toml --out /tmp/out 2>&1 || code=$?\n\
         echo; echo '{BEGIN}'; cat /tmp/out/{file}; echo \"{END}$code\"",
        plan.scenario()
    );
    read(&carried.boot(&guest, &script, BOOT + patience, context, stop)?)
}

/// The rows among what a machine said.
fn read<R: DeserializeOwned>(lines: &[String]) -> Result<Vec<R>, String> {
    let marked = |mark: &str| lines.iter().rposition(|line| line.starts_with(mark));
    let (Some(begin), Some(end)) = (marked(BEGIN), marked(END)) else {
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" / ");
        return Err(format!("the machine told no rows; it said last: {last}"));
    };
    let text = lines.get(begin + 1..end).unwrap_or_default().join("\n");
    let rows: Result<Vec<R>, csv::Error> = csv::Reader::from_reader(text.as_bytes()).deserialize().collect();
    let rows = rows.map_err(|error| format!("the machine's rows are not understood: {error}"))?;
    if rows.is_empty() {
        let before = lines[..begin].iter().rfind(|line| !line.is_empty());
        let before = before.map_or("nothing", String::as_str);
        return Err(format!("nothing was measured in the machine; it said: {before}"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use results::record::{Check, Reading};

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn rows_stand_between_their_marks() {
        let head = "storm,backend,mechanism,case,control,by,unit,asked,least,most,measured,outcome,reason";
        let said = format!(
            "boot\n{BEGIN}\n{head}\n1,container,pids-limit,a,false,host's count,processes,32.0,32.0,32.0,32.0,measured,\n{END}0"
        );
        let rows: Vec<Reading> = read(&lines(&said)).expect("read");
        assert_eq!((rows.len(), rows[0].storm, rows[0].backend.as_str()), (1, 1, "container"));
        let head = "check,claim,backend,expectation,observation,witness,controls,verdict,evidence";
        let row = "cg-pids-bomb,cg-limit,container,apart,\"apart: 16, then EAGAIN\",there,C0 ok,pass,{}";
        let rows: Vec<Check> = read(&lines(&format!("boot\n{BEGIN}\n{head}\n{row}\n{END}0"))).expect("read");
        assert_eq!((rows.len(), rows[0].backend.as_str()), (1, "container"));
    }

    #[test]
    fn a_machine_that_tells_none_is_told_by_its_last_words() {
        let read = |text: &str| read::<Reading>(&lines(text));
        let none = read(&format!("no memory\n\n{BEGIN}\nstorm,backend\n{END}1"));
        assert!(none.as_ref().is_err_and(|error| error.contains("no memory")), "{none:?}");
        assert!(read("panic").is_err_and(|error| error.contains("panic")));
        assert!(read(&format!("{BEGIN}\nstorm,backend\nx\n{END}0")).is_err());
    }
}
