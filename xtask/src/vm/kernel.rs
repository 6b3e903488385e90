//! The distribution's kernel: fetched with apt, unpacked, not installed.
//!
//! ```text
//! target/vm/PACKAGE_VERSION/boot/vmlinuz-RELEASE, lib/modules/RELEASE
//! ```
//!
//! The folder's name is the package and its version: a newer kernel is a new folder, and the same one is fetched once.
//!
//! Must not: touch this machine's own kernel, or leave half a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// An unpacked kernel.
#[derive(Debug)]
pub struct Kernel {
    /// As `uname -r` says it.
    pub release: String,
    /// What boots.
    pub image: PathBuf,
    /// Its modules, indexed by depmod.
    pub modules: PathBuf,
}

impl Kernel {
    /// Files of these modules and of those they need, in an order in which they can be loaded. What is built in has no
    /// file.
    pub fn files_of(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let read = |file: &str| {
            let path = self.modules.join(file);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let index = Index::parse(&read("modules.dep")?, &read("modules.builtin")?);
        let files = index.closure(names)?;
        Ok(files.iter().map(|file| self.modules.join(file)).collect())
    }
}

/// The newest kernel that apt knows, from the cache below `folder` or fetched into it.
pub fn fetch(root: &Path, folder: &Path) -> Result<Kernel> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the virtual machine is made for x86_64 only; on this machine run make e2e, which uses the kernel datapath where the kernel has openvswitch"
    );
    let (package, version) = match candidate() {
        Ok(found) => found,
        // Package lists may be missing, as in most container images.
        Err(_) => refresh_lists(root).and_then(|()| candidate())?,
    };
    let unpacked = folder.join(format!("{package}_{}", version.replace(':', "%3a")));
    if !unpacked.is_dir() {
        println!("-- fetching {package} {version}");
        let partial = folder.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
        }
        fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
        // Outdated lists name a version that is no longer there.
        if download(&package, &partial).is_err() {
            refresh_lists(root)?;
            let (package, _) = candidate()?;
            download(&package, &partial)?;
        }
        unpack(&partial)?;
        fs::rename(partial.join("root"), &unpacked)?;
        fs::remove_dir_all(&partial)?;
    }
    find(&unpacked)
}

/// Package and version of the kernel that the distribution's own meta-package asks for.
fn candidate() -> Result<(String, String)> {
    let shown =
        output(Command::new("apt-cache").args(["show", "--no-all-versions", META_PACKAGE]))?;
    let package = dependency(&shown).with_context(|| {
        format!("package {META_PACKAGE} names no kernel among what it depends on")
    })?;
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", &package]))?;
    let version =
        field(&shown, "Version").with_context(|| format!("package {package} has no version"))?;
    Ok((package, version.to_owned()))
}

fn dependency(shown: &str) -> Option<String> {
    let all = field(shown, "Depends")?;
    let names = all
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next());
    let mut kernels = names.filter(|name| name.starts_with("linux-image-"));
    kernels.next().map(str::to_owned)
}

fn field<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = shown.lines().filter_map(|line| line.split_once(": "));
    fields.find_map(|(found, value)| (found == name).then_some(value.trim()))
}

fn refresh_lists(root: &Path) -> Result<()> {
    println!("-- refreshing apt's package lists");
    output(Command::new(root.join("xtask/as-root.sh")).args(["apt-get", "-q", "update"])).map(drop)
}

fn download(package: &str, into: &Path) -> Result<()> {
    output(
        Command::new("apt-get")
            .args(["-q", "download", package])
            .current_dir(into),
    )
    .map(drop)
}

/// Unpacks the one package in a folder into its `root`.
fn unpack(folder: &Path) -> Result<()> {
    let mut files = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = files.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package
        .with_context(|| format!("apt-get download left no package in {}", folder.display()))?;
    let root = folder.join("root");
    output(
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&package, &root]),
    )?;
    let release = release(&root)?;
    output(
        Command::new("depmod")
            .arg("--basedir")
            .args([root.as_path(), Path::new(&release)]),
    )
    .map(drop)
}

fn find(root: &Path) -> Result<Kernel> {
    let release = release(root)?;
    Ok(Kernel {
        image: root.join(format!("boot/vmlinuz-{release}")),
        modules: root.join("lib/modules").join(&release),
        release,
    })
}

fn release(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let mut entries = fs::read_dir(&modules).with_context(|| modules.display().to_string())?;
    let entry = entries
        .next()
        .with_context(|| format!("{} is empty", modules.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| {
        format!(
            "could not start {shown}; the machine's kernel comes from Debian's or Ubuntu's packages"
        )
    })?;
    if !output.status.success() {
        bail!(
            "{shown} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Which modules there are and what they need: `modules.dep(5)`.
struct Index {
    /// By name: the file, and the files it needs, the last of which is to be loaded first.
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Index {
    fn parse(dependencies: &str, builtin: &str) -> Index {
        let modules = dependencies.lines().filter_map(|line| {
            let (file, needs) = line.split_once(':')?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            Some((name_of(file), (file.to_owned(), needs)))
        });
        Index {
            modules: modules.collect(),
            builtin: builtin.lines().map(name_of).collect(),
        }
    }

    fn closure(&self, names: &[&str]) -> Result<Vec<String>> {
        let mut files: Vec<String> = Vec::new();
        for &name in names {
            if self.builtin.contains(name) {
                continue;
            }
            let (file, needs) = self
                .modules
                .get(name)
                .with_context(|| format!("the kernel has no module {name}"))?;
            for file in needs.iter().rev().chain([file]) {
                if !files.contains(file) {
                    files.push(file.clone());
                }
            }
        }
        Ok(files)
    }
}

/// `kernel/fs/9p/9p.ko.xz` is `9p`; dashes and underscores are the same.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

const META_PACKAGE: &str = "linux-image-amd64";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_one_that_the_meta_package_depends_on() {
        let shown = "Package: linux-image-amd64\nDepends: initramfs-tools | dracut, linux-image-6.1.0-1-amd64 (= 6.1.2-1)\nVersion: 6.1.2-1\n";
        assert_eq!(
            dependency(shown).as_deref(),
            Some("linux-image-6.1.0-1-amd64")
        );
        assert_eq!(field(shown, "Version"), Some("6.1.2-1"));
        assert_eq!(dependency("Package: linux-image-amd64\n"), None);
    }

    #[test]
    fn modules_are_loaded_after_those_they_need_and_each_once() {
        let index = Index::parse(
            "kernel/a.ko:\nkernel/b.ko: kernel/a.ko\nkernel/net/c-d.ko.xz: kernel/b.ko kernel/a.ko\n",
            "kernel/e.ko\n",
        );
        let closure = index.closure(&["c_d", "b", "e"]).expect("all are known");
        assert_eq!(
            closure,
            ["kernel/a.ko", "kernel/b.ko", "kernel/net/c-d.ko.xz"]
        );
        let error = index.closure(&["f"]).expect_err("is unknown").to_string();
        assert!(error.contains("no module f"), "{error}");
    }
}
