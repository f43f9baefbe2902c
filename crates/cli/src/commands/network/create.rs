//! `tare network create`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

use engine::Engine;
use engine::networks::{self, Wanted};
use network::Subnet;
use stdx::{Error, Result};

use crate::error::Failure;
use crate::table::out;

/// Create a network
#[derive(clap::Parser, Debug)]
#[command(name = "tare network create")]
pub(crate) struct Args {
    /// Addresses that no container gets
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,
    /// Network driver: bridge, macvlan, ipvlan
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// Address of the host, or of the router, in a subnet
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<String>,
    /// Nothing leads out of the network, and nothing in
    #[arg(long)]
    internal: bool,
    /// Give containers addresses from this part of a subnet
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<String>,
    /// Give containers IPv4 addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    ipv4: Option<bool>,
    /// Give containers IPv6 addresses
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    ipv6: Option<bool>,
    /// Set metadata on the network
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Driver options: mtu, name, isolate, parent, mode, com.docker.network.bridge.enable_icc
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// Range of addresses (10.1.0.0/16)
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<String>,
    #[arg(value_name = "NETWORK")]
    name: String,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut wanted = Wanted {
        name: args.name,
        driver: args.driver,
        subnets: args.subnet.iter().map(|text| text.parse()).collect::<Result<Vec<Subnet>>>()?,
        gateways: args.gateway.iter().map(|text| address(text)).collect::<Result<_>>()?,
        ranges: args.ip_range.iter().map(|text| text.parse()).collect::<Result<_>>()?,
        internal: args.internal,
        ipv6: args.ipv6.unwrap_or(false),
        no_ipv4: !args.ipv4.unwrap_or(true),
        labels: pairs(&args.label),
        options: pairs(&args.opt),
        ..Wanted::default()
    };
    for text in &args.aux_address {
        let bad = || Error::invalid(format!("invalid address \"{text}\": it must be NAME=ADDRESS"));
        let (name, value) = text.split_once('=').ok_or_else(bad)?;
        wanted.reserved.insert(name.to_owned(), address(value)?);
    }
    out(&format!("{}\n", networks::create(engine, &wanted)?.network.id));
    Ok(0)
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::invalid(format!("invalid address \"{text}\"")))
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}
