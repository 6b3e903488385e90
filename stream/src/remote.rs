//! Where a peer is (`unix:…`, `tcp:…`, `ssl:…`) and where a server listens (`punix:…`, `ptcp:…`, `pssl:…`), as `ovsdb(7)`
//! writes it.
//!
//! Must not: resolve or open anything.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remote {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp:HOST:PORT`, an IPv6 address in brackets
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// `ssl:HOST:PORT`: as `tcp:`, with mutual TLS
    Ssl {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Passive {
    /// `punix:PATH`
    Unix(PathBuf),
    /// `ptcp:PORT[:ADDRESS]`; port 0 takes any free one
    Tcp {
        /// The port.
        port: u16,
        /// The address; `None`: all of them.
        address: Option<IpAddr>,
    },
    /// `pssl:PORT[:ADDRESS]`: as `ptcp:`, with mutual TLS
    Ssl {
        /// The port.
        port: u16,
        /// The address; `None`: all of them.
        address: Option<IpAddr>,
    },
}

/// Why a text is no remote or listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct RemoteError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl Remote {
    /// Parses a remote; `default_port` is for one that names none (`None`: it has to).
    ///
    /// # Errors
    /// When the text is no remote; it says what would be one.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Remote, RemoteError> {
        let refuse = |problem: String| RemoteError {
            text: text.to_owned(),
            problem,
        };
        let (scheme, rest) = match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => return Ok(Remote::Unix(path.into())),
            Some((scheme @ ("tcp" | "ssl"), rest)) => (scheme, rest),
            _ => {
                return Err(refuse(
                    "is no remote; write unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT".to_owned(),
                ));
            }
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
                None => return Err(refuse("has no closing bracket".to_owned())),
            },
            None => match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map_or(default_port, |port| port.parse().ok());
        let Some(port) = port.filter(|port| *port != 0) else {
            return Err(refuse(format!(
                "has no port from 1 to 65535; write {scheme}:HOST:PORT"
            )));
        };
        if host.is_empty() {
            return Err(refuse(format!("names no host; write {scheme}:HOST:PORT")));
        }
        let host = host.to_owned();
        Ok(match scheme {
            "ssl" => Remote::Ssl { host, port },
            _ => Remote::Tcp { host, port },
        })
    }
}

impl FromStr for Remote {
    type Err = RemoteError;

    /// With OVSDB's port where none is given.
    fn from_str(text: &str) -> Result<Remote, RemoteError> {
        Remote::parse(text, Some(OVSDB_PORT))
    }
}

impl FromStr for Passive {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Passive, RemoteError> {
        let refuse = |problem: String| RemoteError {
            text: text.to_owned(),
            problem,
        };
        let (scheme, rest) = match text.split_once(':') {
            Some(("punix", path)) if !path.is_empty() => return Ok(Passive::Unix(path.into())),
            Some((scheme @ ("ptcp" | "pssl"), rest)) => (scheme, rest),
            _ => {
                return Err(refuse(
                    "is no listener; write punix:PATH, ptcp:PORT[:ADDRESS] or pssl:PORT[:ADDRESS]"
                        .to_owned(),
                ));
            }
        };
        let (port, address) = match rest.split_once(':') {
            Some((port, address)) => (
                port,
                Some(address.trim_start_matches('[').trim_end_matches(']')),
            ),
            None => (rest, None),
        };
        let port = if port.is_empty() {
            Ok(OVSDB_PORT)
        } else {
            port.parse()
        };
        let Ok(port) = port else {
            return Err(refuse(format!(
                "has no port from 0 to 65535; write {scheme}:PORT or {scheme}:PORT:ADDRESS"
            )));
        };
        let Ok(address) = address.map(str::parse).transpose() else {
            return Err(refuse(format!(
                "has no IP address after the port; write {scheme}:PORT:ADDRESS"
            )));
        };
        Ok(match scheme {
            "pssl" => Passive::Ssl { port, address },
            _ => Passive::Tcp { port, address },
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Remote::Unix(path) => return write!(f, "unix:{}", path.display()),
            Remote::Tcp { host, port } => ("tcp", host, port),
            Remote::Ssl { host, port } => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}:[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{host}:{port}")
        }
    }
}

impl fmt::Display for Passive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port, address) = match self {
            Passive::Unix(path) => return write!(f, "punix:{}", path.display()),
            Passive::Tcp { port, address } => ("ptcp", port, address),
            Passive::Ssl { port, address } => ("pssl", port, address),
        };
        match address {
            None => write!(f, "{scheme}:{port}"),
            Some(IpAddr::V4(address)) => write!(f, "{scheme}:{port}:{address}"),
            Some(IpAddr::V6(address)) => write!(f, "{scheme}:{port}:[{address}]"),
        }
    }
}

/// The port that IANA gave to OVSDB.
pub const OVSDB_PORT: u16 = 6640;
/// The port that IANA gave to OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_print_as_they_are_written() {
        for text in [
            "unix:/run/x.sock",
            "tcp:127.0.0.1:6640",
            "tcp:[fd00::1]:6641",
            "tcp:example.org:1",
            "ssl:example.org:1",
            "ssl:[fd00::1]:6641",
        ] {
            assert_eq!(
                text.parse::<Remote>()
                    .map(|remote| remote.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
        for text in [
            "punix:/run/x.sock",
            "ptcp:6640",
            "ptcp:0:127.0.0.1",
            "ptcp:6640:[fd00::1]",
            "pssl:6640",
            "pssl:0:127.0.0.1",
        ] {
            assert_eq!(
                text.parse::<Passive>()
                    .map(|passive| passive.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_no_remote_is_refused_with_what_to_write_instead() {
        for text in [
            "",
            "unix:",
            "tcp:",
            "tcp:h:99999",
            "tcp:h:x",
            "tcp:h:0",
            "tcp:[fd00::1",
            "tcp:[fd00::1]6640",
            "ssl:",
            "ssl::6640",
            "pssl:6640",
            "/run/x.sock",
        ] {
            let error = text.parse::<Remote>().expect_err(text);
            assert!(
                error.to_string().starts_with(&format!("{text:?} ")),
                "{error}"
            );
        }
        for text in [
            "",
            "punix:",
            "ptcp:x",
            "ptcp:70000",
            "ptcp:1:host",
            "pssl:1:host",
            "ssl:h:1",
            "unix:/x",
        ] {
            text.parse::<Passive>().expect_err(text);
        }
    }

    #[test]
    fn a_remote_without_a_port_gets_the_protocols_own_or_is_refused() {
        for (text, whole) in [
            ("ssl:h", "ssl:h:6653"),
            ("tcp:[2001:db8::1]", "tcp:[2001:db8::1]:6653"),
            ("tcp:[2001:db8::1]:66", "tcp:[2001:db8::1]:66"),
        ] {
            let remote = Remote::parse(text, Some(OPENFLOW_PORT)).expect(text);
            assert_eq!(remote.to_string(), whole);
        }
        Remote::parse("ssl:h", None).expect_err("it has to name one");
    }
}
