//! Names that Kubernetes accepts (RFC 1123, as `kubectl explain` has it).
//!
//! Must not: accept what the API server would refuse: names become parts of row names.

/// A label: what a namespace may be called. Lower case letters, digits and `-`, at most 63, not
/// `-` at either end.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A subdomain: what a pod or node may be called. Labels joined by dots, at most 253 characters.
#[must_use]
pub fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_as_kubernetes_accepts_them() {
        for name in ["a", "shop", "web-0", "0", &"a".repeat(63)] {
            assert!(is_label(name) && is_subdomain(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a_b", "a b", "ä", &"a".repeat(64)] {
            assert!(!is_label(name), "{name}");
        }
        assert!(is_subdomain("node-1.example.com"));
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a.-b",
            "a_b",
            &"a.".repeat(127).repeat(2),
        ] {
            assert!(!is_subdomain(name), "{name}");
        }
    }
}
