//! The resolver: one process that answers every container's questions, on sockets it has in their network namespaces.
//!
//! It keeps nothing: what it has to know is in the containers' run directories ([`Live`]), and one that is started anew serves
//! everybody who runs. Whoever changes how a container is joined says its id on the control socket and waits for the answer.
//! Sockets would keep a namespace alive, so a container's end is waited for like its questions.
//!
//! ```text
//! RUN/networks/resolver.lock    held by the one resolver
//! RUN/networks/resolver.sock    its control socket
//! ```

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stdx::flock::Flock;
use stdx::{Context, Error, Result};
use sys::socket::{SocketType, listen_in};

use super::{ADDRESS, Answer, answer, failure};
use crate::{Endpoint, Live, firewall, route};

/// The control socket in the directory of networks.
pub const SOCKET: &str = "resolver.sock";
/// An id on it, and the answer.
pub const ID_LEN: usize = 64;

/// A resolver that serves nobody for so long ends.
const IDLE: Duration = Duration::from_secs(1);
/// How long a server of the host's, or a container in the middle of a question, may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that wait for servers of the host's at the same time.
const MOST: usize = 128;

/// A container that is answered.
struct Served {
    id: String,
    live: Live,
    process: OwnedFd,
    udp: UdpSocket,
    tcp: TcpListener,
}

/// The resolver of one installation.
struct Resolver {
    containers: PathBuf,
    control: OwnedFd,
    served: Vec<Served>,
    waiting: Arc<AtomicUsize>,
}

/// Answers until nobody is left to ask. `networks` is the directory of networks, `containers` that of run directories.
pub fn main(networks: &Path, containers: &Path) -> Result<()> {
    // Somebody else serves already.
    let Some(_lock) = Flock::try_exclusive(&networks.join("resolver.lock"))? else { return Ok(()) };
    let dir = std::fs::File::open(networks).context(|| format!("cannot open {networks:?}"))?;
    let control = listen_in(dir.as_fd(), SOCKET, SocketType::STREAM).context(|| "cannot listen".into())?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut resolver = Resolver { containers: containers.to_owned(), control, served: Vec::new(), waiting };
    for (id, live) in Live::all(containers)? {
        // One that cannot be served does not keep the others from it.
        let _ = resolver.serve(&id, live);
    }
    while resolver.round()? {}
    Ok(())
}

impl Resolver {
    /// Waits for something to do, and does it. `false`: nobody is left.
    fn round(&mut self) -> Result<bool> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        for served in &self.served {
            fds.push(PollFd::new(&served.process, PollFlags::IN));
            fds.push(PollFd::new(&served.udp, PollFlags::IN));
            fds.push(PollFd::new(&served.tcp, PollFlags::IN));
        }
        let idle = Timespec { tv_sec: IDLE.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut fds, self.served.is_empty().then_some(&idle)) {
            Ok(0) => return Ok(false),
            Err(sys::Errno::INTR) => return Ok(true),
            ready => ready.context(|| "cannot wait for questions".into())?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (served, ready) in self.served.iter().zip(ready[1..].chunks(3)) {
            if ready[1] {
                self.answer_packet(served);
            }
            if ready[2] {
                self.answer_stream(served);
            }
        }
        let mut ended = ready[1..].chunks(3).map(|ready| ready[0]);
        self.served.retain(|_| !ended.next().unwrap_or(false));
        if ready[0] {
            // Whoever hears nothing asks again.
            let _ = self.hear();
        }
        Ok(true)
    }

