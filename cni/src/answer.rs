//! The controller's answer to an attachment, as it stands in the interface's row.
//!
//! ```text
//! weft-mac       = 0a:58:0a:80:00:09
//! weft-addresses = 10.128.0.9/32 fd00::a80:9/128
//! weft-gateways  = 10.128.0.8 fd00::a80:8
//! weft-mtu       = 1438
//! ovn-installed  = true          once the flows are acknowledged
//! ```
//!
//! Must not: guess what is missing.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use weft_schema::keys;

use crate::{Error, link::Mac};

/// How the pod's interface is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its addresses with their prefix lengths, in the controller's order.
    pub addresses: Vec<IpNet>,
    /// The default gateways, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Its MTU, in bytes.
    pub mtu: u32,
}

impl Answer {
    /// Reads the answer out of `Interface.external_ids`; `None` while it is incomplete or its flows are not installed.
    ///
    /// # Errors
    /// When a value is there that cannot be read: waiting would not mend it.
    pub fn read(
        interface: &str,
        external_ids: &BTreeMap<String, String>,
    ) -> Result<Option<Answer>, Error> {
        let text = |key: &'static str| external_ids.get(key).map(String::as_str);
        let (Some(mac), Some(addresses), Some(mtu), Some("true")) = (
            text(keys::MAC),
            text(keys::ADDRESSES),
            text(keys::MTU),
            text(keys::OVN_INSTALLED),
        ) else {
            return Ok(None);
        };
        let gateways = text(keys::GATEWAYS).unwrap_or_default();
        Ok(Some(Answer {
            mac: one(interface, keys::MAC, mac, "expected an Ethernet address")?,
            addresses: many(
                interface,
                keys::ADDRESSES,
                addresses,
                "expected ADDRESS/LENGTH, with spaces between",
            )?,
            gateways: many(
                interface,
                keys::GATEWAYS,
                gateways,
                "expected addresses with spaces between",
            )?,
            mtu: one(interface, keys::MTU, mtu, "expected a number of bytes")?,
        }))
    }
}

fn one<T: FromStr>(
    interface: &str,
    key: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Answer {
        interface: interface.to_owned(),
        key,
        found: text.to_owned(),
        expected,
    })
}

fn many<T: FromStr>(
    interface: &str,
    key: &'static str,
    text: &str,
    expected: &'static str,
) -> Result<Vec<T>, Error> {
    text.split_whitespace()
        .map(|word| one(interface, key, word, expected))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    const WHOLE: [(&str, &str); 5] = [
        (keys::MAC, "0a:58:0a:80:00:09"),
        (keys::ADDRESSES, "10.128.0.9/32 fd00::a80:9/128"),
        (keys::GATEWAYS, "10.128.0.8 fd00::a80:8"),
        (keys::MTU, "1438"),
        (keys::OVN_INSTALLED, "true"),
    ];

    #[test]
    fn a_whole_answer_is_read() {
        let answer = Answer::read("v1", &row(&WHOLE)).unwrap().unwrap();
        assert_eq!(answer.mac, Mac([0x0a, 0x58, 0x0a, 0x80, 0, 9]));
        assert_eq!(
            answer.addresses,
            [
                "10.128.0.9/32".parse().unwrap(),
                "fd00::a80:9/128".parse().unwrap()
            ]
        );
        assert_eq!(answer.gateways.len(), 2);
        assert_eq!(answer.mtu, 1438);
    }

    #[test]
    fn an_answer_that_lacks_anything_but_a_gateway_is_waited_for() {
        for (lacking, _) in WHOLE {
            let mut row = row(&WHOLE);
            row.remove(lacking);
            let answer = Answer::read("v1", &row).unwrap();
            assert_eq!(
                answer.is_some(),
                lacking == keys::GATEWAYS,
                "without {lacking}"
            );
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_names_its_key_and_value() {
        for key in [keys::MAC, keys::ADDRESSES, keys::GATEWAYS, keys::MTU] {
            let mut row = row(&WHOLE);
            row.insert(key.to_owned(), "nonsense".to_owned());
            let message = Answer::read("v1", &row).unwrap_err().to_string();
            assert!(
                message.contains(key) && message.contains("nonsense"),
                "{message}"
            );
        }
    }
}
