//! Files that cannot be used, and files that change.

use weft_stream::pki::{Authority, Period, Subject};
use weft_stream::{Tls, TlsFiles};

use crate::world::{World, load, meet, node, to, write};

fn refused(files: TlsFiles) -> String {
    Tls::load(files).expect_err("bad files").to_string()
}

#[test]
fn every_file_that_cannot_be_used_is_named_with_what_is_wrong_and_what_is_right() {
    let world = World::new();
    let good = world.node("n1", Period::days(1));
    let other = world.node("n2", Period::days(1));
    load(&good);
    let missing = world.path("missing");
    let empty = world.path("empty");
    write(&empty, "");
    let cut = world.path("cut");
    write(&cut, "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let garbled = world.path("garbled");
    write(
        &garbled,
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    );
    type Change<'a> = &'a dyn Fn(&mut TlsFiles);
    let changes: [(Change, &[&str]); 9] = [
        (
            &|files| files.private_key = missing.clone(),
            &["private key ", "/missing: ", "No such file"],
        ),
        (
            &|files| files.certificate = missing.clone(),
            &["certificate ", "/missing: ", "No such file"],
        ),
        (
            &|files| files.ca_certificate = missing.clone(),
            &["CA certificate ", "/missing: ", "No such file"],
        ),
        (
            &|files| files.private_key = good.certificate.clone(),
            &["private key ", "holds none", "-----BEGIN PRIVATE KEY"],
        ),
        (
            &|files| files.certificate = good.private_key.clone(),
            &["certificate ", "holds none", "-----BEGIN CERTIFICATE"],
        ),
        (
            &|files| files.ca_certificate = empty.clone(),
            &["CA certificate ", "holds none"],
        ),
        (
            &|files| files.certificate = cut.clone(),
            &["certificate ", "is cut off"],
        ),
        (
            &|files| files.certificate = garbled.clone(),
            &["/garbled: ", "cannot be used"],
        ),
        (
            &|files| files.private_key = other.private_key.clone(),
            &["n2.key does not belong to certificate ", "n1.pem"],
        ),
    ];
    for (change, parts) in changes {
        let mut files = good.clone();
        change(&mut files);
        let text = refused(files);
        for part in parts {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[test]
fn no_key_is_ever_printed() {
    let world = World::new();
    let (authority, issued) = Authority::create("CA", Period::days(1)).expect("a CA");
    let tls = load(&world.node("n1", Period::days(1)));
    let texts = [
        format!("{issued:?}"),
        format!("{authority:?}"),
        format!("{tls:?}"),
        refused(TlsFiles {
            certificate: world.path("n1.key"),
            ..tls.files().clone()
        }),
    ];
    let key = std::fs::read_to_string(world.path("n1.key")).expect("written");
    for text in texts {
        for line in key.lines().chain(issued.private_key.reveal().lines()) {
            assert!(!text.contains(line), "{text}");
        }
    }
    assert!(format!("{issued:?}").contains("private_key: ***"));
}

#[tokio::test]
async fn files_that_change_are_used_from_the_next_handshake_on_and_bad_ones_never() {
    let world = World::new();
    let controller = load(&world.controller(Period::days(1)));
    let node_files = world.node("n1", Period::days(1));
    let node_tls = load(&node_files);
    let reach = async |name: &str| {
        let (dialled, accepted) = meet(to(&controller, name), node_tls.clone()).await;
        dialled.and(accepted)
    };
    assert_eq!(reach("n1").await, Ok(()));
    // The key first, as a copy of two files does: until the other follows, the pair from before is used.
    let issued = world
        .nodes
        .issue(&node("n2"), Period::days(1))
        .expect("issued");
    write(&node_files.private_key, issued.private_key.reveal());
    assert_eq!(reach("n1").await, Ok(()));
    write(&node_files.certificate, &issued.certificate);
    assert_eq!(reach("n2").await, Ok(()));
    // Taken away, and not readable: the same.
    std::fs::remove_file(&node_files.ca_certificate).expect("it was there");
    assert_eq!(reach("n2").await, Ok(()));
    // Another CA: whom it signed is believed, and nobody else.
    let (authority, _) = Authority::create("another", Period::days(1)).expect("a CA");
    write(&node_files.ca_certificate, authority.certificate());
    let refused = reach("n2")
        .await
        .expect_err("that CA is no longer believed");
    assert!(refused.contains("trusts another CA"), "{refused}");
    let both = format!(
        "{}{}",
        authority.certificate(),
        world.controllers.certificate()
    );
    write(&node_files.ca_certificate, &both);
    assert_eq!(reach("n2").await, Ok(()));
    let subject = Subject::Controller("c2".to_owned());
    let issued = authority.issue(&subject, Period::days(1)).expect("issued");
    let files = controller.files();
    write(&files.private_key, issued.private_key.reveal());
    write(&files.certificate, &issued.certificate);
    assert_eq!(reach("n2").await, Ok(()));
}

#[test]
fn a_ca_that_was_made_before_signs_as_it_did() {
    let world = World::new();
    let (first, issued) = Authority::create("CA", Period::days(1)).expect("a CA");
    let loaded = Authority::load(first.certificate(), &issued.private_key).expect("its own");
    assert_eq!(loaded.certificate(), issued.certificate);
    let node = loaded.issue(&node("n1"), Period::days(1)).expect("issued");
    load(&world.write("loaded", &node, loaded.certificate()));
    for (certificate, key) in [
        (&node.certificate, &node.private_key),
        (&issued.certificate, &node.private_key),
        (&String::new(), &issued.private_key),
    ] {
        let error = Authority::load(certificate, key).expect_err("no CA");
        assert!(error.to_string().contains("weft pki init"), "{error}");
    }
}
