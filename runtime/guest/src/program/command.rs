//! The workload `command`: any program of the image.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Arc;

use guest::{Message, Plan, Stream};

use super::channel::Channel;

/// Longest piece of a line sent as one message.
const PIECE_BYTES: u64 = 16 * 1024;

/// Runs the command to its end, passes on its output and returns its status.
pub fn run(channel: &Arc<Channel>, argv: &[String], plan: &Plan) -> i32 {
    let status = start(channel, argv, plan).unwrap_or_else(|error| {
        channel.send(&Message::Failed { error });
        // The shell's status for a command that cannot be executed (POSIX, 2.8.2).
        127
    });
    channel.send(&Message::Exited { code: status });
    status
}

fn start(channel: &Arc<Channel>, argv: &[String], plan: &Plan) -> Result<i32, String> {
    let (program, arguments) =
        argv.split_first().ok_or("no command: the image names none and none was given behind --")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(plan.environment.iter().filter_map(|variable| variable.split_once('=')))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !plan.working_directory.is_empty() {
        command.current_dir(&plan.working_directory);
    }
    // SAFETY: one system call between fork and exec. It ends the command when this thread, which waits
    // for it, has ended: a bare process has no namespace whose init takes the others along.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
    let readers = [
        child.stdout.take().map(|out| forward(channel, Stream::Stdout, out)),
        child.stderr.take().map(|out| forward(channel, Stream::Stderr, out)),
    ];
    let status = child.wait().map_err(|error| format!("cannot wait for {program}: {error}"))?;
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
}

fn forward(
    channel: &Arc<Channel>,
    stream: Stream,
    out: impl Read + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let channel = channel.clone();
    std::thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        while matches!(out.by_ref().take(PIECE_BYTES).read_until(b'\n', &mut line), Ok(read) if read > 0) {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            channel.send(&Message::Log { stream, text: String::from_utf8_lossy(&line).into_owned() });
            line.clear();
        }
    })
}
