//! As much of D-Bus as it takes to ask systemd for a scope: four calls, over systemd's own socket, which root may use
//! without a bus (D-Bus Specification, "Message Protocol"; org.freedesktop.systemd1(5)).

mod message;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use stdx::{Context, Error, Kind, Result};

pub(super) use message::Value;
use message::{Body, Kind as MessageKind, Message};

const SOCKET: &str = "/run/systemd/private";
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to systemd.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Jobs that ended while something else was waited for: unit and result.
    ended: Vec<(String, String)>,
}

/// An error that systemd answered, by its D-Bus name.
struct Refused {
    name: String,
    text: String,
}

impl Bus {
    pub(super) fn connect() -> Result<Self> {
        let stream = UnixStream::connect(SOCKET).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                Error::unsupported("systemd does not run here, so it cannot make control groups")
                    .hint("use --cgroup-driver=cgroupfs")
            }
            _ => Err::<(), _>(error).context(|| "cannot connect to systemd".into()).expect_err("built from an error"),
        })?;
        let mut bus = Self { stream, serial: 0, ended: Vec::new() };
        bus.authenticate().context(|| "cannot connect to systemd".into())?;
        Ok(bus)
    }

    /// The socket's credentials say who we are; the text only claims it.
    fn authenticate(&mut self) -> std::io::Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let hex: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
        // "BEGIN" in the same breath: if systemd reads it together with the first call, it leaves that call lying until
        // something else comes. An answer to the line before it means that both have been read.
        self.stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the line belongs to the first message.
        while !answer.ends_with(b"\r\n") && answer.len() < 1024 {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }

    /// Makes a scope and returns when it is there. [`Kind::Conflict`]: one of that name is there already.
    pub(super) fn start_scope(&mut self, unit: &str, properties: &[(&str, Value)]) -> Result<()> {
        let mut body = Body::new("ssa(sv)a(sa(sv))");
        body.text(unit).text("fail").properties(properties).empty_array(8);
        self.call("StartTransientUnit", &body)?.map_err(|refused| {
            let kind = if refused.is("UnitExists") { Kind::Conflict } else { Kind::Internal };
            Error::new(kind, format!("systemd refuses to start {unit}: {}", refused.text))
        })?;
        match self.wait_for_job(unit)?.as_str() {
            "done" => Ok(()),
            result => Err(Error::new(Kind::Internal, format!("systemd could not start {unit}: {result}"))),
        }
    }

    /// Changes limits of a unit, until the next boot.
    pub(super) fn set_properties(&mut self, unit: &str, properties: &[(&str, Value)]) -> Result<()> {
        let mut body = Body::new("sba(sv)");
        body.text(unit).flag(true).properties(properties);
        let answer = self.call("SetUnitProperties", &body)?;
        answer.map_err(|refused| {
            Error::new(Kind::Internal, format!("systemd refuses the limits of {unit}: {}", refused.text))
        })
    }

    /// Ends a unit and forgets it, and returns when that is done. One that does not exist is fine.
    pub(super) fn stop(&mut self, unit: &str) -> Result<()> {
        let mut body = Body::new("ss");
        body.text(unit).text("replace");
        match self.call("StopUnit", &body)? {
            Ok(()) => drop(self.wait_for_job(unit)?),
            Err(refused) if refused.is("NoSuchUnit") => return Ok(()),
            Err(refused) => {
                return Err(Error::new(Kind::Internal, format!("systemd refuses to stop {unit}: {}", refused.text)));
            }
        }
        let mut body = Body::new("s");
        body.text(unit);
        // Only one that has failed is left to be forgotten.
        let _ = self.call("ResetFailedUnit", &body)?;
        Ok(())
    }

    /// One call of the manager; the inner error is systemd's answer.
    fn call(&mut self, member: &str, body: &Body) -> Result<std::result::Result<(), Refused>> {
        self.serial += 1;
        let what = || format!("cannot ask systemd for {member}");
        self.stream.write_all(&message::call(self.serial, member, body)).context(what)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = self.receive().context(what)?;
            match message.kind {
                MessageKind::Return if message.reply_to == Some(self.serial) => return Ok(Ok(())),
                MessageKind::Error if message.reply_to == Some(self.serial) => {
                    let text = message.texts().into_iter().next().unwrap_or_default();
                    return Ok(Err(Refused { name: message.name, text }));
                }
                _ => self.note(&message),
            }
        }
        Err(Error::new(Kind::Internal, format!("{}: no answer", what())))
    }

    /// The result of the job of a unit; it may have been said before the answer that names the job.
    fn wait_for_job(&mut self, unit: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.ended.iter().position(|(name, _)| name == unit) {
                return Ok(self.ended.swap_remove(at).1);
            }
            if Instant::now() > deadline {
                return Err(Error::new(Kind::Internal, format!("systemd does not come to an end with {unit}")));
            }
            let message = self.receive().context(|| format!("cannot wait for systemd's job of {unit}"))?;
            self.note(&message);
        }
    }

    /// `JobRemoved(u id, o job, s unit, s result)`.
    fn note(&mut self, message: &Message) {
        if message.kind == MessageKind::Signal && message.name == "JobRemoved" {
            if let [_, unit, result] = &message.texts()[..] {
                self.ended.push((unit.clone(), result.clone()));
            }
        }
    }

    fn receive(&mut self) -> std::io::Result<Message> {
        Message::read(&mut self.stream)
    }
}

impl Refused {
    fn is(&self, name: &str) -> bool {
        self.name.strip_prefix("org.freedesktop.systemd1.") == Some(name)
    }
}
