//! The checks of isolation: a line a check, folded evidence of each.

use super::page::{details, table};
use crate::folder::LoadedRun;
use crate::isolation::{matrix, mutation};

/// The matrix, then what is behind each cell; nothing where there are no checks.
pub(super) fn checks(run: &LoadedRun) -> String {
    let (mutants, rows): (Vec<_>, Vec<_>) =
        run.checks.iter().cloned().partition(|row| row.backend.contains(" without "));
    let matrix = matrix(&rows);
    if matrix.lines.is_empty() {
        return String::new();
    }
    let heads: Vec<&str> = ["check", "claim"].into_iter().chain(matrix.backends.iter().copied()).collect();
    let lines = matrix.lines.iter().map(|line| {
        let cells = line.cells.iter().map(|cell| cell.map_or("–", |row| row.verdict.word()).to_owned());
        [line.check.to_owned(), line.claim.to_owned()].into_iter().chain(cells).collect()
    });
    let mut html = table(&heads, lines);
    html.push_str(
        "<p class=\"dim\">First the checks on which backends differ. A bare process is apart from nothing, so it has to \
         leak: a check that it passes sees nothing. <code>bench explain CHECK</code> tells how each is judged.</p>\n",
    );
    for line in &matrix.lines {
        let cells = line.cells.iter().flatten().map(|row| {
            vec![
                row.backend.clone(),
                row.verdict.word().to_owned(),
                row.expectation.clone(),
                row.observation.clone(),
                row.witness.clone(),
                row.controls.clone(),
            ]
        });
        let heads = ["backend", "verdict", "expected", "observed", "witness", "controls"];
        html.push_str(&details(line.check, &table(&heads, cells)));
    }
    if !mutants.is_empty() {
        let noticed = mutation::noticed(&run.checks);
        let lines = noticed
            .iter()
            .map(|(mechanism, one)| vec![mechanism.clone(), one.alone.join(", "), one.beside.join(", ")]);
        let heads = ["mechanism left out", "checks that leak", "… where what hides it is left out too"];
        html.push_str(&details("The suite's own score", &table(&heads, lines)));
    }
    html
}
