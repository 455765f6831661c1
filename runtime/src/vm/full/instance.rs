//! A running machine with a disk of its own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cgroup::Statistics;
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::vm::disk::Cloned;
use crate::vm::instance::Vm;
use crate::{Error, Exit, Footprint, Instance};

pub(super) struct FullVm {
    vm: Vm,
    cloned: Cloned,
    events: EventSink,
    is_measured: bool,
}

impl FullVm {
    pub(super) fn new(vm: Vm, cloned: Cloned, events: EventSink) -> FullVm {
        FullVm { vm, cloned, events, is_measured: false }
    }

    /// Tells once what the disk has cost so far.
    fn measure(&mut self) {
        if std::mem::replace(&mut self.is_measured, true) {
            return;
        }
        let measures = [
            ("clone_made_bytes", Some(self.cloned.made_bytes)),
            ("disk_written_bytes", self.vm.written_bytes()),
            ("disk_occupied_bytes", self.cloned.occupied_bytes().ok()),
        ];
        for (measure, bytes) in measures {
            if let Some(bytes) = bytes {
                self.events.send(now_ns(), Event::Measured(measure, bytes));
            }
        }
    }
}

impl Instance for FullVm {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        self.vm.service(guest_port)
    }

    fn memory(&self) -> Result<Footprint, Error> {
        self.vm.memory()
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        self.vm.statistics()
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.vm.pause()
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.vm.resume()
    }

    fn set_memory(&mut self, bytes: u64, patience: Duration) -> Result<u64, Error> {
        self.vm.balloon(bytes, patience)
    }

    fn shut_down(&mut self, patience: Duration) -> Result<Exit, Error> {
        let exit = self.vm.shut_down(patience);
        self.measure();
        exit
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        self.measure();
        self.vm.stop()
    }
}
