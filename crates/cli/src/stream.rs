//! Between the user's streams and a container's: one loop, nothing lost, nothing waited for twice.

use std::io::Write;

use engine::containers::attach::Streams;
use monitor::client::Connection;
use monitor::protocol::{Event, MAX_PAYLOAD, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stdin;
use stdx::{Context, Result};
use sys::signal::SignalFd;

use crate::terminal::{DetachKeys, Raw, size};

/// How a session with a container ended.
pub(crate) enum End {
    /// The program ended with this code.
    Exited(i32),
    /// The user left by the detach keys.
    Detached,
    /// The monitor is gone without a word.
    Lost,
}

/// What a session is to be.
pub(crate) struct Session {
    pub(crate) streams: Streams,
    /// The container has a terminal.
    pub(crate) tty: bool,
    pub(crate) detach_keys: Option<String>,
    /// Pass signals on that this process gets.
    pub(crate) sig_proxy: bool,
}

/// Ends, stops and continues us; or says that a child ended; or cannot be caught; or is used by the C library.
const NOT_PASSED_ON: [i32; 10] = [libc_number::KILL, libc_number::CHLD, 18, 19, 20, 21, 22, 32, 33, libc_number::PIPE];

mod libc_number {
    pub(super) const KILL: i32 = 9;
    pub(super) const PIPE: i32 = 13;
    pub(super) const CHLD: i32 = 17;
}

/// The signals a session collects. Blocked before the container is started, so that none is lost in between.
pub(crate) fn collect_signals(session: &Session) -> Result<SignalFd> {
    let passed_on = (1..=64).filter(|number| session.sig_proxy && !session.tty && !NOT_PASSED_ON.contains(number));
    let resized = session.tty.then_some(sys::signal::WINCH);
    let numbers: Vec<i32> = passed_on.chain(resized).collect();
    SignalFd::new(&numbers).context(|| "cannot collect signals".into())
}

/// Moves streams until the program ends or the user leaves.
pub(crate) fn run(connection: &mut Connection, session: &Session, mut signals: SignalFd) -> Result<End> {
    let mut keys = DetachKeys::parse(session.detach_keys.as_deref())?;
    let _raw = (session.tty && session.streams.stdin && crate::terminal::is_terminal()).then(Raw::enter).transpose()?;
    let mut reading = session.streams.stdin;
    let mut buffer = vec![0; MAX_PAYLOAD];
    loop {
        while let Some(event) = connection.pending()? {
            match event {
                Event::Stdout(bytes) => write(&mut std::io::stdout().lock(), &bytes)?,
                Event::Stderr(bytes) => write(&mut std::io::stderr().lock(), &bytes)?,
                Event::Exited(code) => return Ok(End::Exited(code)),
                _ => {}
            }
        }
        // More is read only when the last of it is sent: the program's own pace reaches back to whoever writes to us.
        let sending = connection.has_unsent();
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, sending);
        let input = stdin();
        let mut fds = vec![PollFd::new(&*connection, interest), PollFd::new(&signals, PollFlags::IN)];
        if reading && !sending {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        if happened[0].contains(PollFlags::OUT) {
            connection.flush()?;
        }
        if happened[0].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !connection.fill()? {
            return Ok(End::Lost);
        }
        if !happened[1].is_empty() {
            pass_signals_on(connection, &mut signals)?;
        }
        if happened.get(2).is_some_and(|events| !events.is_empty()) {
            match read_input(connection, session, &mut keys, &mut buffer)? {
                Input::More => {}
                Input::End => reading = false,
                Input::Detach => return Ok(End::Detached),
            }
        }
    }
}

enum Input {
    More,
    End,
    Detach,
}

fn read_input(
    connection: &mut Connection,
    session: &Session,
    keys: &mut DetachKeys,
    buffer: &mut [u8],
) -> Result<Input> {
    let len = match rustix::io::read(stdin(), &mut *buffer) {
        Ok(len) => len,
        Err(sys::Errno::INTR | sys::Errno::AGAIN) => return Ok(Input::More),
        // A terminal that was hung up.
        Err(_) => 0,
    };
    if len == 0 {
        connection.queue(&Request::StdinEnd)?;
        return Ok(Input::End);
    }
    if !session.tty {
        connection.queue(&Request::Stdin(buffer[..len].to_vec()))?;
        return Ok(Input::More);
    }
    let (typed, detach) = keys.filter(&buffer[..len]);
    if !typed.is_empty() {
        connection.queue(&Request::Stdin(typed))?;
    }
    Ok(if detach { Input::Detach } else { Input::More })
}

fn pass_signals_on(connection: &mut Connection, signals: &mut SignalFd) -> Result<()> {
    while let Some(number) = signals.read().context(|| "cannot read a signal".into())? {
        if number == sys::signal::WINCH {
            let (rows, columns) = size();
            connection.queue(&Request::Resize { rows, columns })?;
        } else {
            connection.queue(&Request::Signal(number))?;
        }
    }
    Ok(())
}

/// A reader that has gone away (`| head`) ends this program as a broken pipe ends others.
fn write(stream: &mut impl Write, bytes: &[u8]) -> Result<()> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(141),
        written => written.context(|| "cannot write the container's output".into()),
    }
}
