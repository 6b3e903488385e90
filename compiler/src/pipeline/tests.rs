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
