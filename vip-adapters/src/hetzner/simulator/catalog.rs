//! What can be ordered: server types, locations, images and their prices.

use serde_json::{Value, json};

/// A place where servers run.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) id: u64,
    pub(super) name: &'static str,
    description: &'static str,
    country: &'static str,
    city: &'static str,
    latitude: f64,
    longitude: f64,
    network_zone: &'static str,
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86,
    Arm,
}

impl Architecture {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm => "arm",
        }
    }
}

/// A size of server.
#[derive(Debug)]
pub(super) struct ServerType {
    pub(super) id: u64,
    pub(super) name: &'static str,
    description: &'static str,
    cores: u32,
    memory_gib: u32,
    pub(super) disk_gb: u32,
    cpu_type: &'static str,
    category: &'static str,
    pub(super) architecture: Architecture,
    locations: &'static [&'static str],
    /// Net price of an hour, in units of 0.0001.
    hourly: u64,
    /// Net price of a month, in units of 0.01.
    monthly: u64,
}

/// A system image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) id: u64,
    pub(super) name: &'static str,
    description: &'static str,
    os_flavor: &'static str,
    os_version: &'static str,
    pub(super) architecture: Architecture,
}

const EVERYWHERE: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];
const EUROPE: &[&str] = &["fsn1", "nbg1", "hel1"];

#[rustfmt::skip]
pub(super) static LOCATIONS: [Location; 6] = [
    Location { id: 1, name: "fsn1", description: "Falkenstein DC Park 1", country: "DE", city: "Falkenstein", latitude: 50.47612, longitude: 12.370_071, network_zone: "eu-central" },
    Location { id: 2, name: "nbg1", description: "Nuremberg DC Park 1", country: "DE", city: "Nuremberg", latitude: 49.452_102, longitude: 11.076_665, network_zone: "eu-central" },
    Location { id: 3, name: "hel1", description: "Helsinki DC Park 1", country: "FI", city: "Helsinki", latitude: 60.169_855, longitude: 24.938_379, network_zone: "eu-central" },
    Location { id: 4, name: "ash", description: "Ashburn, VA", country: "US", city: "Ashburn, VA", latitude: 39.045_821, longitude: -77.487_073, network_zone: "us-east" },
    Location { id: 5, name: "hil", description: "Hillsboro, OR", country: "US", city: "Hillsboro, OR", latitude: 45.542_22, longitude: -122.951_924, network_zone: "us-west" },
    Location { id: 6, name: "sin", description: "Singapore", country: "SG", city: "Singapore", latitude: 1.283_333, longitude: 103.833_333, network_zone: "ap-southeast" },
];

#[rustfmt::skip]
pub(super) static SERVER_TYPES: [ServerType; 7] = [
    ServerType { id: 45, name: "cax11", description: "CAX11", cores: 2, memory_gib: 4, disk_gb: 40, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::Arm, locations: EUROPE, hourly: 53, monthly: 329 },
    ServerType { id: 93, name: "cax21", description: "CAX21", cores: 4, memory_gib: 8, disk_gb: 80, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::Arm, locations: EUROPE, hourly: 95, monthly: 599 },
    ServerType { id: 96, name: "ccx13", description: "CCX13", cores: 2, memory_gib: 8, disk_gb: 80, cpu_type: "dedicated", category: "Dedicated vCPU", architecture: Architecture::X86, locations: EVERYWHERE, hourly: 200, monthly: 1249 },
    ServerType { id: 104, name: "cpx22", description: "CPX22", cores: 2, memory_gib: 4, disk_gb: 80, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::X86, locations: EVERYWHERE, hourly: 104, monthly: 649 },
    ServerType { id: 105, name: "cpx32", description: "CPX32", cores: 4, memory_gib: 8, disk_gb: 160, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::X86, locations: EVERYWHERE, hourly: 176, monthly: 1099 },
    ServerType { id: 114, name: "cx23", description: "CX23", cores: 2, memory_gib: 4, disk_gb: 40, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::X86, locations: EUROPE, hourly: 48, monthly: 299 },
    ServerType { id: 115, name: "cx33", description: "CX33", cores: 4, memory_gib: 8, disk_gb: 80, cpu_type: "shared", category: "Shared vCPU", architecture: Architecture::X86, locations: EUROPE, hourly: 80, monthly: 499 },
];

#[rustfmt::skip]
pub(super) static IMAGES: [Image; 4] = [
    Image { id: 114_690_387, name: "debian-12", description: "Debian 12", os_flavor: "debian", os_version: "12", architecture: Architecture::X86 },
    Image { id: 114_690_389, name: "debian-12", description: "Debian 12", os_flavor: "debian", os_version: "12", architecture: Architecture::Arm },
    Image { id: 161_547_269, name: "ubuntu-24.04", description: "Ubuntu 24.04 Standard 64 bit", os_flavor: "ubuntu", os_version: "24.04", architecture: Architecture::X86 },
    Image { id: 161_547_270, name: "ubuntu-24.04", description: "Ubuntu 24.04 Standard 64 bit", os_flavor: "ubuntu", os_version: "24.04", architecture: Architecture::Arm },
];

/// Traffic that is included each month.
pub(super) const INCLUDED_TRAFFIC_BYTES: u64 = 20 * 1024 * 1024 * 1024 * 1024;
const IMAGE_CREATED: &str = "2024-04-25T13:26:27Z";

