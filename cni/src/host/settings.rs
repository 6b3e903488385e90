//! The node's kernel settings, and how they were before.
//!
//! | setting | value | why |
//! | --- | --- | --- |
//! | `ip_forward`, IPv6 `all/forwarding` | 1 | pods reach the outside through the host, and the outside node ports |
//! | `all/send_redirects`, and `weft0`'s | 0 | what comes out of `weft0` and goes back into it goes the right way (the kernel sends if either is 1; others keep their own) |
//! | `weft0/rp_filter` | 2 | a client's address, kept, comes out of `weft0` though it is not routed there |
//! | IPv6 `accept_ra` where it is 1 | 2 | a host that forwards heeds router advertisements no longer, and would lose its default route |
//!
//! A value of the node's own is written down before it is changed, in a file that goes with the next boot as the value itself does.
//! What belongs to `weft0` goes with it and is not written down.
//!
//! Must not: change back what this program did not change.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::Error;

/// Values by path below `/proc/sys/net`, as they were.
type Record = BTreeMap<String, String>;

/// Makes the node forward, and writes down what it had.
pub(super) fn apply(record: &Path) -> Result<(), Error> {
    let mut before = read_record(record)?;
    let mut wanted = vec![("ipv4/conf/all/send_redirects".to_owned(), "0")];
    let families = [
        ("ipv4/conf", "ipv4/ip_forward"),
        ("ipv6/conf", "ipv6/conf/all/forwarding"),
    ];
    for (interfaces, forwarding) in families {
        let Some(value) = read(forwarding)? else {
            // A kernel without this family.
            continue;
        };
        if value == "0" {
            // The kernel then writes it to every interface, and turns redirects the other way.
            for interface in children(interfaces)? {
                note(&mut before, &format!("{interfaces}/{interface}/forwarding"))?;
            }
            note(&mut before, "ipv4/conf/all/accept_redirects")?;
        }
        wanted.push((forwarding.to_owned(), "1"));
    }
    for interface in children("ipv6/conf")? {
        let accept_ra = format!("ipv6/conf/{interface}/accept_ra");
        if interface != "all" && read(&accept_ra)?.as_deref() == Some("1") {
            wanted.push((accept_ra, "2"));
        }
    }
    let mut changes = Vec::new();
    for (path, value) in wanted {
        match read(&path)? {
            Some(found) if found != value => {
                before.entry(path.clone()).or_insert(found);
                changes.push((path, value));
            }
            _ => {}
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    write_record(record, &before)?;
    changes
        .iter()
        .try_for_each(|(path, value)| write(path, value))
}

/// Settings of the node's own interface, which has to be there.
pub(super) fn apply_to_interface(interface: &str) -> Result<(), Error> {
    for (setting, value) in [("rp_filter", "2"), ("send_redirects", "0")] {
        let path = format!("ipv4/conf/{interface}/{setting}");
        if read(&path)?.is_some_and(|found| found != value) {
            write(&path, value)?;
        }
    }
    Ok(())
}

/// Makes the values as they were written down. An interface that is gone is not missed.
pub(super) fn restore(record: &Path) -> Result<(), Error> {
    let before = read_record(record)?;
    // Those for all interfaces come first: the kernel writes them to each.
    let (all, each): (Vec<_>, Vec<_>) = before
        .iter()
        .partition(|(path, _)| path.as_str() == "ipv4/ip_forward" || path.contains("/all/"));
    let forwarding_first = |path: &str| !path.contains("forward");
    let mut all = all;
    all.sort_by_key(|(path, _)| forwarding_first(path));
    for (path, value) in all.into_iter().chain(each) {
        if read(path)?.is_some_and(|found| found != *value) {
            write(path, value)?;
        }
    }
    match fs::remove_file(record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(record, error)),
        _ => Ok(()),
    }
}

fn note(before: &mut Record, path: &str) -> Result<(), Error> {
    if let Some(value) = read(path)? {
        before.entry(path.to_owned()).or_insert(value);
    }
    Ok(())
}

fn full(path: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(path)
}

/// `None` where the kernel has no such setting, or no longer.
fn read(path: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(full(path)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&full(path), error)),
    }
}

fn write(path: &str, value: &str) -> Result<(), Error> {
    let path = full(path);
    fs::write(&path, value).map_err(|source| Error::File {
        action: format!("{} = {value}", path.display()),
        source,
    })
}

/// The interfaces that have settings, and `all` and `default`.
fn children(path: &str) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(full(path)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&full(path), error)),
    };
    let names = entries.filter_map(Result::ok);
    Ok(names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

fn read_record(path: &Path) -> Result<Record, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::new()),
        Err(error) => return Err(failed(path, error)),
    };
    serde_json::from_str(&text).map_err(|error| failed(path, io::Error::other(error)))
}

/// In one step: half a record would be worse than none.
fn write_record(path: &Path, record: &Record) -> Result<(), Error> {
    let failed = |error| failed(path, error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let text =
        serde_json::to_string_pretty(record).map_err(|error| failed(io::Error::other(error)))?;
    let new = path.with_extension("new");
    fs::write(&new, text).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File {
        action: path.display().to_string(),
        source,
    }
}
