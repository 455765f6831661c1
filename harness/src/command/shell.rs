//! `bench completions` and `bench man`: for packagers and for who wants Tab to work.

use std::io::Write;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::judging::CompletionsArgs;

/// Writes the completions of a shell.
///
/// # Errors
/// Where standard output refuses.
pub fn completions(args: &CompletionsArgs, out: &mut impl Write) -> Result<u8, Failure> {
    // clap_complete panics where its writer refuses, so it writes to memory.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bench", &mut text);
    out.write_all(&text)?;
    Ok(0)
}

/// Writes the manual page in roff.
///
/// # Errors
/// Where standard output refuses.
pub fn man(out: &mut impl Write) -> Result<u8, Failure> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(Cli::command());
    page.render(&mut text)?;
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let mut section = Vec::new();
        clap_mangen::Man::new(command.clone().disable_help_flag(true))
            .render_options_section(&mut section)?;
        let options = String::from_utf8_lossy(&section);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, ".SH \"BENCH {}\"\n{about}", command.get_name().to_uppercase())?;
        text.extend(options.replace(".SH OPTIONS", ".PP").into_bytes());
    }
    out.write_all(&text)?;
    Ok(0)
}
