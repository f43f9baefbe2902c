//! `tare network connect`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::find;
use engine::containers::options::{Attachment, parse};
use engine::networks;
use stdx::{Error, Result};

use crate::error::Failure;

/// Join a container to a network
#[derive(clap::Parser, Debug)]
#[command(name = "tare network connect")]
pub(crate) struct Args {
    /// Add a name that others in the network may use
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Further addresses of the device alone
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<String>,
    /// Hardware address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    if matches!(args.network.as_str(), "host" | "none") {
        let error = Error::invalid(format!("cannot connect to network {}", args.network));
        return Err(error.hint("choose it when the container is created").into());
    }
    let place = Attachment {
        network: args.network,
        aliases: args.alias.iter().map(|name| parse::alias(name)).collect::<Result<_>>()?,
        ip: args.ip.as_deref().map(parse::ipv4).transpose()?,
        ip6: args.ip6.as_deref().map(parse::ipv6).transpose()?,
        mac: args.mac_address.as_deref().map(parse::mac).transpose()?,
        link_local: args.link_local_ip.iter().map(|ip| parse::link_local(ip)).collect::<Result<_>>()?,
    };
    networks::connect(engine, &find::find(engine, &args.container)?, &place)?;
    Ok(0)
}
