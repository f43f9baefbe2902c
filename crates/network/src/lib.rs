//! Networks of containers: bridges, the pairs of devices that join containers to them, addresses, and the packet filter.
//!
//! Everything is asked of the kernel directly, over netlink; no program is run. What this crate makes on a host is
//! called `tare…`: devices by their names, and one nftables table. Nothing else is touched.
//!
//! [`Network`] says what a network is to be, [`Live`] how one running container is joined to networks. Both are plain values; the
//! engine keeps them on disk.

mod bridge;
pub mod dns;
mod endpoint;
pub mod firewall;
pub mod lease;
mod live;
pub mod ports;
pub mod record;
mod route;
mod subnet;

pub use bridge::free_subnet;
pub use endpoint::Endpoint;
pub use live::Live;
pub use ports::Mapping;
pub use record::{Network, Pool};
pub use route::Host;
pub use subnet::Subnet;
