//! What the guest is asked to do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::probe;
use crate::task::Task;

/// Names and one-line descriptions of the built-in workloads.
pub const WORKLOADS: [(&str, &str); 7] = [
    ("ready", "reports its first instruction and waits"),
    ("http", "answers HTTP requests on a TCP socket"),
    ("memory=SIZE", "touches every page of SIZE bytes (suffixes KiB, MiB, GiB) and holds them"),
    ("cpu", "computes without end on one thread"),
    ("command", "runs the image's command, or the one given behind --"),
    ("report", "tells what it finds of its image and of its surroundings, and ends"),
    ("service=KIND[:PORT]", "the image's own service, asked over its port: redis (6379) or http (80)"),
];

/// What an instance does once it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Report `ready`, then wait.
    Ready,
    /// Serve HTTP.
    Http,
    /// Touch and hold memory.
    Memory {
        /// Bytes to touch.
        bytes: u64,
    },
    /// Compute without end.
    Cpu,
    /// Tell what is found of the image and of the surroundings, and end.
    Report,
    /// Run a command of the image; empty = the image's own.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// Carry out requests and say what happened, then stay with what they have made.
    Probe {
        /// What every answer has to repeat.
        nonce: String,
        /// In this order.
        requests: Vec<probe::Request>,
    },
    /// Run a service of the image and say when it listens.
    Service {
        /// What it is asked, and where.
        service: Service,
        /// Program and arguments; empty = the image's own. An operating system with an init starts
        /// its own unit instead.
        argv: Vec<String>,
    },
    /// Load one resource by a known amount.
    Task(Task),
}

impl Workload {
    /// Whether it writes to storage: instances without a disk of their own are given a file then.
    pub fn writes_to_storage(&self) -> bool {
        match self {
            Workload::Task(Task::Write { .. }) => true,
            Workload::Probe { requests, .. } => {
                let writes = |request: &probe::Request| match request {
                    probe::Request::WriteDisk { .. } | probe::Request::WriteCached { .. } => true,
                    probe::Request::Latency { of: work, .. } | probe::Request::Busy { with: work, .. } => {
                        work.is_on_storage()
                    }
                    _ => false,
                };
                requests.iter().any(writes)
            }
            _ => false,
        }
    }

    /// How it is asked; `None` where it answers nothing.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Workload::Http => Some(Protocol::Http),
            Workload::Service { service, .. } => Some(service.protocol),
            _ => None,
        }
    }
}

/// A network service of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// How it is asked.
    pub protocol: Protocol,
    /// TCP port inside the instance.
    pub port: u16,
}

/// How a service is asked for its first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `GET /`; a status of 200 is an answer.
    Http,
    /// `PING`; `+PONG` is an answer (Redis serialization protocol, inline commands).
    Redis,
}

impl Protocol {
    /// The port such a service has unless it is told otherwise.
    pub fn usual_port(self) -> u16 {
        match self {
            Protocol::Http => 80,
            Protocol::Redis => 6379,
        }
    }

    /// What asks for it.
    pub fn question(self) -> &'static [u8] {
        match self {
            Protocol::Http => b"GET / HTTP/1.1\r\nhost: instance\r\nconnection: close\r\n\r\n",
            Protocol::Redis => b"PING\r\n",
        }
    }

    /// How the answer of a service that works begins.
    pub fn good_answer(self) -> &'static [u8] {
        match self {
            Protocol::Http => b"HTTP/1.1 200",
            Protocol::Redis => b"+PONG\r\n",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Redis => "redis",
        }
    }
}

/// Everything the guest is told at its start, as JSON in one argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// What to do.
    pub workload: Workload,
    /// Environment of a command, `NAME=value`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Working directory of a command; empty = `/`.
    #[serde(default)]
    pub working_directory: String,
    /// The image is the first disk, not the initramfs this program came in (PID 1 of a VM only).
    #[serde(default)]
    pub root_disk: bool,
    /// A listening TCP socket was passed as descriptor 4; without it the guest makes its own.
    #[serde(default)]
    pub inherited_listener: bool,
    /// A file past the page cache was passed as descriptor 4, to be written to.
    #[serde(default)]
    pub inherited_file: bool,
    /// Address of the first network interface, `a.b.c.d/prefix`: set by the guest where it is PID 1 of
    /// a VM, else set already.
    #[serde(default)]
    pub address: Option<String>,
    /// Once the workload runs, park to be saved, and go on as a copy (PID 1 of a VM only).
    #[serde(default)]
    pub template: bool,
}

impl Plan {
    /// A plan for `workload` with nothing else asked.
    pub fn new(workload: Workload) -> Plan {
        Plan {
            workload,
            environment: Vec::new(),
            working_directory: String::new(),
            root_disk: false,
            inherited_listener: false,
            inherited_file: false,
            address: None,
            template: false,
        }
    }

