//! io: where this machine can be reached: what a call's SDP announces

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The addresses to announce for a socket bound to `bound`. `public_ip` (behind a one-to-one NAT) is the only one when
/// given; a socket bound to one address has that; else every address of the family that is up, and loopback last, for
/// browsers on this machine.
pub fn announced(bound: SocketAddr, public_ip: Option<IpAddr>) -> io::Result<Vec<SocketAddr>> {
    let ips = match public_ip {
        Some(ip) => vec![ip],
        None if !bound.ip().is_unspecified() => vec![bound.ip()],
        None => {
            let mut ips: Vec<IpAddr> = interfaces()?
                .into_iter()
                .filter(|ip| ip.is_ipv4() == bound.is_ipv4() && !ip.is_loopback() && !is_link_local(*ip))
                .collect();
            ips.sort();
            ips.dedup();
            ips.push(if bound.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
            ips
        }
    };
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect())
}

/// Which of our addresses the system answers `peer` from. Connecting a UDP socket asks the routing table and sends nothing.
pub fn facing(peer: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((peer, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Link-local addresses need a scope that SDP cannot carry.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The addresses of all interfaces that are up.
fn interfaces() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs(3) stores a list in the pointer given to it, or returns −1 and stores none.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut ips = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: not null, and an entry of a list that is freed only below.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        if entry.ifa_addr.is_null() || entry.ifa_flags as c_int & libc::IFF_UP == 0 {
            continue;
        }
        // SAFETY: `ifa_addr` is not null and points to an address whose family says how large it is; both kinds read
        // here begin with that family, and getifaddrs aligns them for their type.
        unsafe {
            match c_int::from((*entry.ifa_addr).sa_family) {
                libc::AF_INET => {
                    let address = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                    ips.push(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()));
                }
                libc::AF_INET6 => {
                    let address = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                    ips.push(IpAddr::from(address.sin6_addr.s6_addr));
                }
                _ => {}
            }
        }
    }
    // SAFETY: the list that getifaddrs made; no reference into it is left.
    unsafe { libc::freeifaddrs(list) };
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: [u8; 4]) -> SocketAddr {
        SocketAddr::from((ip, 8443))
    }

    #[test]
    fn what_is_bound_or_given_is_announced_alone() {
        assert_eq!(announced(at([127, 0, 0, 1]), None).unwrap(), [at([127, 0, 0, 1])]);
        assert_eq!(announced(at([0, 0, 0, 0]), Some([198, 51, 100, 7].into())).unwrap(), [at([198, 51, 100, 7])]);
    }

    /// Loopback comes last, once, and nothing unreachable comes at all.
    #[test]
    fn an_open_socket_announces_every_address() {
        let all = announced(at([0, 0, 0, 0]), None).unwrap();
        assert_eq!(all.last(), Some(&at([127, 0, 0, 1])));
        assert_eq!(all.iter().filter(|a| a.ip().is_loopback()).count(), 1);
        assert!(all.iter().all(|a| a.is_ipv4() && !a.ip().is_unspecified() && a.port() == 8443));
    }

    #[test]
    fn loopback_faces_loopback() {
        assert_eq!(facing([127, 0, 0, 1].into()).unwrap(), IpAddr::from([127, 0, 0, 1]));
    }
}
