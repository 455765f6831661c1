//! What the guest says.

use serde::{Deserialize, Serialize};

use crate::identity::Became;
use crate::probe::Observation;

/// Version of the protocol; a message of another version is not understood.
pub const PROTOCOL_VERSION: u32 = 1;

/// First byte of every message (RFC 7464, section 2.1).
pub const RECORD_SEPARATOR: u8 = 0x1e;

/// Which output of a command a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The guest program's own remarks.
    Guest,
}

/// One message of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Message {
    /// The first instruction of the workload program has run.
    Ready {
        /// The sender's CLOCK_MONOTONIC in nanoseconds, only where it shares the host's kernel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock_ns: Option<u64>,
    },
    /// A phase of the guest's own work begins.
    Mark {
        /// Name of the phase.
        phase: String,
    },
    /// A reading of the sender's CLOCK_MONOTONIC, where that is not the host's: by several of them,
    /// none of which can arrive before it was sent, the host finds how the two differ.
    Clock {
        /// The reading in nanoseconds.
        clock_ns: u64,
    },
    /// A phase of the start began when the clock of [`Message::Clock`] stood there.
    Began {
        /// Name of the phase.
        phase: String,
        /// The clock in nanoseconds.
        clock_ns: u64,
    },
    /// The workload accepts requests.
    Listening {
        /// TCP port inside the instance.
        port: u16,
    },
    /// The workload has done what it was asked and holds it (memory touched, computation ended).
    Done {
        /// What was done, in the workload's own unit (bytes touched, iterations).
        amount: u64,
    },
    /// Something was measured about the workload; told several times, the last counts.
    Measured {
        /// What, one of [`crate::MEASURES`].
        measure: String,
        /// How much, in the unit its name ends with.
        value: u64,
    },
    /// The machine waits to be saved; whoever runs on from here is a copy.
    Parked,
    /// A copy has taken its identity.
    Became(Became),
    /// Output of the workload.
    Log {
        /// Where it was written.
        stream: Stream,
        /// The text, invalid UTF-8 replaced.
        text: String,
    },
    /// What became of a request of the workload `probe`.
    Observation(Observation),
    /// The command of the workload `command` has ended.
    Exited {
        /// Exit status; 128 + signal where it was killed.
        code: i32,
    },
    /// The guest could not do something it was asked to.
    Failed {
        /// What, to what, and what the system said.
        error: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope<M> {
    v: u32,
    #[serde(flatten)]
    message: M,
}

impl Message {
    /// The message as it goes on the wire, separator and newline included.
    pub fn encode(&self) -> Vec<u8> {
        let mut line = vec![RECORD_SEPARATOR];
        // Serializing a tree of strings and integers into memory cannot fail.
        if serde_json::to_writer(&mut line, &Envelope { v: PROTOCOL_VERSION, message: self }).is_err() {
            line.truncate(1);
        }
        line.push(b'\n');
        line
    }

    /// Reads one message from the JSON text of a line, without separator and newline. `None`
    /// where it is not a message of this protocol version.
    pub fn decode(json: &[u8]) -> Option<Message> {
        let envelope: Envelope<Message> = serde_json::from_slice(json).ok()?;
        (envelope.v == PROTOCOL_VERSION).then_some(envelope.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        for message in [
            Message::Ready { clock_ns: Some(7) },
            Message::Ready { clock_ns: None },
            Message::Listening { port: 80 },
            Message::Parked,
            Message::Measured { measure: "pulses".into(), value: u64::MAX },
            Message::Became(Became {
                hostname: "a".into(),
                machine_id: "0".into(),
                mac: None,
                address: Some("10.0.0.1/8".into()),
                random: "ff".into(),
                realtime_ns: 1,
            }),
            Message::Clock { clock_ns: 5 },
            Message::Began { phase: "systemd".into(), clock_ns: u64::MAX },
            Message::Log { stream: Stream::Stderr, text: "a\nb\u{1e}c".into() },
            Message::Exited { code: -1 },
        ] {
            let line = message.encode();
            assert_eq!(line[0], RECORD_SEPARATOR);
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(line.iter().filter(|b| **b == RECORD_SEPARATOR).count(), 1);
            assert_eq!(Message::decode(&line[1..line.len() - 1]), Some(message));
        }
    }

    #[test]
    fn another_version_is_not_understood() {
        assert_eq!(Message::decode(br#"{"v":2,"event":"ready"}"#), None);
        assert_eq!(Message::decode(br#"{"event":"ready"}"#), None);
    }
}
