//! A person's terminal: a pseudo-terminal with a program on it, keys to press and a screen to read.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::wait;

/// A program that runs on a pseudo-terminal of its own, in a session of its own.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts the program with 80 columns and 24 rows.
    pub fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        set_size(&master, 24, 80);
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let mut on_terminal = Command::new("setsid");
        on_terminal.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        on_terminal.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("TERM", "xterm");
        on_terminal.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = on_terminal.spawn().unwrap();
        let terminal = Self { master: master.into(), child, screen: Arc::default() };
        terminal.read_in_background();
        terminal
    }

    fn read_in_background(&self) {
        let (mut master, screen) = (self.master.try_clone().unwrap(), Arc::clone(&self.screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last program that has the terminal open ends this with EIO.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                screen.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
    }

    /// Presses keys.
    pub fn send(&mut self, keys: &str) -> &mut Self {
        self.master.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits until the screen has shown this text.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        wait::until_or(&format!("{text:?} on the screen"), || self.screen().contains(text), || self.screen());
        self
    }

    /// Everything the screen has shown.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Gives the terminal another size; the programs on it are told by signal.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// Whether the terminal edits lines and echoes, as a shell's user expects to find it.
    pub fn is_cooked(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for the program; its exit code.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let mut status = None;
        let child = &mut self.child;
        wait::until_or(
            "the program on the terminal to end",
            || {
                status = child.try_wait().unwrap();
                status.is_some()
            },
            || String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned(),
        );
        status.unwrap().code().unwrap_or(-1)
    }
}

fn set_size(master: impl AsFd, rows: u16, columns: u16) {
    tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
