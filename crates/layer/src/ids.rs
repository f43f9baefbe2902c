//! Owners as a container with a user namespace knows them, from those the host's file system has.

use oci::runtime_spec::IdMapping;

/// Who owns what belongs to no id of the container, as the kernel shows it inside (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;
const CAPABILITY: &[u8] = b"security.capability";
const ACL_USER: u16 = 2;
const ACL_GROUP: u16 = 8;

/// A container's ranges of user and group ids; empty ones leave ids as they are.
#[derive(Debug, Clone, Default)]
pub struct IdMaps {
    pub users: Vec<IdMapping>,
    pub groups: Vec<IdMapping>,
}

impl IdMaps {
    pub(crate) fn user(&self, host: u32) -> u32 {
        inside(&self.users, host)
    }

    pub(crate) fn group(&self, host: u32) -> u32 {
        inside(&self.groups, host)
    }

    /// The host's id of a container's user; what is not mapped belongs to nobody.
    pub(crate) fn host_user(&self, id: u32) -> u32 {
        outside(&self.users, id)
    }

    /// The host's id of a container's group.
    pub(crate) fn host_group(&self, id: u32) -> u32 {
        outside(&self.groups, id)
    }

    /// Ids within attributes too: in POSIX ACLs, and in capabilities that were granted inside a user namespace.
    pub(crate) fn shift(&self, name: &[u8], value: &mut Vec<u8>) {
        match name {
            _ if self.users.is_empty() && self.groups.is_empty() => {}
            CAPABILITY => self.shift_capability(value),
            b"system.posix_acl_access" | b"system.posix_acl_default" => self.shift_acl(value),
            _ => {}
        }
    }

    /// Revision 3 names the root user it holds for. For the container's own that is revision 2, which names none.
    fn shift_capability(&self, value: &mut Vec<u8>) {
        if value.len() != 24 || value[3] != 3 {
            return;
        }
        let root = self.user(u32::from_le_bytes([value[20], value[21], value[22], value[23]]));
        if root == 0 {
            value.truncate(20);
            value[3] = 2;
        } else {
            value[20..].copy_from_slice(&root.to_le_bytes());
        }
    }

    /// A version of four bytes, then entries: tag and permissions, two bytes each, and the id.
    fn shift_acl(&self, value: &mut [u8]) {
        for entry in value.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            let shifted = match u16::from_le_bytes([entry[0], entry[1]]) {
                ACL_USER => self.user(id),
                ACL_GROUP => self.group(id),
                _ => continue,
            };
            entry[4..].copy_from_slice(&shifted.to_le_bytes());
        }
    }
}

fn inside(ranges: &[IdMapping], host: u32) -> u32 {
    if ranges.is_empty() {
        return host;
    }
    let within = |range: &IdMapping| {
        let offset = host.checked_sub(range.host_id).filter(|offset| *offset < range.size)?;
        range.container_id.checked_add(offset)
    };
    ranges.iter().find_map(within).unwrap_or(OVERFLOW)
}

fn outside(ranges: &[IdMapping], id: u32) -> u32 {
    if ranges.is_empty() {
        return id;
    }
    let within = |id: u32| {
        move |range: &IdMapping| {
            let offset = id.checked_sub(range.container_id).filter(|offset| *offset < range.size)?;
            range.host_id.checked_add(offset)
        }
    };
    let known = ranges.iter().find_map(within(id)).or_else(|| ranges.iter().find_map(within(OVERFLOW)));
    known.unwrap_or(OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps() -> IdMaps {
        let users = vec![
            IdMapping { container_id: 0, host_id: 100_000, size: 1000 },
            IdMapping { container_id: 1000, host_id: 5, size: 1 },
        ];
        IdMaps { users, groups: vec![IdMapping { container_id: 0, host_id: 200_000, size: 10 }] }
    }

    #[test]
    fn ids_are_those_inside() {
        let maps = maps();
        let users = [100_000, 100_999, 5, 101_000, 99_999, 0].map(|id| maps.user(id));
        assert_eq!(users, [0, 999, 1000, OVERFLOW, OVERFLOW, OVERFLOW]);
        assert_eq!((maps.group(200_009), maps.group(100_000)), (9, OVERFLOW));
        assert_eq!(IdMaps::default().user(u32::MAX - 1), u32::MAX - 1);
        assert_eq!([0, 999, 1000, 1001].map(|id| maps.host_user(id)), [100_000, 100_999, 5, OVERFLOW]);
        assert_eq!((maps.host_group(9), IdMaps::default().host_group(7)), (200_009, 7));
    }

    #[test]
    fn ids_within_attributes_too() {
        let capability = |root: u32| {
            let mut value = vec![1, 0, 0, 3];
            value.extend([7; 16]);
            value.extend(root.to_le_bytes());
            value
        };
        let mut own = capability(100_000);
        maps().shift(CAPABILITY, &mut own);
        assert_eq!(own, [&[1, 0, 0, 2][..], &[7; 16]].concat());
        let mut other = capability(100_003);
        maps().shift(CAPABILITY, &mut other);
        assert_eq!(other, capability(3));
        let mut plain = capability(100_000);
        IdMaps::default().shift(CAPABILITY, &mut plain);
        assert_eq!(plain, capability(100_000));

        let acl = |user: u32, group: u32| {
            let mut value = vec![2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0];
            value.extend(user.to_le_bytes());
            value.extend([8, 0, 4, 0]);
            value.extend(group.to_le_bytes());
            value
        };
        let mut value = acl(100_007, 200_008);
        maps().shift(b"system.posix_acl_access", &mut value);
        assert_eq!(value, acl(7, 8));
    }
}
