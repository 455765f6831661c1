//! What kind of thing a backend starts, as far as expectations go.

/// What keeps instances of a backend apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Process,
    /// Our own runtime: namespaces and cgroups of the host's kernel.
    Container,
    /// A foreign runtime on the host's kernel.
    Runtime,
    /// An engine, which uses such a runtime.
    Engine,
    /// A kernel of its own as a process of the host (gVisor).
    Sandbox,
    /// A virtual machine.
    Machine,
}

impl Kind {
    /// Of the backend of this name.
    pub fn of(backend: &str) -> Kind {
        let (family, variant) = backend.split_once(':').unwrap_or((backend, ""));
        match family {
            "process" | "fake" => Kind::Process,
            "vm" => Kind::Machine,
            _ if variant.contains("runsc") => Kind::Sandbox,
            "oci" => Kind::Runtime,
            "engine" => Kind::Engine,
            _ => Kind::Container,
        }
    }

    /// Whether what runs inside runs on the host's kernel.
    pub fn shares_kernel(self) -> bool {
        !matches!(self, Kind::Sandbox | Kind::Machine)
    }

    /// Whether it is made of namespaces of the host's kernel.
    pub fn is_namespaced(self) -> bool {
        matches!(self, Kind::Container | Kind::Runtime | Kind::Engine)
    }
}
