use super::assemble::{ARCHITECTURE, assemble};
use super::*;

/// What the program answers, by its own steps, and how many they were: the machine of bpf(4), as far as it is used.
fn run(program: &[u64], number: u32, arguments: [u64; 6], architecture: u32) -> (u32, usize) {
    let mut data = [0u8; 64];
    data[..4].copy_from_slice(&number.to_ne_bytes());
    data[4..8].copy_from_slice(&architecture.to_ne_bytes());
    for (at, argument) in arguments.iter().enumerate() {
        data[16 + 8 * at..24 + 8 * at].copy_from_slice(&argument.to_ne_bytes());
    }
    let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
    loop {
        let bytes = program[at].to_ne_bytes();
        let value = u32::from_ne_bytes(bytes[4..].try_into().expect("four"));
        steps += 1;
        at += 1;
        let jump = |condition: bool| usize::from(if condition { bytes[2] } else { bytes[3] });
        match u16::from_ne_bytes([bytes[0], bytes[1]]) {
            0x20 => {
                let place = value as usize;
                accumulator = u32::from_ne_bytes(data[place..place + 4].try_into().expect("four"));
            }
            0x05 => at += value as usize,
            0x15 => at += jump(accumulator == value),
            0x35 => at += jump(accumulator >= value),
            0x45 => at += jump(accumulator & value != 0),
            0x06 => return (value, steps),
            other => panic!("operation {other:#x}"),
        }
    }
}

fn answer(number: libc::c_long, arguments: [u64; 6]) -> u32 {
    run(&standard().program, number as u32, arguments, ARCHITECTURE).0
}

fn refused(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

#[test]
fn the_default_allows_the_usual_and_refuses_the_dangerous() {
    let none = [0; 6];
    for allowed in
        [libc::SYS_read, libc::SYS_execve, libc::SYS_execveat, libc::SYS_openat2, libc::SYS_exit_group]
    {
        assert_eq!(answer(allowed, none), libc::SECCOMP_RET_ALLOW, "{allowed}");
    }
    for dangerous in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_bpf, libc::SYS_ptrace, libc::SYS_keyctl] {
        assert_eq!(answer(dangerous, none), refused(libc::EPERM), "{dangerous}");
    }
    assert_eq!(answer(libc::SYS_clone3, none), refused(libc::ENOSYS));
    assert_eq!(answer(9_999, none), refused(libc::ENOSYS));
    // The x32 table.
    assert_eq!(answer(0x4000_0000, none), refused(libc::ENOSYS));
    let other = run(&standard().program, 0, none, 0x4000_0003).0;
    assert_eq!(other, libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn arguments_are_looked_at() {
    let first = |value: u64| [value, 0, 0, 0, 0, 0];
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    assert_eq!(answer(libc::SYS_clone, first(thread)), libc::SECCOMP_RET_ALLOW);
    assert_eq!(answer(libc::SYS_clone, first(thread | libc::CLONE_NEWUSER as u64)), refused(libc::EPERM));
    assert_eq!(answer(libc::SYS_socket, first(libc::AF_INET as u64)), libc::SECCOMP_RET_ALLOW);
    assert_eq!(answer(libc::SYS_socket, first(libc::AF_VSOCK as u64)), refused(libc::EPERM));
    assert_eq!(answer(libc::SYS_personality, first(8)), libc::SECCOMP_RET_ALLOW);
    assert_eq!(answer(libc::SYS_personality, first(0x40000)), refused(libc::EPERM));
    assert_eq!(answer(libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0]), refused(libc::EPERM));
    assert_eq!(answer(libc::SYS_ioctl, [0, libc::TIOCGWINSZ, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
}

#[test]
fn every_number_gets_the_action_of_its_rule_in_few_steps() {
    let rules: Vec<(u32, Action)> =
        (0..200).filter(|number| number % 3 == 0).map(|number| (number, Action::Errno(7))).collect();
    let program = assemble(&rules, 300);
    for number in 0..400 {
        let (found, steps) = run(&program, number, [0; 6], ARCHITECTURE);
        let expected = match number {
            0..200 if number % 3 == 0 => refused(7),
            0..=300 => libc::SECCOMP_RET_ALLOW,
            _ => refused(libc::ENOSYS),
        };
        assert_eq!(found, expected, "{number}");
        assert!(steps <= 14, "{steps} steps for {number}");
    }
}

#[test]
fn conditional_jumps_that_would_lead_too_far_are_led_on() {
    let action = |number: u32| match number % 4 {
        0 => Action::Errno(number as i32 % 60),
        2 => Action::OnlyValues { argument: 1, values: &[3, 5] },
        _ => Action::Allow,
    };
    let rules: Vec<(u32, Action)> = (0..2_000).map(|number| (number, action(number))).collect();
    let program = assemble(&rules, 1_999);
    assert!(program.len() > 1_000, "{}", program.len());
    for number in 0..2_000 {
        for (argument, may) in [(3, true), (4, false), (5, true)] {
            let found = run(&program, number, [0, argument, 0, 0, 0, 0], ARCHITECTURE).0;
            let expected = match number % 4 {
                0 => refused(number as i32 % 60),
                2 if !may => refused(libc::EPERM),
                _ => libc::SECCOMP_RET_ALLOW,
            };
            assert_eq!(found, expected, "{number} with {argument}");
        }
    }
}

#[test]
fn the_default_is_short_for_the_kernel_compiles_it_at_each_start() {
    let length = standard().program.len();
    assert!(length < 130, "{length} instructions");
}
