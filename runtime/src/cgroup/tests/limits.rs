//! What limits do to those inside, with the same program without a limit as the control.

use std::os::unix::process::ExitStatusExt;

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn memory_beyond_the_limit_kills_inside_only_and_is_counted() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let limits = Limits { memory_bytes: Some(32 * MIB), ..Limits::default() };
        let limited = group(&hierarchies, &format!("memory-{name}"), &limits);
        let wide = Limits { memory_bytes: Some(256 * MIB), ..Limits::default() };
        let control = group(&hierarchies, &format!("memory-control-{name}"), &wide);
        let touch = Workload::Memory { bytes: 64 * MIB };
        let mut neighbour = Inside::workload(&control, Workload::Ready);
        let mut victim = Inside::workload(&limited, touch.clone());
        let mut other = Inside::workload(&control, touch);
        assert_eq!(victim.0.wait().expect("ended").signal(), Some(libc::SIGKILL), "{name}");
        let counted = limited.statistics().expect("readable").memory.expect("a memory controller");
        assert_eq!(counted.oom_kills, 1, "{name}: {counted:?}");
        // Kernel 6.18 no longer counts them on v1.
        assert!(counted.limit_hits > 0 || name != "v2", "{name}: {counted:?}");
        eventually("the control touches its memory", || {
            control.memory_bytes().is_some_and(|bytes| bytes >= 64 * MIB)
        });
        let counted = control.statistics().expect("readable").memory.expect("a memory controller");
        assert_eq!(counted.oom_kills, 0, "{name}: {counted:?}");
        assert!(counted.peak_bytes.is_none_or(|bytes| bytes >= 64 * MIB), "{name}: {counted:?}");
        assert!(neighbour.0.try_wait().expect("asked").is_none(), "{name}: the neighbour was killed too");
        assert!(other.0.try_wait().expect("asked").is_none(), "{name}: the control was killed");
    }
}

#[test]
fn memory_above_the_high_mark_slows_down_and_is_counted() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let limits = Limits { memory_high_bytes: Some(8 * MIB), ..Limits::default() };
        let made = Cgroup::create(&hierarchies, &run_name(), &format!("high-{name}"), &limits);
        if hierarchies.mode() != Mode::V2 {
            let refused = made.expect_err("v1 has no such mark").to_string();
            assert!(refused.contains("memory_high_bytes"), "{refused}");
            continue;
        }
        let slowed = made.expect("made");
        let _inside = Inside::workload(&slowed, Workload::Memory { bytes: 24 * MIB });
        let hits = || slowed.statistics().expect("readable").memory.expect("memory").high_hits;
        eventually("the mark is passed", || hits().is_some_and(|hits| hits > 0));
        assert_eq!(slowed.statistics().expect("readable").memory.expect("memory").oom_kills, 0);
    }
}

#[test]
fn one_process_more_than_the_limit_is_refused() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let limits = Limits { pids: Some(5), ..Limits::default() };
        let limited = group(&hierarchies, &format!("pids-{name}"), &limits);
        let script = "i=0; while [ $i -lt 8 ]; do sleep 100 >/dev/null 2>&1 & i=$((i+1)); done; echo all";
        let mut shell = Inside::shell(&limited, script);
        let said = shell.output();
        // The shell ends at what it is refused, a little after its output; of its four children all remain.
        assert!(said.contains("fork") && !said.contains("all"), "{name}: {said:?}");
        eventually("four are left", || limited.processes().expect("readable").len() == 4);
        let counted = limited.statistics().expect("readable").pids.expect("a pids controller");
        assert!(counted.refused > 0, "{name}: {counted:?}");
        drop(limited);
        let wide = Limits { pids: Some(50), ..Limits::default() };
        let control = group(&hierarchies, &format!("pids-control-{name}"), &wide);
        let said = Inside::shell(&control, script).output();
        assert!(said.contains("all"), "{name}: {said:?}");
        let counted = control.statistics().expect("readable").pids.expect("a pids controller");
        assert_eq!((counted.refused, control.processes().expect("readable").len()), (0, 8), "{name}");
    }
}

