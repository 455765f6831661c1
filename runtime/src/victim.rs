//! Who ends first where memory is out: instances, and this program after them.
//!
//! A run that is in a small group, or on a small host, is larger than each of its instances, and would be
//! the first the kernel ends (proc_pid_oom_score_adj(5)); all that was measured would end with it. Whoever
//! is started is given the highest value there is, as everybody may.

/// The value of every instance: such a process goes before all others of its group.
pub(crate) const OOM_SCORE_ADJ: i32 = 1000;
