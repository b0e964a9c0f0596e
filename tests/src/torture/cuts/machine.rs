//! A machine that dies: user-mode-linux, which is a kernel in a few processes.
//!
//! Its root is the host's, read-only; its one disk is an image with ext4. Inside, a
//! [`guest`](super::guest) runs the server and the load, and tells us over the console what
//! was acknowledged. Then all processes of the machine are killed at once: whatever the kernel
//! in it had not written to its disk is gone, and no code of it has a say. Here, on the host,
//! the image is mounted and looked at.
//!
//! The machine makes itself the leader of a session and a process group, so one signal reaches
//! all of it. One process left alive could go on writing to the image and give false alarms,
//! so nothing is looked at before the last one has closed the console.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process_group};

use super::event::Event;
use super::ground::{Disk, FileSystem, Ground};
use super::guest::{Deed, READ, STARTING};
use super::inspect::{Inspector, Running};
use super::lives::{CUTS_PER_CUT_IN_START, CUTS_PER_SECOND_CUT, Order};
use super::tally::Tally;
use crate::support::Random;
use crate::torture::server::PATIENCE;

/// Cuts between two fresh starts. A machine is slow, and reads all that has gathered.
const CUTS_OF_A_DISK: u64 = 10;
/// Answers after which the rest of a life begins are below this.
const ANSWERS: u64 = 200;
/// Milliseconds of the rest of a life are below this.
const LIFE_MS: u64 = 1_000;
/// Milliseconds after which a cut during a start comes are below this.
const START_MS: u64 = 600;
/// Memory of a machine.
const MEMORY: &str = "mem=256M";

/// Does what is ordered; ends at the first violation.
pub(super) fn run(order: &Order, scratch: &Path, advance: &dyn Fn()) -> Result<Tally> {
    let began = Instant::now();
    let mut disk = Disk::new(FileSystem::Ext4, scratch)?;
    let mut inspector = Inspector::new(order.durability, true, Some(&disk.log()))?;
    let ended = lives_of_machines(order, &mut disk, &mut inspector, advance);
    if ended.is_err() || inspector.tally.is_violated() {
        inspector.keep_evidence();
    }
    ended.with_context(|| inspector.tally.remarks.join("; "))?;
    inspector.tally.millis = began.elapsed().as_millis() as u64;
    Ok(inspector.tally)
}

fn lives_of_machines(
    order: &Order,
    disk: &mut Disk,
    inspector: &mut Inspector,
    advance: &dyn Fn(),
) -> Result<()> {
    let mut random = Random(order.seed);
    let mut life = 0;
    let log = disk.log();
    while inspector.tally.cuts < order.cuts && !inspector.tally.is_violated() {
        if inspector.tally.cuts.is_multiple_of(CUTS_OF_A_DISK) {
            disk.format()?;
            inspector.forget();
        }
        life += 1;
        let mut events = Vec::new();
        if random.below(CUTS_PER_CUT_IN_START) == 0 {
            Machine::boot(disk, life, order, Deed::Load)?.cut_in_start(&mut random)?;
            inspector.tally.cuts_in_start += 1;
        } else {
            events = Machine::boot(disk, life, order, Deed::Load)?.cut(&mut random)?;
            inspector.tally.cuts += 1;
            if random.below(CUTS_PER_SECOND_CUT) == 0 {
                events.extend(Machine::boot(disk, life, order, Deed::Read)?.cut_when_read()?);
                inspector.tally.second_cuts += 1;
            }
            advance();
        }
        disk.mount()?;
        let running = inspector.inspect(life, &events, &disk.data(), &log)?;
        // Not stopped cleanly either, so that the next machine meets what a recovery left.
        if let Some(Running { mut server, .. }) = running {
            server.kill()?;
            server.wait()?;
        }
        if !inspector.tally.is_violated() {
            disk.unmount()?;
        }
    }
    Ok(())
}

/// A machine that runs. Dropped, it is killed.
struct Machine {
    /// The first of its processes, and the leader of their group.
    child: Child,
    console: Receiver<String>,
    /// All that was said on the console, for when it goes wrong.
    said: Vec<String>,
}

