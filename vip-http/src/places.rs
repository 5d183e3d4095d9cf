//! Places of requests that wait for an operation: so many in all, and so many of one tenant, which leaves some to others.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vip_core::model::TenantId;

use crate::limits;

/// Counts who waits.
#[derive(Debug, Default)]
pub(crate) struct WaitingPlaces(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Tenants of which nobody waits are not there.
    of: BTreeMap<TenantId, usize>,
}

/// Is the place of one request; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct WaitingPlace<'p> {
    places: &'p WaitingPlaces,
    tenant: TenantId,
}

impl WaitingPlaces {
    /// Takes a place for a tenant; none if too many wait already, of the tenant or of all.
    pub(crate) fn take(&self, tenant: &TenantId) -> Option<WaitingPlace<'_>> {
        let mut taken = self.lock();
        let of_tenant = taken.of.get(tenant).copied().unwrap_or(0);
        if taken.all >= limits::WAITING_REQUESTS || of_tenant >= limits::WAITING_OF_TENANT {
            return None;
        }
        taken.all += 1;
        taken.of.insert(tenant.clone(), of_tenant + 1);
        Some(WaitingPlace { places: self, tenant: tenant.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_tenant) = taken.of.get_mut(&self.tenant) {
            *of_tenant = of_tenant.saturating_sub(1);
            if *of_tenant == 0 {
                taken.of.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::new(format!("tenant-{number}")).unwrap()
    }

    #[test]
    fn a_tenant_has_its_places_and_one_more_gets_none_until_one_is_given_back() {
        let places = WaitingPlaces::default();
        let mut held: Vec<_> = (0..limits::WAITING_OF_TENANT).map(|_| places.take(&tenant(1)).unwrap()).collect();
        assert!(places.take(&tenant(1)).is_none());
        assert!(places.take(&tenant(2)).is_some(), "another tenant");
        drop(held.pop());
        assert!(places.take(&tenant(1)).is_some());
    }

    #[test]
    fn all_tenants_have_so_many_places_and_one_more_gets_none_until_one_is_given_back() {
        let places = WaitingPlaces::default();
        let of_each = limits::WAITING_OF_TENANT;
        let mut held: Vec<_> =
            (0..limits::WAITING_REQUESTS).map(|number| places.take(&tenant(number / of_each)).unwrap()).collect();
        let another = tenant(limits::WAITING_REQUESTS);
        assert!(places.take(&another).is_none());
        drop(held.pop());
        assert!(places.take(&another).is_some());
        drop(held);
        assert!(places.lock().of.is_empty(), "nobody is remembered who does not wait");
    }
}
