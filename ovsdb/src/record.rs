//! The records of an `ovsdb-server` log file (ovsdb(5), File Formats): a line with length and SHA-1, a line of JSON.
//!
//! ```text
//! OVSDB JSON 145 f383ad08dda211c006e854d970975db8fe6fc442\n
//! {"_date":1795575214155,"_is_diff":true,"Parent":{…}}\n      these are the 145 bytes, and what the sum is of
//! ```
//!
//! Must not: know what a record says; panic on any bytes.

use std::fmt::Write as _;

use serde_json::Value;
use sha1_smol::Sha1;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// They begin like one and end too early: what a crash in the middle of a write leaves.
    #[error("the file ends {missing} bytes before the record does")]
    Torn { missing: usize },
    /// They do not begin like one.
    #[error("{found:?} is no record header (OVSDB JSON LENGTH SHA1)")]
    Header { found: String },
    /// A member of a cluster has other records, and its log is not its own to write.
    #[error(
        "the file belongs to a clustered database; give a stand-alone one: \
         ovsdb-tool cluster-to-standalone NEW OLD makes it"
    )]
    Clustered,
    /// The content is not what was written.
    #[error("its {length} bytes have SHA-1 {found} but should have {expected}")]
    Checksum {
        length: usize,
        found: String,
        expected: String,
    },
    /// The content is what was written, and no JSON.
    #[error("its content is no JSON object: {0}")]
    Content(String),
}

/// The first record of these bytes and its length; `None` if there are no bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, Flaw> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let start = bytes.get(..HEADER_MAX).unwrap_or(bytes);
    let Some(line) = start.iter().position(|byte| *byte == b'\n') else {
        // A crash can also leave zeros where the file had grown and its content was not there yet.
        let common = start.len().min(MAGIC.len());
        let is_start = start.get(..common) == MAGIC.get(..common) && start.len() < HEADER_MAX;
        return Err(match is_start || bytes.iter().all(|byte| *byte == 0) {
            true => Flaw::Torn { missing: 1 },
            false => bad_header(start),
        });
    };
    let header = start.get(..line).unwrap_or_default();
    let (length, expected) = parse_header(header).ok_or_else(|| bad_header(header))?;
    let body_start = line.saturating_add(1);
    let end = body_start.saturating_add(length);
    let Some(body) = bytes.get(body_start..end) else {
        return Err(Flaw::Torn {
            missing: end.saturating_sub(bytes.len()),
        });
    };
    let found = Sha1::from(body).digest().to_string();
    if found != expected {
        return Err(Flaw::Checksum {
            length,
            found,
            expected,
        });
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(Some((value, end))),
        Ok(_) => Err(Flaw::Content("it is something else".to_owned())),
        Err(error) => Err(Flaw::Content(error.to_string())),
    }
}

/// Appends a record. The content is one line of JSON, without its end.
pub(crate) fn encode(content: &[u8], out: &mut Vec<u8>) {
    let length = content.len().saturating_add(1);
    let mut sum = Sha1::new();
    sum.update(content);
    sum.update(b"\n");
    let mut header = String::with_capacity(HEADER_MAX);
    // Writing to a String cannot fail.
    let _ = writeln!(header, "OVSDB JSON {length} {}", sum.digest());
    out.reserve(header.len().saturating_add(length));
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.push(b'\n');
}

fn parse_header(header: &[u8]) -> Option<(usize, String)> {
    let rest = std::str::from_utf8(header.strip_prefix(MAGIC)?).ok()?;
    let (length, sum) = rest.split_once(' ')?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number
        .then(|| length.parse().ok())?
        .filter(|length| *length > 0)?;
    let is_sum = sum.len() == 40 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then(|| (length, sum.to_ascii_lowercase()))
}

fn bad_header(found: &[u8]) -> Flaw {
    if found.starts_with(b"OVSDB CLUSTER ") {
        return Flaw::Clustered;
    }
    let found: String = String::from_utf8_lossy(found).chars().take(60).collect();
    Flaw::Header { found }
}

const MAGIC: &[u8] = b"OVSDB JSON ";
/// The longest header there can be has 20 digits of length and 40 of sum.
const HEADER_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As `ovsdb-tool create` wrote it.
    const GOLDEN: &str = "OVSDB JSON 169 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n\
        {\"name\":\"Q\",\"version\":\"1.0.0\",\"tables\":{\"T\":{\"columns\":{\"o\":{\"type\":{\"min\":0,\"key\":\
        \"string\"}},\"k\":{\"type\":\"integer\"},\"s\":{\"type\":{\"max\":\"unlimited\",\"key\":\"string\"}}}}}}\n";

    fn record(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value.to_string().as_bytes(), &mut out);
        out
    }

    #[test]
    fn a_record_of_ovsdb_tool_is_read_and_written_alike() {
        let (value, length) = decode(GOLDEN.as_bytes()).unwrap().unwrap();
        assert_eq!((&value["name"], length), (&json!("Q"), GOLDEN.len()));
        let mut out = Vec::new();
        encode(GOLDEN.lines().nth(1).unwrap().as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), GOLDEN);
    }

    #[test]
    fn a_record_cut_at_any_length_is_torn() {
        let bytes = GOLDEN.as_bytes();
        for length in 1..bytes.len() {
            let flaw = decode(&bytes[..length]).unwrap_err();
            assert!(matches!(flaw, Flaw::Torn { .. }), "{length}: {flaw}");
        }
        assert_eq!(decode(&[]), Ok(None));
        assert!(matches!(decode(&[0; 4000]), Err(Flaw::Torn { .. })));
    }

    #[test]
    fn a_byte_changed_anywhere_is_noticed() {
        for at in 0..GOLDEN.len() {
            for change in [1, 0x20, 0x80] {
                let mut bytes = GOLDEN.as_bytes().to_vec();
                bytes[at] ^= change;
                let is_hash_case = (15..55).contains(&at) && change == 0x20;
                let result = decode(&bytes);
                assert!(
                    result.is_err() || is_hash_case,
                    "byte {at} changed by {change:#x}: {result:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_record_says_what_it_is() {
        for (bytes, message) in [
            ("garbage\n", "\"garbage\" is no record header"),
            ("OVSDB CLUSTER 5 0\n{}\n", "cluster-to-standalone"),
            (
                "OVSDB JSON 0 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n",
                "no record header",
            ),
            (
                "OVSDB JSON +5 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n",
                "no record header",
            ),
            (
                "OVSDB JSON 99999999999999999999999 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n",
                "no record header",
            ),
            (
                "OVSDB JSON 18446744073709551615 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n",
                "ends",
            ),
            (
                "OVSDB JSON 3 7afc56bacce7bbf79bf1e6e23f06b60658553d2e\n{}\n",
                "have SHA-1",
            ),
        ] {
            let flaw = decode(bytes.as_bytes()).unwrap_err().to_string();
            assert!(flaw.contains(message), "{bytes:?}: {flaw}");
        }
        let mut list = Vec::new();
        encode(b"[1]", &mut list);
        assert!(
            decode(&list)
                .unwrap_err()
                .to_string()
                .contains("no JSON object")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, with_magic: bool) {
            let mut input = if with_magic { MAGIC.to_vec() } else { Vec::new() };
            input.extend(bytes);
            let _ = decode(&input);
        }

        #[test]
        fn what_was_encoded_is_decoded(text in ".*", number: i64, tail: Vec<u8>) {
            let value = json!({ "text": text, "number": number });
            let mut bytes = record(&value);
            let length = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok(Some((value, length))));
        }
    }
}