/// Finds a location by its name or its id.
pub(super) fn location(name_or_id: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|it| it.name == name_or_id || it.id.to_string() == name_or_id)
}

/// Finds a server type by its name or its id.
pub(super) fn server_type(name_or_id: &str) -> Option<&'static ServerType> {
    SERVER_TYPES.iter().find(|it| it.name == name_or_id || it.id.to_string() == name_or_id)
}

/// Finds an image by its id, or by its name for an architecture.
pub(super) fn image(name_or_id: &str, architecture: Architecture) -> Option<&'static Image> {
    IMAGES
        .iter()
        .find(|it| it.id.to_string() == name_or_id || (it.name == name_or_id && it.architecture == architecture))
}

impl Location {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "country": self.country,
            "city": self.city,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "network_zone": self.network_zone,
        })
    }
}

impl Image {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "type": "system",
            "status": "available",
            "name": self.name,
            "description": self.description,
            "image_size": null,
            "disk_size": 5,
            "created": IMAGE_CREATED,
            "created_from": null,
            "bound_to": null,
            "os_flavor": self.os_flavor,
            "os_version": self.os_version,
            "rapid_deploy": true,
            "protection": {"delete": false},
            "deprecated": null,
            "deleted": null,
            "labels": {},
            "architecture": self.architecture.as_str(),
        })
    }
}

impl ServerType {
    /// Tells whether this type is offered in a location, in stock or not.
    pub(super) fn is_offered_in(&self, location: &str) -> bool {
        self.locations.contains(&location)
    }

    /// Returns the locations that offer this type.
    pub(super) fn offered_in(&self) -> impl Iterator<Item = &'static Location> {
        LOCATIONS.iter().filter(|location| self.is_offered_in(location.name))
    }

    /// Writes the type; `in_stock` answers for one location.
    pub(super) fn to_json(&self, in_stock: impl Fn(&Location) -> bool) -> Value {
        let locations: Vec<_> = self
            .offered_in()
            .map(|location| {
                json!({
                    "id": location.id,
                    "name": location.name,
                    "deprecation": null,
                    "recommended": true,
                    "available": in_stock(location),
                })
            })
            .collect();
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "cores": self.cores,
            "memory": self.memory_gib,
            "disk": self.disk_gb,
            "deprecated": false,
            "deprecation": null,
            "prices": self.prices(),
            "storage_type": "local",
            "cpu_type": self.cpu_type,
            "architecture": self.architecture.as_str(),
            "locations": locations,
        })
    }

    fn prices(&self) -> Vec<Value> {
        self.offered_in()
            .map(|location| {
                json!({
                    "location": location.name,
                    "price_hourly": price(self.hourly),
                    "price_monthly": price(self.monthly * 100),
                    "included_traffic": INCLUDED_TRAFFIC_BYTES,
                    "price_per_tb_traffic": price(10_000),
                })
            })
            .collect()
    }
}

/// Writes the price list.
pub(super) fn pricing() -> Value {
    let server_types: Vec<_> =
        SERVER_TYPES.iter().map(|it| json!({"id": it.id, "name": it.name, "prices": it.prices()})).collect();
    json!({"pricing": {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "image": {"price_per_gb_month": price(110)},
        "volume": {"price_per_gb_month": price(440)},
        "floating_ip": {"price_monthly": price(30_000)},
        "floating_ips": address_prices(30_000, Billing::Monthly),
        "primary_ips": address_prices(5_000, Billing::HourlyAndMonthly),
        "server_backup": {"percentage": "20.00"},
        "server_types": server_types,
        "load_balancer_types": [],
    }})
}

/// Floating IPs are billed by the month only, primary IPs also by the hour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Billing {
    Monthly,
    HourlyAndMonthly,
}

fn address_prices(ipv4_monthly: u64, billing: Billing) -> Value {
    let per_location = |monthly: u64| -> Vec<_> {
        LOCATIONS
            .iter()
            .map(|location| match billing {
                Billing::Monthly => {
                    json!({"location": location.name, "price_monthly": price(monthly)})
                }
                Billing::HourlyAndMonthly => json!({
                    "location": location.name,
                    "price_hourly": price(monthly / 625),
                    "price_monthly": price(monthly),
                }),
            })
            .collect()
    };
    json!([
        {"type": "ipv4", "prices": per_location(ipv4_monthly)},
        {"type": "ipv6", "prices": per_location(0)},
    ])
}

/// Writes a net price, given in units of 0.0001, and its gross price at 19 %.
fn price(net: u64) -> Value {
    let gross = net * 119;
    json!({
        "net": format!("{}.{:04}", net / 10_000, net % 10_000),
        "gross": format!("{}.{:06}", gross / 1_000_000, gross % 1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_strings_with_tax() {
        assert_eq!(price(104), json!({"net": "0.0104", "gross": "0.012376"}));
        assert_eq!(price(64_900), json!({"net": "6.4900", "gross": "7.723100"}));
    }

    #[test]
    fn image_names_exist_once_for_each_architecture() {
        let arm = image("ubuntu-24.04", Architecture::Arm).unwrap();
        let x86 = image("ubuntu-24.04", Architecture::X86).unwrap();
        assert_ne!(arm.id, x86.id);
        assert_eq!(image(&arm.id.to_string(), Architecture::X86).unwrap().id, arm.id);
    }
}
