//! What goes to a terminal, and what does not where there is none.

use std::io::{IsTerminal, Write};

/// Whether standard error takes colours: a terminal, and the user does not object (no-color.org).
pub fn stderr_colours() -> bool {
    std::io::stderr().is_terminal() && colours_wanted()
}

/// Whether standard output takes colours.
pub fn stdout_colours() -> bool {
    std::io::stdout().is_terminal() && colours_wanted()
}

/// Writes a line to standard error. That nobody reads it is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes an error to standard error.
pub fn say_error(text: &str) {
    say(&format!("{} {text}", paint(stderr_colours(), RED, "error:")));
}

/// Writes a warning to standard error.
pub fn say_warning(text: &str) {
    say(&format!("{} {text}", paint(stderr_colours(), YELLOW, "warning:")));
}

/// SGR parameters (ECMA-48, section 8.3.117).
pub const BOLD: &str = "1";
/// Red.
pub const RED: &str = "1;31";
/// Yellow.
pub const YELLOW: &str = "33";
/// Green.
pub const GREEN: &str = "32";

/// `text` in a colour, where wanted.
pub fn paint(wanted: bool, sgr: &str, text: &str) -> String {
    if wanted { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
}

fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