/// Processor time used in about a second of wall time, as a share of it.
fn share_of_a_second(cgroup: &Cgroup) -> f64 {
    let used_ns =
        || cgroup.statistics().expect("readable").cpu.and_then(|cpu| cpu.usage_ns).expect("counted") as f64;
    let (began, before_ns) = (Instant::now(), used_ns());
    std::thread::sleep(Duration::from_secs(1));
    (used_ns() - before_ns) / began.elapsed().as_nanos() as f64
}

#[test]
fn a_processor_quota_is_kept() {
    let (_run, _turn) = (RunFolder, turn());
    for (name, hierarchies) in arrangements() {
        let limits = Limits { cpus: Some(0.1), ..Limits::default() };
        let limited = group(&hierarchies, &format!("cpu-{name}"), &limits);
        let wide = Limits { cpus: Some(100.0), ..Limits::default() };
        let control = group(&hierarchies, &format!("cpu-control-{name}"), &wide);
        let _slow = Inside::workload(&limited, Workload::Cpu);
        let share = share_of_a_second(&limited);
        let counted = limited.statistics().expect("readable").cpu.expect("counted");
        assert!(share < 0.15, "{name}: used {share} of a processor; {counted:?}");
        assert!(counted.throttled_periods.is_some_and(|periods| periods > 0), "{name}: {counted:?}");
        assert!(counted.throttled_ns.is_some_and(|ns| ns > 0), "{name}: {counted:?}");
        // How much an unlimited one gets depends on the neighbours; that nothing holds it back does not.
        let throttled = |cgroup: &Cgroup| {
            cgroup.statistics().expect("readable").cpu.and_then(|cpu| cpu.throttled_periods)
        };
        let _fast = Inside::workload(&control, Workload::Cpu);
        assert!(share_of_a_second(&control) > 0.0, "{name}: the control did not run");
        assert_eq!(throttled(&control), Some(0), "{name}");
        // The quota of a group that lives can be changed.
        limited.limit(&wide).expect("raised");
        let before = throttled(&limited);
        share_of_a_second(&limited);
        assert_eq!(throttled(&limited), before, "{name}: throttled after the quota was raised");
    }
}

#[test]
fn weights_decide_where_processors_are_busy() {
    let (_run, _turn) = (RunFolder, turn());
    for (name, hierarchies) in arrangements() {
        let ratio = |kind: &str, weights: [u64; 2]| {
            let groups = weights.map(|weight| {
                let limits = Limits {
                    cpu_weight: Some(CpuWeight::Weight(weight)),
                    cpuset_cpus: Some("0".into()),
                    cpus: Some(100.0),
                    ..Limits::default()
                };
                group(&hierarchies, &format!("weight-{kind}-{weight}-{name}"), &limits)
            });
            let _busy = [0, 1].map(|at| Inside::workload(&groups[at], Workload::Cpu));
            std::thread::sleep(Duration::from_millis(1500));
            let used = groups.each_ref().map(|one| {
                one.statistics().expect("readable").cpu.and_then(|cpu| cpu.usage_ns).expect("counted") as f64
            });
            used[1] / used[0]
        };
        let uneven = ratio("uneven", [100, 1000]);
        assert!(uneven > 3.0, "{name}: ten times the weight, {uneven} times the time");
        let even = ratio("even", [100, 101]);
        assert!(even < 3.0, "{name}: the same weight, {even} times the time");
    }
}