impl Machine {
    /// Boots with a server on the disk, which must not be mounted here.
    fn boot(disk: &Disk, life: u32, order: &Order, deed: Deed) -> Result<Machine> {
        let image = disk.image();
        let scratch = image.parent().expect("an image lies in a directory");
        let script = write_script(scratch, disk, life, order, deed)?;
        let mut command = Command::new("linux.uml");
        command
            .env("TMPDIR", "/dev/shm")
            .env("HOME", scratch)
            .args([MEMORY, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"])
            .args(["con=null", "con0=fd:0,fd:1", "ssl=null"])
            .arg(format!("init={}", script.display()))
            .arg(format!("ubda={}", image.display()))
            .arg(format!("umid=anabranch-{life}-{deed:?}"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start linux.uml")?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, console) = channel();
        std::thread::spawn(move || {
            let lines = stdout.split(b'\n').map_while(Result::ok);
            for line in lines {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Ok(Machine { child, console, said: Vec::new() })
    }

    /// Lets the load run for a while, and cuts.
    fn cut(mut self, random: &mut Random) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let answers = 1 + random.below(ANSWERS);
        let mut seen = 0;
        while seen < answers {
            let event = Event::from_line(&self.hear()?);
            seen += u64::from(matches!(event, Some(Event::Acknowledged { .. })));
            events.extend(event);
        }
        pause(random, LIFE_MS);
        // What was said before the end, up to the last whole line.
        let rest = self.kill()?;
        events.extend(rest.iter().filter_map(|line| Event::from_line(line)));
        Ok(events)
    }

    /// Cuts as soon as the server has started anew and everything was read.
    fn cut_when_read(mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            let line = self.hear()?;
            if line.trim_end() == READ {
                break;
            }
            events.extend(Event::from_line(&line));
        }
        self.kill()?;
        Ok(events)
    }

    /// Cuts while the server starts.
    fn cut_in_start(mut self, random: &mut Random) -> Result<()> {
        while self.hear()?.trim_end() != STARTING {}
        pause(random, START_MS);
        self.kill()?;
        Ok(())
    }

    /// The next line of the console.
    fn hear(&mut self) -> Result<String> {
        match self.console.recv_timeout(PATIENCE) {
            Ok(line) => {
                if Event::from_line(&line).is_none() {
                    self.said.push(line.clone());
                }
                Ok(line)
            }
            Err(_) => bail!("the machine says no more; it said: {}", self.said.join(" | ")),
        }
    }

    /// All of its processes at once, and what they had said. The end of the console is the end
    /// of the last process that could have written to the disk.
    fn kill(&mut self) -> Result<Vec<String>> {
        kill_process_group(Pid::from_child(&self.child), Signal::KILL)?;
        self.child.wait()?;
        let mut rest = Vec::new();
        loop {
            match self.console.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(rest),
                Err(RecvTimeoutError::Timeout) => bail!("a process of the machine outlives it"),
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail on one that was killed before.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn pause(random: &mut Random, below_ms: u64) {
    std::thread::sleep(Duration::from_micros(random.below(1000 * below_ms)));
}

/// The first program in the machine.
fn write_script(
    scratch: &Path,
    disk: &Disk,
    life: u32,
    order: &Order,
    deed: Deed,
) -> Result<PathBuf> {
    let path = scratch.join("init");
    let mounted_at = disk.mounted_at();
    let mutant = std::env::var("ANABRANCH_MUTANT");
    let mutant = mutant.map_or(String::new(), |name| format!("export ANABRANCH_MUTANT='{name}'\n"));
    let script = format!(
        "#!/bin/sh\n\
         PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
         mount -t proc proc /proc\n\
         ip link set lo up\n\
         mount -t ext4 /dev/ubda '{mounted}' || exit 1\n\
         {mutant}exec '{program}' guest '{data}' {durability} {life} {deed}\n",
        mounted = mounted_at.display(),
        program = std::env::current_exe()?.display(),
        data = disk.data().display(),
        durability = order.durability.word(),
        deed = deed.to_possible_value().expect("no deed is hidden").get_name(),
    );
    std::fs::write(&path, script)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode)?;
    Ok(path)
}
