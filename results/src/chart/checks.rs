//! Checks by backends, coloured by verdict. Where backends differ comes first.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Chart, GREY, WIDTH, fill, legend, legend_height, picture, short, write};
use crate::Error;
use crate::folder::LoadedRun;
use crate::isolation::matrix;
use crate::record::CheckVerdict;

const NAME: &str = "checks";
/// Width of the checks' names, height of a line and of the backends' names.
const LEFT: i32 = 210;
const LINE: i32 = 15;
const TOP: i32 = 26;

/// Colours and what they mean, in the order of the legend (Okabe & Ito).
const COLOURS: [(CheckVerdict, RGBColor); 7] = [
    (CheckVerdict::Pass, RGBColor(0x00, 0x9e, 0x73)),
    (CheckVerdict::SharedByDesign, RGBColor(0x56, 0xb4, 0xe9)),
    (CheckVerdict::Leak, RGBColor(0xd5, 0x5e, 0x00)),
    (CheckVerdict::WrongReason, RGBColor(0xe6, 0x9f, 0x00)),
    (CheckVerdict::Blind, RGBColor(0xcc, 0x79, 0xa7)),
    (CheckVerdict::Broken, RGBColor(0x99, 0x99, 0x33)),
    (CheckVerdict::NotApplicable, GREY),
];

pub(super) fn draw(run: &LoadedRun) -> Result<Option<Chart>, Error> {
    // The proof that each mechanism is noticed is a table of its own.
    let rows: Vec<_> = run.checks.iter().filter(|row| !row.backend.contains(" without ")).cloned().collect();
    let matrix = matrix(&rows);
    if matrix.lines.is_empty() {
        return Ok(None);
    }
    let entries: Vec<(String, RGBColor)> = COLOURS
        .iter()
        .filter(|(verdict, _)| rows.iter().any(|row| row.verdict == *verdict))
        .map(|(verdict, colour)| (verdict.word().to_owned(), *colour))
        .collect();
    let top = legend_height(&entries, LEFT) + TOP;
    let height = top + LINE * matrix.lines.len() as i32 + 8;
    let column = (WIDTH as i32 - LEFT - 8) / matrix.backends.len().max(1) as i32;
    let svg = picture(NAME, height as u32, |area| {
        legend(area, &entries, (LEFT, 10))?;
        for (at, backend) in matrix.backends.iter().enumerate() {
            let x = LEFT + column * at as i32 + column / 2;
            write(area, &short(backend, (column / 7).max(4) as usize), (x, top - 10), 12, HPos::Center)?;
        }
        for (number, line) in matrix.lines.iter().enumerate() {
            let y = top + LINE * number as i32;
            write(area, &short(line.check, 30), (LEFT - 8, y + LINE / 2), 11, HPos::Right)?;
            for (at, cell) in line.cells.iter().enumerate() {
                let Some(row) = cell else { continue };
                let colour = COLOURS.iter().find(|(verdict, _)| *verdict == row.verdict);
                let x = LEFT + column * at as i32;
                let colour = colour.map_or(GREY, |(_, colour)| *colour);
                fill(area, (x + 1, y + 1), (x + column - 1, y + LINE - 1), colour)?;
            }
        }
        Ok(())
    })?;
    let differ = matrix.lines.iter().filter(|line| line.differs).count();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "{} checks on {} backends; the first {differ} are those on which backends other than the bare process differ.",
            matrix.lines.len(),
            matrix.backends.len()
        ),
        svg,
    }))
}