#[test]
fn a_cpuset_confines() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let allowed =
            |cgroup: &Cgroup| Inside::shell(cgroup, "exec grep Cpus_allowed_list /proc/self/status").output();
        let limits = Limits { cpuset_cpus: Some("0".into()), ..Limits::default() };
        let confined = group(&hierarchies, &format!("cpuset-{name}"), &limits);
        assert_eq!(allowed(&confined).split_whitespace().last(), Some("0"), "{name}");
        let nowhere = Limits { cpuset_cpus: Some("9999".into()), ..Limits::default() };
        let refused = Cgroup::create(&hierarchies, &run_name(), &format!("cpuset-no-{name}"), &nowhere);
        let refused = refused.expect_err("there is no such processor").to_string();
        assert!(refused.contains("cpuset.cpus") && refused.contains("9999"), "{refused}");
    }
}

#[test]
fn devices_that_are_not_allowed_do_not_open() {
    let _run = RunFolder;
    let mut arrangements = arrangements();
    // The program of v2 works without any controller, so in the v2 tree of a hybrid host too.
    let programs = arrangements.iter().find(|(name, _)| *name == "hybrid").cloned();
    arrangements.extend(programs.map(|(_, hybrid)| ("program", hybrid.without_v1("devices"))));
    for (name, hierarchies) in arrangements {
        let null = DeviceRule {
            allow: true,
            kind: DeviceKind::Char,
            major: Some(1),
            minor: Some(3),
            access: DeviceAccess::ALL,
        };
        let limits = Limits { devices: Some(vec![null]), ..Limits::default() };
        let limited = group(&hierarchies, &format!("devices-{name}"), &limits);
        let script =
            "exec 2>&1; cat /dev/null && echo null; head -c1 /dev/zero >/dev/null && echo zero; true";
        let said = Inside::shell(&limited, script).output();
        assert!(said.contains("null") && !said.contains("zero\n"), "{name}: {said:?}");
        assert!(said.contains("Operation not permitted"), "{name}: {said:?}");
        let control = group(&hierarchies, &format!("devices-control-{name}"), &Limits::default());
        assert_eq!(Inside::shell(&control, script).output(), "null\nzero\n", "{name}");
        // New rules take the place of the old ones.
        let zero = DeviceRule { minor: Some(5), ..null };
        limited.limit(&Limits { devices: Some(vec![null, zero]), ..Limits::default() }).expect("widened");
        assert_eq!(Inside::shell(&limited, script).output(), "null\nzero\n", "{name}");
        limited.limit(&limits).expect("narrowed");
        assert!(!Inside::shell(&limited, script).output().contains("zero\n"), "{name}");
    }
}

#[test]
fn v1_refuses_device_rules_it_cannot_express() {
    let _run = RunFolder;
    let arrangements = arrangements();
    let Some((_, hierarchies)) = arrangements.iter().find(|(name, _)| *name == "v1") else { return };
    let all = DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: None,
        minor: None,
        access: DeviceAccess::ALL,
    };
    let but_one = DeviceRule { allow: false, major: Some(1), minor: Some(5), ..all };
    let limits = Limits { devices: Some(vec![all, but_one]), ..Limits::default() };
    let refused = Cgroup::create(hierarchies, &run_name(), "devices-no", &limits).expect_err("refused");
    assert!(refused.to_string().contains("deny c 1:5"), "{refused}");
}

#[test]
fn reading_a_disk_is_kept_to_its_ceiling() {
    let _run = RunFolder;
    let Some((file, device)) = guest::readable_disk() else {
        eprintln!("skipped: no block device to read from");
        return;
    };
    for (name, hierarchies) in arrangements() {
        let limit = IoLimit { device, read_bytes_per_s: Some(MIB), ..IoLimit::default() };
        let limits = Limits { io: vec![limit.clone()], ..Limits::default() };
        let limited = group(&hierarchies, &format!("io-{name}"), &limits);
        // Past the page cache, or nothing would be read.
        let script = format!("exec dd if={} of=/dev/null bs=256k count=6 iflag=direct 2>&1", file.display());
        let began = Instant::now();
        let said = Inside::shell(&limited, &script).output();
        let limited_s = began.elapsed().as_secs_f64();
        assert!(said.contains("6+0 records in"), "{name}: {said}");
        assert!(limited_s > 0.9, "{name}: 1.5 MiB at 1 MiB/s took {limited_s} s");
        let counted = limited.statistics().expect("readable").io;
        let read_bytes = counted.iter().find(|one| one.device == device).map(|one| one.read_bytes);
        assert!(read_bytes.is_some_and(|bytes| bytes >= 6 * 256 * 1024), "{name}: {counted:?}");
        limited
            .limit(&Limits { io: vec![IoLimit { read_bytes_per_s: Some(UNLIMITED), ..limit }], ..limits })
            .expect("taken away");
        let began = Instant::now();
        Inside::shell(&limited, &script).output();
        let free_s = began.elapsed().as_secs_f64();
        assert!(free_s < limited_s, "{name}: {free_s} s without a ceiling, {limited_s} s with one");
    }
}

