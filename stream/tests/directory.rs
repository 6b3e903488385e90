//! The directory that `weft pki` makes.

use std::os::unix::fs::PermissionsExt;

use weft_stream::PeerName;
use weft_stream::pki::{Directory, Existing, Period};

use crate::world::{load, meet, to};

fn name(text: &str) -> PeerName {
    PeerName::new(text).expect("a name")
}

#[tokio::test]
async fn what_a_directory_makes_fits_together_and_keys_are_their_owners_alone() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path().join("made/pki");
    let period = Period::days(30);
    let directory = Directory::init(&root, period).expect("CAs");
    let node = directory.node(&name("n1"), period, Existing::Refuse);
    let controller = directory.controller(&name("c"), period, Existing::Refuse);
    let (node, controller) = (node.expect("made").files, controller.expect("made").files);
    let (dialled, accepted) = meet(to(&load(&controller), "n1"), load(&node)).await;
    assert_eq!(dialled.and(accepted), Ok(()));
    for key in [
        node.private_key,
        controller.private_key,
        directory.nodes_ca().with_extension("key"),
        directory.controllers_ca().with_extension("key"),
    ] {
        let mode = std::fs::metadata(&key).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
}

#[test]
fn nothing_is_overwritten_but_a_controllers_pair_that_is_renewed() {
    let folder = tempfile::tempdir().expect("a directory");
    let (root, period) = (folder.path(), Period::days(30));
    let directory = Directory::init(root, period).expect("CAs");
    let again = Directory::init(root, period).expect_err("they are there");
    assert!(again.to_string().contains("is there already"), "{again}");
    let node = |existing| directory.node(&name("n1"), period, existing);
    let controller = |existing| directory.controller(&name("c"), period, existing);
    let first = node(Existing::Refuse).expect("made").files;
    let own = controller(Existing::Refuse).expect("made").files;
    for refused in [node(Existing::Refuse), controller(Existing::Refuse)] {
        let error = refused.expect_err("there is one").to_string();
        assert!(error.contains("--renew"), "{error}");
    }
    let read = |path| std::fs::read_to_string(path).expect("made");
    let before = (read(&first.certificate), read(&own.certificate));
    let second = node(Existing::Renew).expect("made").files;
    assert_ne!(second.private_key, first.private_key);
    assert_ne!(second.certificate, first.certificate);
    assert_eq!(read(&first.certificate), before.0);
    let renewed = controller(Existing::Renew).expect("made").files;
    assert_eq!(renewed, own);
    assert_ne!(read(&own.certificate), before.1);
    load(&own);
    let nowhere = Directory::open(&root.join("nowhere"));
    let error = nowhere.node(&name("n1"), period, Existing::Refuse);
    let error = error.expect_err("no CAs").to_string();
    assert!(error.contains("weft pki init"), "{error}");
}
