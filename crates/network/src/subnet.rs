//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stdx::{Error, Result};

/// A range of addresses by its first and the length of their common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The range in which `address` is, of this many common bits.
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let bits = width(address);
        let prefix = prefix.min(bits);
        let mask = mask(bits, prefix);
        Self { first: from_number(number(address) & mask, address), prefix }
    }

    pub fn first(&self) -> IpAddr {
        self.first
    }

    pub fn last(&self) -> IpAddr {
        from_number(number(self.first) | self.host_mask(), self.first)
    }

    /// Bits that all its addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && Self::around(address, self.prefix) == *self
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// All its addresses, in their order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (start, like) = (number(self.first), self.first);
        (0..=self.host_mask()).map(move |host| from_number(start + host, like))
    }

    /// The `index`th range of length `prefix` in this one.
    pub fn part(&self, prefix: u8, index: u32) -> Self {
        let step = u128::from(index) << (width(self.first) - prefix);
        Self { first: from_number(number(self.first) + step, self.first), prefix }
    }

    fn host_mask(&self) -> u128 {
        let bits = width(self.first);
        mask(bits, bits) ^ mask(bits, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// The upper `prefix` of `bits` bits.
fn mask(bits: u8, prefix: u8) -> u128 {
    let all = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
    let host = u32::from(bits - prefix);
    if host == 128 { 0 } else { all >> host << host }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of that number, of the kind that `like` is.
fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("invalid subnet \"{text}\"")).hint("as in 10.1.0.0/16 or fd00:1::/64");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let is_number = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|prefix| is_number && *prefix <= width(address)).ok_or_else(bad)?;
        let subnet = Self::around(address, prefix);
        if subnet.first != address {
            return Err(Error::invalid(format!("invalid subnet \"{text}\": it should be \"{subnet}\"")));
        }
        Ok(subnet)
    }
}

impl TryFrom<String> for Subnet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_range_is_refused_and_the_right_one_named() {
        assert_eq!(subnet("10.1.0.0/16").to_string(), "10.1.0.0/16");
        assert_eq!(subnet("::/0").last(), IpAddr::from([255; 16]));
        assert_eq!(subnet("0.0.0.0/0").last(), IpAddr::from([255; 4]));
        for bad in ["", "10.1.0.0", "10.1.0.0/33", "10.1.0.0/+8", "10.1/8", "fd00::/129", "a/b", "10.0.0.0/"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        assert!("10.1.2.3/16".parse::<Subnet>().unwrap_err().to_string().contains("\"10.1.0.0/16\""));
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(subnet("10.1.0.0/16").overlaps(&subnet("10.1.7.0/24")));
        assert!(subnet("10.1.7.0/24").overlaps(&subnet("10.1.0.0/16")));
        assert!(!subnet("10.1.0.0/16").overlaps(&subnet("10.2.0.0/16")));
        assert!(!subnet("::/0").overlaps(&subnet("0.0.0.0/0")));
    }

    #[test]
    fn addresses_are_counted_through() {
        let all: Vec<String> = subnet("10.1.0.254/31").addresses().map(|host| host.to_string()).collect();
        assert_eq!(all, ["10.1.0.254", "10.1.0.255"]);
        assert_eq!(subnet("fd00::/64").addresses().nth(1).unwrap().to_string(), "fd00::1");
        assert_eq!(subnet("172.16.0.0/12").part(16, 3).to_string(), "172.19.0.0/16");
    }
}