#[test]
fn huge_pages_beyond_the_limit_are_refused() {
    let _run = RunFolder;
    if !guest::has_huge_pages() {
        eprintln!("skipped: reserving huge pages is for a guest's kernel, not for the host's");
        return;
    }
    for (name, hierarchies) in arrangements() {
        let limits = |bytes| Limits {
            hugetlb: vec![HugetlbLimit { page_size: "2MB".into(), bytes }],
            ..Limits::default()
        };
        let limited = group(&hierarchies, &format!("huge-{name}"), &limits(2 * MIB));
        let control = group(&hierarchies, &format!("huge-control-{name}"), &limits(8 * MIB));
        let status = |cgroup: &Cgroup| {
            let pid = members::child(&cgroup.entrance().expect("open"), map_two_huge_pages).expect("cloned");
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            let options = rustix::process::WaitOptions::empty();
            rustix::process::waitpid(Some(pid), options)
                .expect("ended")
                .and_then(|(_, end)| end.exit_status())
        };
        assert_eq!(status(&limited), Some(libc::ENOMEM), "{name}");
        assert_eq!(status(&control), Some(0), "{name}");
    }
}

fn map_two_huge_pages() {
    // SAFETY: a fresh mapping in a child of one thread, which then ends.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(std::ptr::null_mut(), 4 << 20, protection, flags, -1, 0);
        libc::_exit(if start == libc::MAP_FAILED { *libc::__errno_location() } else { 0 });
    }
}

#[test]
fn files_of_v2_can_be_named_where_no_field_is() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let limits = Limits { unified: [("pids.max".into(), "3".into())].into(), ..Limits::default() };
        let made = Cgroup::create(&hierarchies, &run_name(), &format!("unified-{name}"), &limits);
        if hierarchies.mode() != Mode::V2 {
            assert!(made.expect_err("not there").to_string().contains("pids.max"), "{name}");
            continue;
        }
        let cgroup = made.expect("made");
        let said = Inside::shell(&cgroup, "sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo all").output();
        assert!(!said.contains("all"), "{said}");
    }
}

#[test]
fn a_limit_that_is_not_to_be_had_is_named_and_nothing_stays() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let cases = [
            (Limits { cpus: Some(0.001), ..Limits::default() }, "cpus"),
            (
                Limits {
                    hugetlb: vec![HugetlbLimit { page_size: "3MB".into(), bytes: 0 }],
                    ..Limits::default()
                },
                "3MB",
            ),
            (Limits { unified: [("../x".into(), "1".into())].into(), ..Limits::default() }, "../x"),
            (
                Limits { unified: [("nonsense.max".into(), "1".into())].into(), ..Limits::default() },
                "nonsense",
            ),
        ];
        for (limits, named) in cases {
            let refused = Cgroup::create(&hierarchies, &run_name(), &format!("bad-{name}"), &limits);
            let refused = refused.expect_err("refused").to_string();
            assert!(refused.contains(named) || refused.contains("hugetlb"), "{refused}");
            for root in hierarchies.roots() {
                assert!(!root.join(TOP).join(run_name()).join(format!("bad-{name}")).exists());
            }
        }
    }
}
