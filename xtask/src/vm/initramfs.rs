//! The guest's first files: `/init`, which is this very program, the libraries that it has loaded, the modules with
//! which it reaches this machine's files, and its job.
//!
//! Source: `Documentation/driver-api/early-userspace/buffer-format.rst` (the "newc" kind of cpio archive).
//!
//! Must not: need root: an archive only says who owns a file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{
    guest::{self, Job},
    kernel::Kernel,
};

/// The archive.
pub fn build(kernel: &Kernel, job: &Job) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file("init", PROGRAM, &read(&std::env::current_exe()?)?)?;
    for library in loaded_libraries()? {
        let content = read(&library)?;
        archive.file(relative(&library), PROGRAM, &content)?;
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        // Programs name the loader by its standard path, which a distribution links to the file.
        if name.starts_with("ld-") {
            archive.file(&format!("lib64/{name}"), PROGRAM, &content)?;
        }
    }
    let modules = kernel.files_of(guest::MODULES)?;
    for (number, module) in modules.iter().enumerate() {
        archive.file(
            &format!("{}/{number:03}", &guest::MODULES_FOLDER[1..]),
            FILE,
            &decompressed(module)?,
        )?;
    }
    archive.file(&guest::JOB[1..], FILE, &job.to_bytes()?)?;
    for mount in guest::MOUNTS {
        archive.folder(&mount[1..])?;
    }
    archive.end()
}

/// Files with code that this process has mapped, other than its own.
fn loaded_libraries() -> Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps").context("/proc/self/maps")?;
    let own = std::env::current_exe()?;
    Ok(libraries_in(&maps).filter(|path| *path != own).collect())
}

/// proc(5): address, permissions, offset, device, inode, path.
fn libraries_in(maps: &str) -> impl Iterator<Item = PathBuf> {
    maps.lines().filter_map(|line| {
        let permissions = line.split_whitespace().nth(1)?;
        let path = &line[line.find('/')?..];
        permissions.contains('x').then(|| PathBuf::from(path))
    })
}

fn decompressed(module: &Path) -> Result<Vec<u8>> {
    let extension = module.extension().unwrap_or_default();
    let program = match extension.to_str() {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return read(module),
    };
    let output = Command::new(program).arg("-dc").arg(module).output();
    let output = output.with_context(|| {
        format!(
            "{} is to be unpacked with {program}: install it",
            module.display()
        )
    })?;
    if !output.status.success() {
        bail!(
            "{program} -dc {}: {}",
            module.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn relative(path: &Path) -> &str {
    path.to_str().unwrap_or_default().trim_start_matches('/')
}

/// An archive in the making.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Archive {
    /// Adds a file, and the folders it is in.
    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.entry(path, mode, content)
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent)?;
        }
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER, &[])?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).with_context(|| {
            format!(
                "{path} has {} bytes, too many for an initramfs",
                content.len()
            )
        })?;
        let name_size = u32::try_from(path.len() + 1)?;
        let (owner, group, links, time) = (0, 0, 1, 0);
        let (device, special, checksum) = ([0, 0], [0, 0], 0);
        self.bytes.extend(b"070701");
        for number in [
            self.inode, mode, owner, group, links, time, size, device[0], device[1], special[0],
            special[1], name_size, checksum,
        ] {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(path.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn end(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_cpio_unpacks() {
        let mut archive = Archive::default();
        archive.file("a/b/c", PROGRAM, b"three").expect("fits");
        archive.file("a/b/d", FILE, b"").expect("fits");
        let bytes = archive.end().expect("fits");
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).expect("is text");
        let headers: Vec<&str> = text
            .match_indices("070701")
            .map(|(at, _)| &text[at..at + 110])
            .collect();
        // cpio --format=newc: mode, size and name size are the second, seventh and twelfth number.
        let numbers = |header: &str| {
            [2, 7, 12].map(|at| {
                u32::from_str_radix(&header[6 + (at - 1) * 8..6 + at * 8], 16).expect("hexadecimal")
            })
        };
        let expected = [
            [FOLDER, 0, 2],
            [FOLDER, 0, 4],
            [PROGRAM, 5, 6],
            [FILE, 0, 6],
            [0, 0, 11],
        ];
        assert_eq!(
            headers.into_iter().map(numbers).collect::<Vec<_>>(),
            expected
        );
        let expected = ["a/b/c", "three", "", "", "070701"].join("\0");
        assert!(text.contains(&expected), "{text:?}");
    }

    #[test]
    fn libraries_are_files_mapped_with_code() {
        let maps = "\
7f00-7f01 r--p 00000000 08:01 1 /usr/lib/libc.so.6
7f01-7f02 r-xp 00000000 08:01 1 /usr/lib/libc.so.6
7f02-7f03 r-xp 00000000 00:00 0 [vdso]
7f03-7f04 rw-p 00000000 00:00 0
7f04-7f05 r--p 00000000 08:01 2 /usr/share/locale/C";
        let found: Vec<_> = libraries_in(maps).collect();
        assert_eq!(found, [PathBuf::from("/usr/lib/libc.so.6")]);
    }
}
