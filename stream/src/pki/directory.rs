//! A directory with both CAs and everything they signed, for use without Kubernetes.
//!
//! ```text
//! DIR/controllers-ca.pem, .key                     DIR/nodes-ca.pem, .key
//! DIR/controllers/NAME/key.pem, cert.pem           DIR/nodes/NAME/key-1.pem, cert-1.pem
//!     and nodes-ca.pem, controllers-ca.pem             and controllers-ca.pem
//! ```
//!
//! What a machine needs is in one folder, the CA that it believes included. A node's files are numbered: Open vSwitch does
//! not read files again under the name it has, so a new certificate needs a new one. weft does; a controller's stay where
//! they are.
//!
//! Invariants: key files are for their owner alone (0600) from their first moment; nothing that is there is overwritten,
//! but a controller's pair when that is asked for.
//!
//! Must not: sign with a CA for the other side.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Authority, Issued, Period, PkiError, Secret, Subject};
use crate::tls::{PeerName, TlsFiles};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

/// What to do where there is a certificate already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and that is an error.
    Refuse,
    /// There is to be a newer one.
    Renew,
}

/// What was made for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The files that it uses; the CA is the one on the other side.
    pub files: TlsFiles,
    /// Until when the certificate is good, for people.
    pub until: String,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file or folder.
    #[error("{}: {source}; {advice}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// It would be overwritten.
    #[error("{} is there already, and nothing is overwritten; {advice}", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// A CA or certificate.
    #[error("{}: {source}", path.display())]
    Pki {
        /// The file that it is about.
        path: PathBuf,
        /// Why.
        #[source]
        source: PkiError,
    },
}

impl Directory {
    /// Makes both CAs in a directory, and the directory if there is none.
    ///
    /// # Errors
    /// When a CA is there already, or a file cannot be written.
    pub fn init(root: &Path, period: Period) -> Result<Directory, DirectoryError> {
        let directory = Directory::open(root);
        for side in [Side::Controllers, Side::Nodes] {
            for path in [directory.certificate(side), directory.key(side)] {
                if path.exists() {
                    let advice = "use the CAs that are there, or give another directory";
                    return Err(DirectoryError::Exists { path, advice });
                }
            }
        }
        make_folder(root)?;
        for side in [Side::Controllers, Side::Nodes] {
            let path = directory.certificate(side);
            let made = Authority::create(side.authority_name(), period);
            let (_, issued) = made.map_err(|source| pki(&path, source))?;
            write_key(&directory.key(side), &issued.private_key)?;
            write_new(&path, &issued.certificate, PUBLIC)?;
        }
        Ok(directory)
    }

    /// A directory that [`Directory::init`] made.
    #[must_use]
    pub fn open(root: &Path) -> Directory {
        let root = root.to_owned();
        Directory { root }
    }

    /// A certificate for a node, under a name that was not used before.
    ///
    /// # Errors
    /// When there is one and no other is asked for, or there are no CAs.
    pub fn node(
        &self,
        name: &PeerName,
        period: Period,
        existing: Existing,
    ) -> Result<Made, DirectoryError> {
        let folder = self.root.join("nodes").join(name.to_string());
        let pair = |number: u32| {
            (
                folder.join(format!("key-{number}.pem")),
                folder.join(format!("cert-{number}.pem")),
            )
        };
        let free = (1..u32::MAX).find(|number| {
            let (key, certificate) = pair(*number);
            !key.exists() && !certificate.exists()
        });
        let number = free.unwrap_or(u32::MAX);
        if number > 1 && existing == Existing::Refuse {
            return Err(DirectoryError::Exists {
                path: folder,
                advice: RENEW,
            });
        }
        let issued = self.issue(Side::Nodes, &Subject::Node(name.clone()), period)?;
        make_folder(&folder)?;
        let ca_certificate = self.copy_authority(Side::Controllers, &folder)?;
        let (private_key, certificate) = pair(number);
        write_key(&private_key, &issued.private_key)?;
        write_new(&certificate, &issued.certificate, PUBLIC)?;
        Ok(Made {
            files: TlsFiles {
                private_key,
                certificate,
                ca_certificate,
            },
            until: issued.until,
        })
    }