    /// Somebody says that a container is joined in another way than before.
    fn hear(&mut self) -> Result<()> {
        let accepted = rustix::net::accept(&self.control).context(|| "cannot accept".into())?;
        let mut stream = UnixStream::from(accepted);
        stream.set_read_timeout(Some(PATIENCE)).context(|| "cannot hear".into())?;
        let mut id = [0; ID_LEN];
        stream.read_exact(&mut id).context(|| "cannot hear".into())?;
        let id = String::from_utf8_lossy(&id).into_owned();
        if id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            match Live::load(&self.containers.join(&id))? {
                Some(live) => self.serve(&id, live)?,
                None => self.served.retain(|served| served.id != id),
            }
        }
        stream.write_all(b".").context(|| "cannot answer".into())
    }

    /// Begins to serve a container, or to know it anew.
    fn serve(&mut self, id: &str, live: Live) -> Result<()> {
        if let Some(known) = self.served.iter_mut().find(|known| known.id == id && known.live.pid == live.pid) {
            known.live = live;
            return Ok(());
        }
        self.served.retain(|known| known.id != id);
        let Some(pid) = live.pid.filter(|_| live.has_names) else { return Ok(()) };
        let process = Pid::from_raw(pid).ok_or_else(|| Error::invalid("a process has no number 0"))?;
        let process = pidfd_open(process, PidfdFlags::empty()).context(|| format!("cannot watch process {pid}"))?;
        let namespace = route::namespace_of(pid)?;
        let (udp, tcp) = route::inside(namespace.as_fd(), sockets)?;
        self.served.push(Served { id: id.to_owned(), live, process, udp, tcp });
        Ok(())
    }

    /// The places in the networks that a container is in.
    fn members(&self, client: &Served) -> Vec<Endpoint> {
        let networks: Vec<&str> = client.live.endpoints.iter().map(|place| place.network_id.as_str()).collect();
        let places = self.served.iter().flat_map(|served| &served.live.endpoints);
        places.filter(|place| networks.contains(&place.network_id.as_str())).cloned().collect()
    }

    fn answer_packet(&self, client: &Served) {
        let mut query = [0; 4096];
        let Ok((len, from)) = client.udp.recv_from(&mut query) else { return };
        let query = &query[..len];
        match answer(query, &self.members(client), client.live.leads_out()) {
            // Who does not hear it asks again.
            Some(Answer::Reply(reply)) => drop(client.udp.send_to(&reply, from)),
            Some(Answer::Forward) => {
                let (Ok(socket), query) = (client.udp.try_clone(), query.to_vec()) else { return };
                let servers = servers(&client.live);
                self.wait_for(move || {
                    let reply = ask_by_packet(&query, &servers).or_else(|| failure(&query));
                    let _ = reply.map(|reply| socket.send_to(&reply, from));
                });
            }
            None => {}
        }
    }

    fn answer_stream(&self, client: &Served) {
        let Ok((stream, _)) = client.tcp.accept() else { return };
        let (members, outside) = (self.members(client), client.live.leads_out());
        let servers = servers(&client.live);
        self.wait_for(move || {
            let _ = converse(stream, &members, outside, &servers);
        });
    }

    /// Does something that takes long beside everything else, unless too much is being done already.
    fn wait_for(&self, work: impl FnOnce() + Send + 'static) {
        let waiting = Arc::clone(&self.waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= MOST {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let spawned = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
            work();
            waiting.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The sockets in a container's namespace: at ports of their own, to which questions for port 53 are led, so that the container
/// may have a server on that port. Without a packet filter, at that port.
fn sockets() -> Result<(UdpSocket, TcpListener)> {
    let bind = |port: u16| {
        let udp = UdpSocket::bind((ADDRESS, port)).context(|| format!("cannot listen on {ADDRESS}"))?;
        let tcp = TcpListener::bind((ADDRESS, port)).context(|| format!("cannot listen on {ADDRESS}"))?;
        Ok::<_, Error>((udp, tcp))
    };
    let (udp, tcp) = bind(0)?;
    let port = |address: std::io::Result<SocketAddr>| address.map(|address| address.port());
    let ports = port(udp.local_addr()).and_then(|udp| Ok((udp, port(tcp.local_addr())?)));
    let (udp_port, tcp_port) = ports.context(|| "cannot tell a port".into())?;
    match firewall::lead_questions(ADDRESS, udp_port, tcp_port) {
        Ok(()) => Ok((udp, tcp)),
        Err(_) => bind(53),
    }
}

/// The servers that other names are asked of: the container's own, or those of the host as they are now.
fn servers(live: &Live) -> Vec<SocketAddr> {
    const MOST: usize = 3;
    let of_host = || {
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
        text.lines().filter_map(server).collect()
    };
    let servers: Vec<IpAddr> = if live.name_servers.is_empty() { of_host() } else { live.name_servers.clone() };
    servers.into_iter().take(MOST).map(|server| SocketAddr::from((server, 53))).collect()
}

fn ask_by_packet(query: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    let ask = |server: &SocketAddr| {
        let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().ok()?;
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(server).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.send(query).ok()?;
        let mut reply = vec![0; 4096];
        let len = socket.recv(&mut reply).ok()?;
        reply.truncate(len);
        (reply.get(..2) == query.get(..2)).then_some(reply)
    };
    servers.iter().find_map(ask)
}

/// One question and its answer, each with its length before it.
fn converse(mut stream: TcpStream, members: &[Endpoint], outside: bool, servers: &[SocketAddr]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let query = receive(&mut stream)?;
    let forward = |server: &SocketAddr| {
        let mut upstream = TcpStream::connect_timeout(server, PATIENCE).ok()?;
        upstream.set_read_timeout(Some(PATIENCE)).ok()?;
        send(&mut upstream, &query).ok()?;
        receive(&mut upstream).ok()
    };
    let reply = match answer(&query, members, outside) {
        Some(Answer::Reply(reply)) => Some(reply),
        Some(Answer::Forward) => servers.iter().find_map(forward).or_else(|| failure(&query)),
        None => None,
    };
    reply.map_or(Ok(()), |reply| send(&mut stream, &reply))
}

fn receive(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let len = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat())
}
