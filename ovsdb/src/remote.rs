//! Where a database is (`unix:…`, `tcp:…`) and where a server listens (`punix:…`, `ptcp:…`), as `ovsdb(7)` writes it.
//!
//! `ssl:` and `pssl:` are recognized and refused by name until there is TLS.
//!
//! Must not: resolve or open anything.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The port IANA gave to OVSDB.
pub const DEFAULT_PORT: u16 = 6640;

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

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Remote, RemoteError> {
        let refuse = |problem: &str| {
            Err(RemoteError {
                text: text.to_owned(),
                problem: problem.to_owned(),
            })
        };
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Remote::Unix(path.into())),
            Some(("tcp", rest)) => {
                let (host, port) = match rest.strip_prefix('[') {
                    Some(rest) => match rest.split_once(']') {
                        Some((host, "")) => (host, None),
                        Some((host, port)) => (host, port.strip_prefix(':')),
                        None => return refuse("has no closing bracket"),
                    },
                    None => match rest.rsplit_once(':') {
                        Some((host, port)) => (host, Some(port)),
                        None => (rest, None),
                    },
                };
                let Ok(port) = port.map_or(Ok(DEFAULT_PORT), str::parse) else {
                    return refuse("has no port from 0 to 65535; write tcp:HOST:PORT");
                };
                if host.is_empty() {
                    return refuse("names no host; write tcp:HOST:PORT");
                }
                Ok(Remote::Tcp {
                    host: host.to_owned(),
                    port,
                })
            }
            Some(("ssl", _)) => {
                refuse("asks for TLS, which is not supported yet; use unix:PATH or tcp:HOST:PORT")
            }
            _ => refuse("is no remote; write unix:PATH or tcp:HOST:PORT"),
        }
    }
}

impl FromStr for Passive {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Passive, RemoteError> {
        let refuse = |problem: &str| {
            Err(RemoteError {
                text: text.to_owned(),
                problem: problem.to_owned(),
            })
        };
        match text.split_once(':') {
            Some(("punix", path)) if !path.is_empty() => Ok(Passive::Unix(path.into())),
            Some(("ptcp", rest)) => {
                let (port, address) = match rest.split_once(':') {
                    Some((port, address)) => (
                        port,
                        Some(address.trim_start_matches('[').trim_end_matches(']')),
                    ),
                    None => (rest, None),
                };
                let port = if port.is_empty() {
                    Ok(DEFAULT_PORT)
                } else {
                    port.parse()
                };
                let Ok(port) = port else {
                    return refuse(
                        "has no port from 0 to 65535; write ptcp:PORT or ptcp:PORT:ADDRESS",
                    );
                };
                match address.map(str::parse).transpose() {
                    Ok(address) => Ok(Passive::Tcp { port, address }),
                    Err(_) => refuse("has no IP address after the port; write ptcp:PORT:ADDRESS"),
                }
            }
            Some(("pssl", _)) => {
                refuse("asks for TLS, which is not supported yet; use punix:PATH or ptcp:PORT")
            }
            _ => refuse("is no listener; write punix:PATH or ptcp:PORT[:ADDRESS]"),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Unix(path) => write!(f, "unix:{}", path.display()),
            Remote::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Remote::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl fmt::Display for Passive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Passive::Unix(path) => write!(f, "punix:{}", path.display()),
            Passive::Tcp {
                port,
                address: None,
            } => write!(f, "ptcp:{port}"),
            Passive::Tcp {
                port,
                address: Some(IpAddr::V4(address)),
            } => write!(f, "ptcp:{port}:{address}"),
            Passive::Tcp {
                port,
                address: Some(IpAddr::V6(address)),
            } => write!(f, "ptcp:{port}:[{address}]"),
        }
    }
}

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
            "tcp:[fd00::1",
            "ssl:h:1",
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
            "pssl:1",
            "unix:/x",
        ] {
            text.parse::<Passive>().expect_err(text);
        }
    }
}