    /// A certificate for a controller, or a client of the northbound database. Beside it are the nodes' CA, in what is
    /// returned, and the controllers'.
    ///
    /// # Errors
    /// When there is one and no other is asked for, or there are no CAs.
    pub fn controller(
        &self,
        name: &PeerName,
        period: Period,
        existing: Existing,
    ) -> Result<Made, DirectoryError> {
        let folder = self.root.join("controllers").join(name.to_string());
        let (private_key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
        if private_key.exists() && existing == Existing::Refuse {
            return Err(DirectoryError::Exists {
                path: folder,
                advice: RENEW,
            });
        }
        let subject = Subject::Controller(name.to_string());
        let issued = self.issue(Side::Controllers, &subject, period)?;
        make_folder(&folder)?;
        let ca_certificate = self.copy_authority(Side::Nodes, &folder)?;
        self.copy_authority(Side::Controllers, &folder)?;
        // Each in one step. Between the two they do not fit together, and who reads them then goes on with the old pair.
        let (new_key, new_certificate) = (folder.join("key.new"), folder.join("cert.new"));
        for left_over in [&new_key, &new_certificate] {
            // There is one where a run was interrupted.
            let _ = fs::remove_file(left_over);
        }
        write_key(&new_key, &issued.private_key)?;
        write_new(&new_certificate, &issued.certificate, PUBLIC)?;
        for (from, to) in [(&new_key, &private_key), (&new_certificate, &certificate)] {
            fs::rename(from, to).map_err(|source| file(to, source))?;
        }
        Ok(Made {
            files: TlsFiles {
                private_key,
                certificate,
                ca_certificate,
            },
            until: issued.until,
        })
    }

    /// The certificate of the CA that signs for controllers: what nodes believe, and clients of the northbound database.
    #[must_use]
    pub fn controllers_ca(&self) -> PathBuf {
        self.certificate(Side::Controllers)
    }

    /// The certificate of the CA that signs for nodes: what controllers believe.
    #[must_use]
    pub fn nodes_ca(&self) -> PathBuf {
        self.certificate(Side::Nodes)
    }

    fn issue(
        &self,
        side: Side,
        subject: &Subject,
        period: Period,
    ) -> Result<Issued, DirectoryError> {
        let (path, key) = (self.certificate(side), self.key(side));
        let authority = Authority::load(&read(&path)?, &Secret::new(read(&key)?));
        authority
            .and_then(|authority| authority.issue(subject, period))
            .map_err(|source| pki(&path, source))
    }

    /// Puts a CA's certificate beside the files of a machine. It may be another than at the last time.
    fn copy_authority(&self, side: Side, folder: &Path) -> Result<PathBuf, DirectoryError> {
        let (from, to) = (self.certificate(side), folder.join(side.file_name()));
        let text = read(&from)?;
        if fs::read_to_string(&to).is_ok_and(|known| known == text) {
            return Ok(to);
        }
        fs::write(&to, text).map_err(|source| file(&to, source))?;
        Ok(to)
    }

    fn certificate(&self, side: Side) -> PathBuf {
        self.root.join(side.file_name())
    }

    fn key(&self, side: Side) -> PathBuf {
        self.certificate(side).with_extension("key")
    }
}

/// Whose certificates a CA signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Controllers,
    Nodes,
}

impl Side {
    fn authority_name(self) -> &'static str {
        match self {
            Side::Controllers => "weft controllers' CA",
            Side::Nodes => "weft nodes' CA",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Side::Controllers => "controllers-ca.pem",
            Side::Nodes => "nodes-ca.pem",
        }
    }
}

fn make_folder(path: &Path) -> Result<(), DirectoryError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(|source| file(path, source))
}

fn write_key(path: &Path, key: &Secret) -> Result<(), DirectoryError> {
    write_new(path, key.reveal(), PRIVATE)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), DirectoryError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|source| file(path, source))
}

fn read(path: &Path) -> Result<String, DirectoryError> {
    fs::read_to_string(path).map_err(|source| DirectoryError::File {
        path: path.to_owned(),
        source,
        advice: "give a directory that weft pki init made, and that you may read",
    })
}

fn file(path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::File {
        path: path.to_owned(),
        source,
        advice: "give a directory that can be written to",
    }
}

fn pki(path: &Path, source: PkiError) -> DirectoryError {
    DirectoryError::Pki {
        path: path.to_owned(),
        source,
    }
}

const RENEW: &str = "give --renew for a newer certificate";
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
