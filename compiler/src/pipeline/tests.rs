//! Whether the tables keep what they promise.
use std::collections::BTreeSet;

use super::*;

#[test]
fn no_two_tables_or_stages_share_a_number_and_stages_stay_in_their_range() {
    let mut seen = BTreeSet::new();
    for physical in table::ALL {
        assert!(seen.insert(physical.id), "{} twice", physical.id);
    }
    for stage in Stage::ALL {
        assert!(seen.insert(stage.table()), "{stage} shares its table");
        let (first, last) = stage.kind().tables(stage.pipeline());
        assert!(
            (first..=last).contains(&stage.table().get()),
            "{stage} is out of its range"
        );
    }
    assert!(
        seen.iter().all(|id| id.get() < 254),
        "254 and 255 are Open vSwitch's own"
    );
}

#[test]
fn register_fields_fit_and_do_not_overlap() {
    let mut bits = BTreeSet::new();
    for field in register::ALL {
        let width = if field.field == "metadata" { 64 } else { 32 };
        assert!(
            field.low + field.width <= width,
            "{} does not fit",
            field.name
        );
        for bit in field.low..field.low + field.width {
            assert!(bits.insert((field.field, bit)), "{} overlaps", field.name);
        }
    }
}

#[test]
fn zones_do_not_overlap_and_every_port_has_one() {
    let mut zones = BTreeSet::new();
    for run in zone::ALL {
        assert!(run.first > 0, "zone 0 is the host's own");
        for number in run.first..=run.last {
            assert!(zones.insert(number), "zone {number} is in two runs");
        }
    }
    for number in 1..=u16::MAX {
        let is_zone = (zone::PORTS.first..=zone::PORTS.last).contains(&number);
        assert_eq!(crate::Ofport::new(number).is_some(), is_zone, "{number}");
    }
}

#[test]
fn every_router_that_translates_has_two_zones_of_its_own() {
    use weft_expr::NatSide;
    let mut zones = BTreeSet::new();
    for number in 1..=zone::TRANSLATING_ROUTERS {
        for side in [NatSide::Destination, NatSide::Source] {
            let zone = zone::of_router(number, side).expect("a zone");
            assert!((zone::ROUTERS.first..=zone::ROUTERS.last).contains(&zone));
            assert!(zones.insert(zone), "zone {zone} is two routers'");
        }
    }
    let beyond = zone::TRANSLATING_ROUTERS + 1;
    for number in [0, beyond, u32::MAX] {
        assert_eq!(zone::of_router(number, NatSide::Source), None);
    }
}

#[test]
fn groups_of_switches_and_load_balancers_do_not_meet() {
    let last = DatapathKey::new(DatapathKey::COUNT).map(|key| GroupId::remote_unknown(key).get());
    assert!(last.is_some_and(|last| last < FIRST_BALANCER_GROUP));
    let balancer = |number| GroupId::balancer(number).map(GroupId::get);
    assert_eq!(balancer(1), Some(FIRST_BALANCER_GROUP));
    assert!(balancer(GroupId::BALANCERS).is_some_and(|group| group < 0xffff_ff00));
    assert_eq!(
        [balancer(0), balancer(GroupId::BALANCERS + 1)],
        [None, None]
    );
}

#[test]
fn the_page_names_every_stage_and_table() {
    let page = markdown();
    for stage in Stage::ALL {
        assert!(page.contains(stage.name()), "{stage} is missing");
    }
    for physical in table::ALL {
        assert!(page.contains(physical.job), "{} is missing", physical.name);
    }
}

#[test]
fn every_meter_has_a_number_of_its_own_that_leads_to_it() {
    let mut seen = BTreeSet::new();
    for spec in meter::ALL {
        assert!(seen.insert(spec.id), "{} twice", spec.id);
        assert_eq!(spec.punt.meter(), spec.id);
        assert!((1..=0xffff).contains(&spec.id) && spec.rate > 0);
        assert!(meter::meter(spec.id).is_some());
    }
    assert_eq!(meter::meter(0), None);
}

#[test]
fn keys_outside_their_range_are_refused() {
    assert_eq!(DatapathKey::new(0), None);
    assert_eq!(DatapathKey::new(0x100_0000), None);
    assert_eq!(PortKey::port(0), None);
    assert_eq!(PortKey::port(0x8000), None);
    assert!(
        DatapathKey::new(0xff_ffff).is_some_and(|key| GroupId::remote(key).get() < 0xffff_ff00)
    );
}
