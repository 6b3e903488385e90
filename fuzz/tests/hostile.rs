//! Every target over its seeds, cut at every length and with bytes changed, and over random bytes: the part of
//! fuzzing that every change gets.
//!
//! Must not: stand in for the fuzzers, which look for what nobody thought of.

use proptest::prelude::*;
use weft_fuzz::TARGETS;

/// Bytes at which formats turn: ends of ranges, quotes, brackets, signs.
const TURNING: &[u8] = b"\x00\x7f\x80\xff\"'\\[]{}(),:=.*-0a ";

#[test]
fn every_fuzzer_has_a_target_and_every_target_a_fuzzer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_targets");
    let mut fuzzers: Vec<String> = std::fs::read_dir(folder)
        .expect("the fuzzers")
        .map(|file| file.expect("readable").path())
        .map(|file| {
            file.file_stem()
                .expect("named")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    fuzzers.sort();
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(fuzzers, targets);
}

#[test]
fn a_seed_cut_at_any_length_does_no_harm() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} starts from nothing", target.name);
        for seed in seeds {
            (0..=seed.len()).for_each(|length| (target.check)(&seed[..length]));
        }
    }
}

#[test]
fn a_seed_with_a_byte_changed_or_gone_does_no_harm() {
    for target in TARGETS {
        for (n, seed) in (target.seeds)().into_iter().enumerate() {
            // Of a long seed not every byte, but others than of the next seed.
            let step = 1 + seed.len() / 300;
            for place in (n % step..seed.len()).step_by(step) {
                let mut changed = seed.clone();
                changed[place] = TURNING[(n + place) % TURNING.len()];
                (target.check)(&changed);
                changed.remove(place);
                (target.check)(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes: Vec<u8>) {
        TARGETS.iter().for_each(|target| (target.check)(&bytes));
    }
}
