//! `tare port`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::find;
use engine::containers::options::parse;
use stdx::Error;

use crate::error::Failure;
use crate::table::out;

/// Show where a container's ports are published
#[derive(clap::Parser, Debug)]
#[command(name = "tare port")]
pub(crate) struct Args {
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Only this port of the container's (port[/protocol])
    #[arg(value_name = "PORT")]
    port: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let container = find::find(engine, &args.container)?;
    let wanted = args.port.as_deref().map(parse::expose).transpose()?;
    let live = engine::networks::live_of(engine, &container.record.id)?.unwrap_or_default();
    let mut ports = live.ports;
    ports.sort_by_key(|port| (port.container_port, port.protocol, port.host, port.host_port));
    if let Some(wanted) = &wanted {
        ports.retain(|port| wanted.contains(&(port.container_port, port.protocol)));
        if ports.is_empty() {
            let port = args.port.unwrap_or_default();
            return Err(
                Error::not_found(format!("port {port} of container {} is not published", args.container)).into()
            );
        }
    }
    for port in ports {
        let host = std::net::SocketAddr::from((port.host, port.host_port));
        match wanted {
            Some(_) => out(&format!("{host}\n")),
            None => out(&format!("{}/{} -> {host}\n", port.container_port, port.protocol)),
        }
    }
    Ok(0)
}
