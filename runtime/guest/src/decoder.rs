//! Finding messages in a stream of bytes that may hold anything.

use crate::message::{Message, RECORD_SEPARATOR};

/// Longest line that is kept; the rest of a longer one is dropped and counted.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// One finding of the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A message of the protocol.
    Message(Message),
    /// A line that is none: kernel, firmware or garbage, invalid UTF-8 replaced.
    Text(String),
}

/// Splits a byte stream into messages and other text. Memory is bounded by [`MAX_LINE_BYTES`].
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    dropped_bytes: u64,
}

impl Decoder {
    /// Takes the next bytes of the stream and hands every complete line to `found`.
    pub fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Decoded)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.flush(&mut found);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// Hands out what is left when the stream has ended in the middle of a line.
    pub fn finish(&mut self, mut found: impl FnMut(Decoded)) {
        self.flush(&mut found);
    }

    /// Bytes dropped from lines longer than [`MAX_LINE_BYTES`].
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.line.len();
        let kept = bytes.len().min(room);
        self.line.extend_from_slice(&bytes[..kept]);
        self.dropped_bytes += (bytes.len() - kept) as u64;
    }

    fn flush(&mut self, found: &mut impl FnMut(Decoded)) {
        let line = std::mem::take(&mut self.line);
        let (text, json) = match line.iter().rposition(|byte| *byte == RECORD_SEPARATOR) {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (&line[..], None),
        };
        let message = json.and_then(Message::decode);
        let text = if json.is_some() && message.is_none() { &line[..] } else { text };
        let text = String::from_utf8_lossy(text);
        let text = text.trim_end_matches('\r');
        if !text.is_empty() {
            found(Decoded::Text(text.to_owned()));
        }
        if let Some(message) = message {
            found(Decoded::Message(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Vec<Decoded> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk, |item| found.push(item));
        }
        decoder.finish(|item| found.push(item));
        found
    }

    #[test]
    fn a_message_behind_kernel_text_is_found() {
        let ready = Message::Ready { clock_ns: None };
        let mut line = b"[    0.1] console".to_vec();
        line.extend(ready.encode());
        assert_eq!(decode(&[&line]), [Decoded::Text("[    0.1] console".into()), Decoded::Message(ready)]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_end() {
        let mut decoder = Decoder::default();
        for _ in 0..100 {
            decoder.feed(&[b'x'; 4096], |_| panic!("no line has ended"));
        }
        assert_eq!(decoder.dropped_bytes(), 100 * 4096 - MAX_LINE_BYTES as u64);
    }

    proptest! {
        #[test]
        fn garbage_never_hides_the_next_message(garbage: Vec<u8>, split in 0usize..200) {
            let message = Message::Listening { port: 80 };
            let mut bytes = garbage;
            bytes.push(b'\n');
            bytes.extend(message.encode());
            let split = split.min(bytes.len());
            let found = decode(&[&bytes[..split], &bytes[split..]]);
            prop_assert_eq!(found.last(), Some(&Decoded::Message(message)));
        }
    }
}
