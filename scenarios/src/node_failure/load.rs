//! A light load of requests: open loop, each due at its time whatever became of the others.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use guest::Protocol;
use runtime::clock::now_ns;

use crate::client;
use crate::clock::sleep_until_ns;

/// Requests that may be waiting for their answers at the same time; more are counted as lost, since
/// no client of that many is left.
const ASKERS: usize = 64;

/// Who serves where. Shared with whoever starts and ends instances.
#[derive(Clone, Default)]
pub(super) struct Registry {
    places: Arc<Mutex<Vec<Option<SocketAddr>>>>,
}

impl Registry {
    /// Places for `count` instances, none of which serves.
    pub(super) fn new(count: u32) -> Registry {
        Registry { places: Arc::new(Mutex::new(vec![None; count as usize])) }
    }

    /// `place` is served from `address` from now on, or by nobody.
    pub(super) fn set(&self, place: u32, address: Option<SocketAddr>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = places.get_mut(place as usize) {
            *entry = address;
        }
    }

    fn get(&self, place: usize) -> Option<SocketAddr> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(place).copied().flatten()
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// When it was due, CLOCK_MONOTONIC.
    pub(super) due_ns: u64,
    /// When its answer was whole; `None` where there was none.
    pub(super) answered_ns: Option<u64>,
}

/// A load that is on. Dropping it ends it.
pub(super) struct Load {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    requests: Arc<Mutex<Vec<Request>>>,
    asked: Arc<AtomicU64>,
}

impl Load {
    /// Asks `rate_per_s` times a second, the places in turn.
    pub(super) fn start(registry: &Registry, places: u32, protocol: Protocol, rate_per_s: f64) -> Load {
        let ends = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = channel::<(u64, usize)>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for _ in 0..ASKERS {
            let (receiver, registry) = (Arc::clone(&receiver), registry.clone());
            let requests = Arc::clone(&requests);
            threads.push(std::thread::spawn(move || {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((due_ns, place)) = next else { return };
                    // Nobody there, a refusal and a time-out are all the same to who asked: no answer.
                    let answered =
                        registry.get(place).is_some_and(|address| client::ask(address, protocol).is_ok());
                    let request = Request { due_ns, answered_ns: answered.then(now_ns) };
                    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                }
            }));
        }
        let (scheduler_ends, counter) = (Arc::clone(&ends), Arc::clone(&asked));
        threads.push(std::thread::spawn(move || {
            let began_ns = now_ns();
            for number in 0u64.. {
                let due_ns = began_ns + (number as f64 * 1e9 / rate_per_s) as u64;
                sleep_until_ns(due_ns);
                if scheduler_ends.load(Ordering::Relaxed) {
                    return;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                if sender.send((due_ns, (number % u64::from(places)) as usize)).is_err() {
                    return;
                }
            }
        }));
        Load { ends, threads, requests, asked }
    }

    /// Ends it and waits for the answers that are still to come. All requests, in the order of their due times.
    pub(super) fn finish(mut self) -> Vec<Request> {
        self.end();
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        requests.sort_by_key(|request| request.due_ns);
        debug_assert_eq!(requests.len() as u64, self.asked.load(Ordering::Relaxed));
        requests
    }

    fn end(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn what_is_asked_of_nobody_is_lost_and_nothing_is_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let _ = connection.read(&mut [0; 256]);
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let registry = Registry::new(2);
        registry.set(0, Some(address));
        let load = Load::start(&registry, 2, Protocol::Http, 200.0);
        sleep_until_ns(now_ns() + 200_000_000);
        registry.set(1, Some(address));
        let served_ns = now_ns();
        sleep_until_ns(now_ns() + 100_000_000);
        let requests = load.finish();
        assert!(requests.len() >= 30, "{}", requests.len());
        let lost: Vec<&Request> = requests.iter().filter(|request| request.answered_ns.is_none()).collect();
        assert!(lost.len() >= 10 && lost.len() < requests.len() - 10, "{} of {}", lost.len(), requests.len());
        assert!(lost.iter().all(|request| request.due_ns <= served_ns));
    }
}
