//! Programs of the lab: started until they say they are ready, ended by their id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A running program; it is ended when this is dropped.
pub(super) struct Process {
    child: Child,
    reading: Option<JoinHandle<()>>,
    lines: Receiver<String>,
    log: Vec<String>,
}

const READY_TIMEOUT: Duration = Duration::from_secs(60);

impl Process {
    /// Starts a program and reads its stdout up to the line that says it is `ready`.
    pub(super) fn start_on_stdout(mut command: Command, ready: &str) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        Self::until_ready(child, output, ready)
    }

    /// The same for a program that reports on stderr.
    pub(super) fn start_on_stderr(mut command: Command, ready: &str) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.stderr.take().unwrap();
        Self::until_ready(child, output, ready)
    }

    fn until_ready(child: Child, output: impl Read + Send + 'static, ready: &str) -> Self {
        let (sender, lines) = channel();
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut process = Self { child, reading: Some(reading), lines, log: Vec::new() };
        while !process.log.last().is_some_and(|line| line.contains(ready)) {
            match process.lines.recv_timeout(READY_TIMEOUT) {
                Ok(line) => process.log.push(line),
                Err(why) => panic!("a program did not get ready ({why}): {:#?}", process.log),
            }
        }
        process
    }

    /// Ends the program by a signal and waits for it.
    pub(super) fn end(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }

    /// Everything an ended program has said.
    pub(super) fn log(&mut self) -> &[String] {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        self.log.extend(self.lines.try_iter());
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end; it must succeed. What it wrote to stdout.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
