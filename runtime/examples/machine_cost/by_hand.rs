//! Starting QEMU as a person would: a child process, its debug console on a pipe.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Splits a command line at blanks outside of single quotes.
pub fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => word.push(letter),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The command line of the harness with pipes and nothing where it has inherited sockets.
pub fn without_sockets(arguments: &[String]) -> Vec<String> {
    let plain = |word: &String| match word.as_str() {
        word if word.starts_with("socket,id=guest,") => "stdio,id=guest,signal=off".into(),
        word if word.starts_with("socket,id=monitor,") => "null,id=monitor".into(),
        word if word.starts_with("socket,id=firmware,") => "null,id=firmware".into(),
        word => word.to_owned(),
    };
    arguments.iter().map(plain).collect()
}

struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Start to `ready` in nanoseconds; `None` where it did not come.
pub fn ready_ns(program: &str, arguments: &[String]) -> Option<u64> {
    let began = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("QEMU starts");
    let mut child = Kill(child);
    let mut out = child.0.stdout.take().expect("a pipe");
    let pid = rustix::process::Pid::from_child(&child.0);
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = out.read(&mut bytes) {
            seen.extend_from_slice(&bytes[..read]);
            if seen.windows(15).any(|window| window == br#""event":"ready""#) {
                let _ = sender.send(began.elapsed().as_nanos() as u64);
                return;
            }
        }
    });
    let ready_ns = receiver.recv_timeout(Duration::from_secs(60)).ok();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    drop(child);
    let _ = reader.join();
    ready_ns
}
