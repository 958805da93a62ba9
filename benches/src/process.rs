//! Runs a program and says what it took: time, processor time, and the most memory it held.
//!
//! Processor time is read from the process after it has ended and before it is reaped, so nothing
//! is missed. The peak of memory is the kernel's own high-water mark (`VmHWM`) of the process and
//! of every process below it, read every few milliseconds: a process that lives shorter than that
//! may go unseen.

use std::collections::HashMap;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde::Serialize;

/// Time between two looks at the memory of a process.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// Clock ticks a second in /proc (`USER_HZ`, the same on every Linux that this runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run of a program took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds from start to end.
    pub seconds: f64,
    /// Seconds of processor time, user and system, with all children that were waited for.
    pub processor_seconds: f64,
    /// The most resident memory, in bytes: the sum over the process and its children.
    pub peak_memory: u64,
}

/// Runs `command` to its end.
///
/// # Errors
/// Of starting the program and of waiting for it.
pub fn run(command: &mut Command) -> io::Result<(Cost, ExitStatus)> {
    let start = Instant::now();
    let mut child = command.spawn()?;
    let id = child.id();
    let over = AtomicBool::new(false);
    let (ended, peak_memory) = thread::scope(|scope| {
        let sampler = scope.spawn(|| watch_memory(id, &over));
        let ended = wait_without_reaping(id).map(|()| start.elapsed());
        over.store(true, Ordering::Relaxed);
        (ended, sampler.join().unwrap_or(0))
    });
    let seconds = ended?.as_secs_f64();
    let processor_seconds = processor_seconds(id);
    Ok((Cost { seconds, processor_seconds, peak_memory }, child.wait()?))
}

fn wait_without_reaping(id: u32) -> io::Result<()> {
    let pid = pid(id)?;
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    Ok(())
}

fn pid(id: u32) -> io::Result<Pid> {
    let number = i32::try_from(id).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::other(format!("{id} is no process")))
}

fn watch_memory(id: u32, over: &AtomicBool) -> u64 {
    let mut peaks = HashMap::new();
    while !over.load(Ordering::Relaxed) {
        note_peaks(id, &mut peaks);
        thread::sleep(SAMPLE_EVERY);
    }
    peaks.values().sum()
}

fn note_peaks(id: u32, peaks: &mut HashMap<u32, u64>) {
    if let Some(peak) = peak_memory(id) {
        peaks.insert(id, peak);
    }
    for child in children(id) {
        note_peaks(child, peaks);
    }
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// The most memory that process `id` ever had resident, in bytes.
fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The sum of [`peak_memory`] over process `id` and every process below it.
#[must_use]
pub fn peak_memory_of_family(id: u32) -> u64 {
    let mut peaks = HashMap::new();
    note_peaks(id, &mut peaks);
    peaks.values().sum()
}

/// [`processor_seconds`] of process `id` and of every process below it.
#[must_use]
pub fn processor_seconds_of_family(id: u32) -> f64 {
    let below: f64 = children(id).into_iter().map(processor_seconds_of_family).sum();
    processor_seconds(id) + below
}

/// Processor time that process `id` and the children that it waited for have used, in seconds.
fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces. After it: state, then field 4 of proc(5) onwards.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u32 = fields.skip(11).take(4).filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / TICKS_PER_SECOND
}

/// A program that runs in the background until this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
}

impl Background {
    /// Starts `command`.
    ///
    /// # Errors
    /// Of starting it.
    pub fn start(command: &mut Command) -> io::Result<Background> {
        Ok(Background { child: command.spawn()? })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// Asks the program to end, waits a while, and ends it if it does not.
impl Drop for Background {
    fn drop(&mut self) {
        if let Ok(pid) = pid(self.child.id())
            && !self.has_ended()
        {
            let _asked = kill_process(pid, Signal::TERM);
        }
        for _ in 0..500 {
            if self.has_ended() {
                return;
            }
            thread::sleep(SAMPLE_EVERY);
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_program_is_seen() {
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3";
        let (cost, status) = run(Command::new("sh").args(["-c", busy])).expect("sh runs");
        assert_eq!(status.code(), Some(3));
        assert!(cost.processor_seconds > 0.0, "{cost:?}");
        assert!(cost.peak_memory > 100 * 1024, "{cost:?}");
    }

    #[test]
    fn a_background_program_ends_when_dropped() {
        let program = Background::start(Command::new("sleep").arg("1000")).expect("sleep starts");
        let id = program.id();
        drop(program);
        assert!(peak_memory(id).is_none());
    }
}
