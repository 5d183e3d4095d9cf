//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::ServerSettings;

/// Counts connections.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_of_one: usize,
    unproven: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, OfOne>,
}

#[derive(Debug)]
struct OfOne {
    open: usize,
    unproven: Arc<Semaphore>,
}

/// Says of what there are as many as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Connections.
    All,
    /// Connections of one address.
    OfAddress,
}

impl Full {
    /// Names the setting that says how many.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::OfAddress => "connections_per_address",
        }
    }
}

/// Is the place of one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    address: IpAddr,
    /// Places for connections of this address whose first request is not complete.
    pub(super) unproven: Arc<Semaphore>,
}

impl Addresses {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self {
            open: Arc::default(),
            most: settings.connections,
            most_of_one: settings.connections_per_address,
            unproven: settings.unproven_per_address.clamp(1, Semaphore::MAX_PERMITS),
        }
    }

    /// Takes a place, if there are not too many already.
    pub(super) fn place(&self, address: IpAddr) -> Result<Place, Full> {
        let address = counted_as(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = open.of.get(&address).map_or(0, |of_one| of_one.open);
        if open.all >= self.most {
            return Err(Full::All);
        }
        if of_one >= self.most_of_one {
            return Err(Full::OfAddress);
        }
        open.all += 1;
        let fresh = || OfOne { open: 0, unproven: Arc::new(Semaphore::new(self.unproven)) };
        let of_one = open.of.entry(address).or_insert_with(fresh);
        of_one.open += 1;
        Ok(Place { open: self.open.clone(), address, unproven: of_one.unproven.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(of_one) = open.of.get_mut(&self.address) {
            of_one.open = of_one.open.saturating_sub(1);
            if of_one.open == 0 {
                open.of.remove(&self.address);
            }
        }
    }
}

/// Returns what an address is counted as: whoever has one IPv6 address has 2^64 of them.
fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(most: usize, most_of_one: usize) -> Addresses {
        let settings =
            ServerSettings { connections: most, connections_per_address: most_of_one, ..ServerSettings::default() };
        Addresses::new(&settings)
    }

    fn of(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_most_and_no_more_until_one_is_given_back() {
        let addresses = addresses(10, 2);
        let first = addresses.place(of("192.0.2.1")).unwrap();
        let _second = addresses.place(of("::ffff:192.0.2.1")).unwrap();
        assert_eq!(addresses.place(of("192.0.2.1")).unwrap_err(), Full::OfAddress);
        assert!(addresses.place(of("192.0.2.2")).is_ok());
        drop(first);
        assert!(addresses.place(of("192.0.2.1")).is_ok());
    }

    #[test]
    fn all_together_have_their_most_and_no_more() {
        let addresses = addresses(2, 2);
        let places = [addresses.place(of("192.0.2.1")).unwrap(), addresses.place(of("192.0.2.2")).unwrap()];
        assert_eq!(addresses.place(of("192.0.2.3")).unwrap_err(), Full::All);
        drop(places);
        assert!(addresses.open.lock().unwrap().of.is_empty(), "nothing is remembered of who is gone");
    }

    #[test]
    fn connections_of_one_address_share_the_places_of_those_that_have_sent_no_head() {
        let settings = ServerSettings { unproven_per_address: 1, ..ServerSettings::default() };
        let addresses = Addresses::new(&settings);
        let [first, second, other] = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|it| addresses.place(of(it)).unwrap());
        let _held = first.unproven.try_acquire().unwrap();
        assert!(second.unproven.try_acquire().is_err());
        assert!(other.unproven.try_acquire().is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = addresses(10, 1);
        let _first = addresses.place(of("2001:db8::1")).unwrap();
        assert!(addresses.place(of("2001:db8::ffff:2")).is_err());
        assert!(addresses.place(of("2001:db8:0:1::1")).is_ok());
    }
}
