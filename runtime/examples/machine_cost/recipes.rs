//! What each option of vm:direct is worth: the recipe with one thing changed, in turns with it.

use runtime::{Backend, vm};

use crate::by_hand;
use crate::in_harness::{Bench, options};
use crate::sample::Sample;

type Words = Vec<String>;

pub fn run(turns: usize, only: &[String]) {
    let options = options();
    let bench = Bench::new(&vm::DirectBackend::new(options.clone()) as &dyn Backend, "recipes");
    let config = bench.prepared.config();
    let line = config["command_line"].as_str().expect("a command line");
    let recipe = by_hand::without_sockets(&by_hand::split(line));
    let kernel = bench_kernel(&options);
    let mut variants = vec![("recipe".to_owned(), recipe.clone())];
    variants.extend(variations(&recipe, &kernel).into_iter().map(|(name, words)| (name.to_owned(), words)));
    variants.retain(|(name, _)| name == "recipe" || only.is_empty() || only.contains(name));
    let mut samples: Vec<Sample> = variants.iter().map(|_| Sample::default()).collect();
    for turn in 0..turns {
        for step in 0..variants.len() {
            let at = (turn + step) % variants.len();
            match by_hand::ready_ns("qemu-system-x86_64", &variants[at].1) {
                Some(ready_ns) => samples[at].0.push(ready_ns),
                None => eprintln!("{}: not ready", variants[at].0),
            }
        }
    }
    println!("{} under {}", config["machine"], config["accelerator"]);
    for ((name, _), sample) in variants.iter().zip(&samples) {
        println!("  {name:<34} {}  x {}", sample.show(), sample.ratio_to(&samples[0]));
    }
}

/// The bzImage beside the unpacked kernel.
fn bench_kernel(options: &vm::Options) -> String {
    let found = vm::DirectBackend::new(options.clone()).requirements();
    let kernel = found.into_iter().find(|one| one.what == "guest kernel");
    kernel.and_then(|one| one.state.ok()).expect("a guest kernel")
}

fn variations(recipe: &[String], bzimage: &str) -> Vec<(&'static str, Words)> {
    let value = |option: &str| {
        let at = recipe.iter().position(|word| word == option).expect("an option of the recipe");
        recipe[at + 1].clone()
    };
    let with = |option: &str, new: &str| {
        let mut words = recipe.to_vec();
        let at = words.iter().position(|word| word == option).expect("an option of the recipe");
        words[at + 1] = new.into();
        words
    };
    let without = |option: &str| {
        let mut words = recipe.to_vec();
        let at = words.iter().position(|word| word == option).expect("an option of the recipe");
        words.drain(at..at + 2);
        words
    };
    let and = |more: &[&str]| -> Words {
        recipe.iter().cloned().chain(more.iter().map(|word| (*word).into())).collect()
    };
    let append = value("-append");
    let kernel_words = |words: &str| with("-append", &append.replacen("quiet", &format!("quiet {words}"), 1));
    let kernel_without = |words: &str| with("-append", &append.replacen(&format!(" {words}"), "", 1));
    let tail = append.split_once(" -- ").map_or("", |(_, tail)| tail).to_owned();
    let tsc: Vec<&str> =
        append.split(' ').filter(|word| word.starts_with("tsc_early") || *word == "no_timer_check").collect();
    let console = format!("console=ttyS0 {} panic=-1 reboot=t -- {tail}", tsc.join(" "));
    let everyday: Words = [
        "-M",
        "pc",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-m",
        "128",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        bzimage,
        "-initrd",
        &value("-initrd"),
        "-append",
        &console,
        "-serial",
        "null",
        "-monitor",
        "null",
        "-chardev",
        "stdio,id=guest,signal=off",
        "-device",
        "isa-debugcon,iobase=0xe9,chardev=guest",
    ]
    .map(str::to_owned)
    .to_vec();
    let qboot = "/usr/share/qemu/qboot.rom";
    vec![
        ("everyday", everyday),
        ("machine=pc", with("-machine", "pc")),
        ("machine=q35", with("-machine", "q35")),
        ("bzimage", with("-kernel", bzimage)),
        ("qboot", and(&["-bios", qboot])),
        ("serial", {
            let mut words = with("-append", &append.replacen("quiet", "console=ttyS0", 1));
            words.extend(["-serial".into(), "null".into()]);
            words
        }),
        ("no-sandbox", without("-sandbox")),
        ("cpu=qemu64", with("-cpu", "qemu64")),
        ("cpu=Nehalem", with("-cpu", "Nehalem")),
        ("one-tcg-thread", with("-accel", "tcg,thread=single")),
        ("tb-size=64", with("-accel", "tcg,tb-size=64")),
        ("prealloc", and(&["-mem-prealloc"])),
        ("no-mem-merge", and(&["-machine", "mem-merge=off,dump-guest-core=off"])),
        ("pit=off", and(&["-machine", "pit=off"])),
        ("pic=off", and(&["-machine", "pic=off"])),
        ("rtc=off", and(&["-machine", "rtc=off"])),
        ("isa-serial=off", and(&["-machine", "isa-serial=off"])),
        ("acpi=off", and(&["-machine", "acpi=off"])),
        ("no-auto-kernel-cmdline", and(&["-machine", "auto-kernel-cmdline=off"])),
        ("+mitigations=off", kernel_words("mitigations=off")),
        ("+init_on_alloc=0", kernel_words("init_on_alloc=0")),
        ("+nokaslr", kernel_words("nokaslr")),
        ("+audit=0", kernel_words("audit=0")),
        ("+lpj", kernel_words("lpj=4000000")),
        ("+tsc=reliable", kernel_words("tsc=reliable")),
        ("+noreplace-smp", kernel_words("noreplace-smp")),
        ("+8250.nr_uarts=0", kernel_words("8250.nr_uarts=0")),
        ("+i8042", kernel_words("i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd i8042.nokbd")),
        ("+pci=off", kernel_words("pci=off")),
        ("+nosmp", kernel_words("nosmp")),
        ("+noapic", kernel_words("noapic")),
        ("+cgroup_disable=memory", kernel_words("cgroup_disable=memory")),
        ("+selinux=0", kernel_words("selinux=0 apparmor=0")),
        ("+lsm=", kernel_words("lsm=")),
        ("+no-slow", kernel_words("nowatchdog nmi_watchdog=0 rcupdate.rcu_expedited=1 page_alloc.shuffle=0")),
        (
            "+initcall_blacklist",
            kernel_words(
                "initcall_blacklist=pcspeaker_init,acpi_cpufreq_init,i8042_init,serial8250_init,ata_init,init_sd",
            ),
        ),
        ("-quiet", with("-append", &append.replacen("quiet ", "", 1))),
        ("-cryptomgr.notests", kernel_without("cryptomgr.notests")),
        ("-random.trust_cpu", kernel_without("random.trust_cpu=on")),
    ]
}