    /// The plan as one word without blanks, quotes or control characters, as fits on a kernel
    /// command line: JSON, percent-encoded (RFC 3986, section 2.1).
    pub fn to_word(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut word = String::new();
        for byte in json.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.,:/+[]{}".contains(&byte) {
                word.push(byte as char);
            } else {
                word.push_str(&format!("%{byte:02X}"));
            }
        }
        word
    }

    /// Reads what [`Plan::to_word`] wrote.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the word.
    pub fn from_word(word: &str) -> Result<Plan, String> {
        let mut json = Vec::with_capacity(word.len());
        let bytes = word.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'%' {
                let hex = word.get(at + 1..at + 3).ok_or("plan ends inside an escape")?;
                json.push(u8::from_str_radix(hex, 16).map_err(|_| format!("bad escape %{hex} in plan"))?);
                at += 3;
            } else {
                json.push(bytes[at]);
                at += 1;
            }
        }
        serde_json::from_slice(&json).map_err(|error| format!("plan is not understood: {error}"))
    }
}

/// A workload that does not exist or a size that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseWorkloadError(pub(crate) String);

impl fmt::Display for ParseWorkloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseWorkloadError {}

impl FromStr for Workload {
    type Err = ParseWorkloadError;

    fn from_str(text: &str) -> Result<Workload, ParseWorkloadError> {
        match text.split_once('=') {
            None => match text {
                "ready" => Ok(Workload::Ready),
                "http" => Ok(Workload::Http),
                "cpu" => Ok(Workload::Cpu),
                "report" => Ok(Workload::Report),
                "command" => Ok(Workload::Command { argv: Vec::new() }),
                "service" => {
                    Err(ParseWorkloadError("workload service needs a kind, as in service=redis".into()))
                }
                "memory" => {
                    Err(ParseWorkloadError("workload memory needs a size, as in memory=64MiB".into()))
                }
                _ => Err(unknown(text)),
            },
            Some(("memory", size)) => Ok(Workload::Memory { bytes: parse_size(size)? }),
            Some(("service", kind)) => {
                Ok(Workload::Service { service: parse_service(kind)?, argv: Vec::new() })
            }
            Some((name, value)) => {
                Task::parse(name, value).map_or_else(|| Err(unknown(text)), |task| task.map(Workload::Task))
            }
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Workload::Ready => f.write_str("ready"),
            Workload::Http => f.write_str("http"),
            Workload::Memory { bytes } => write!(f, "memory={bytes}"),
            Workload::Cpu => f.write_str("cpu"),
            Workload::Report => f.write_str("report"),
            Workload::Command { .. } => f.write_str("command"),
            Workload::Probe { .. } => f.write_str("probe"),
            Workload::Task(task) => task.fmt(f),
            Workload::Service { service, .. } => {
                write!(f, "service={}:{}", service.protocol.name(), service.port)
            }
        }
    }
}

fn unknown(text: &str) -> ParseWorkloadError {
    ParseWorkloadError(format!(
        "there is no workload {text:?}: try ready, http, memory=SIZE, cpu, command, report, service=KIND or a task (bench list)"
    ))
}

fn parse_service(text: &str) -> Result<Service, ParseWorkloadError> {
    let (kind, port) = text.split_once(':').map_or((text, None), |(kind, port)| (kind, Some(port)));
    let protocol = [Protocol::Http, Protocol::Redis].into_iter().find(|protocol| protocol.name() == kind);
    let protocol = protocol.ok_or_else(|| {
        ParseWorkloadError(format!("there is no kind of service {kind:?}: try redis or http"))
    })?;
    let port = match port.map(str::parse) {
        None => protocol.usual_port(),
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err(ParseWorkloadError(format!("{text:?} names no port from 1 to 65535"))),
    };
    Ok(Service { protocol, port })
}

pub(crate) fn parse_size(text: &str) -> Result<u64, ParseWorkloadError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => {
            return Err(ParseWorkloadError(format!(
                "{text:?} is no size: write bytes, or a number with KiB, MiB or GiB"
            )));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|bytes| *bytes > 0)
        .and_then(|bytes| bytes.checked_mul(1 << shift))
        .ok_or_else(|| {
            ParseWorkloadError(format!("{text:?} is no size: write bytes, or a number with KiB, MiB or GiB"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_a_kernel_command_line() {
        let mut plan = Plan::new(Workload::Command {
            argv: vec!["/bin/sh".into(), "-c".into(), "echo \"ä b\" %41".into()],
        });
        plan.environment.push("A=b c".into());
        let word = plan.to_word();
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\''));
        assert_eq!(Plan::from_word(&word), Ok(plan));
    }

    #[test]
    fn services_have_a_kind_and_a_port() {
        let service = |text: &str| match text.parse::<Workload>() {
            Ok(Workload::Service { service, .. }) => Some(service),
            _ => None,
        };
        assert_eq!(service("service=redis"), Some(Service { protocol: Protocol::Redis, port: 6379 }));
        assert_eq!(service("service=http:8080"), Some(Service { protocol: Protocol::Http, port: 8080 }));
        for bad in ["service", "service=", "service=ftp", "service=http:0", "service=http:x", "service=http:"]
        {
            assert_eq!(service(bad), None, "{bad}");
        }
        let text = "service=http:8080".parse::<Workload>().map(|workload| workload.to_string());
        assert_eq!(text.as_deref(), Ok("service=http:8080"));
    }

    #[test]
    fn sizes() {
        assert_eq!("memory=64MiB".parse(), Ok(Workload::Memory { bytes: 64 << 20 }));
        for bad in
            ["memory", "memory=", "memory=0", "memory=1XB", "memory=99999999999GiB", "memory=-1", "htpp"]
        {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
    }
}
