//! Images for tests, made from Debian's packages by umoci: another tool than ours writes what ours reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use controlplane_machine::RootSpec;
use serde_json::Value;

use crate::command::succeed;

/// The reference under which tests ask for busybox.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// Busybox with the entry point `/bin/echo entry` and the command `image words`.
const ECHO: &str = "localhost/echo:1";

/// Makes an OCI layout of a busybox image in `folder` and returns its path.
///
/// # Errors
///
/// When umoci or busybox-static is not installed, or the file system refuses.
pub fn busybox_archive(folder: &Path) -> Result<PathBuf> {
    busybox_image(folder, "busybox", BUSYBOX, &["--config.cmd", "/bin/sh"])
}

/// Makes an OCI layout of [`ECHO`] in `folder` and returns its path.
///
/// # Errors
///
/// When umoci or busybox-static is not installed, or the file system refuses.
pub fn echo_archive(folder: &Path) -> Result<PathBuf> {
    let config = [
        ["--config.entrypoint", "/bin/echo"],
        ["--config.entrypoint", "entry"],
        ["--config.cmd", "image"],
        ["--config.cmd", "words"],
    ];
    busybox_image(folder, "echo", ECHO, config.as_flattened())
}

/// An image of busybox, with the options `config` of `umoci config`.
fn busybox_image(folder: &Path, name: &str, reference: &str, config: &[&str]) -> Result<PathBuf> {
    let (layout, root) = (folder.join(name), folder.join(format!("{name}-root")));
    fill(&root)?;
    let image = format!("{}:{name}", layout.display());
    succeed(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
    succeed(Command::new("umoci").args(["new", "--image", &image]))?;
    succeed(
        Command::new("umoci")
            .args(["insert", "--image", &image])
            .arg(&root)
            .arg("/"),
    )?;
    succeed(
        Command::new("umoci")
            .args(["config", "--image", &image])
            .args(config),
    )?;
    rename(&layout, reference)?;
    Ok(layout)
}

/// Makes an OCI layout of Debian's `packages` with the name `reference` in `folder` and returns its path.
///
/// # Errors
///
/// When mmdebstrap or umoci fails.
pub fn debian_image(folder: &Path, reference: &str, packages: &'static [&'static str]) -> Result<PathBuf> {
    let spec = RootSpec {
        suite: "bookworm",
        variant: "extract",
        packages,
    };
    let root = spec
        .ensure(Path::new("/var/cache/floe"))
        .context("unpack Debian's packages")?;
    let name: String = reference.chars().filter(char::is_ascii_alphanumeric).collect();
    let layout = folder.join(&name);
    let image = format!("{}:image", layout.display());
    succeed(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
    succeed(Command::new("umoci").args(["new", "--image", &image]))?;
    succeed(
        Command::new("umoci")
            .args(["insert", "--image", &image])
            .arg(&root.path)
            .arg("/"),
    )?;
    rename(&layout, reference)?;
    Ok(layout)
}

/// A root with busybox under all its names, and the accounts that tests run as.
fn fill(root: &Path) -> Result<()> {
    for path in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
        let path = root.join(path);
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).context("copy /bin/busybox (busybox-static)")?;
    let names = succeed(Command::new("/bin/busybox").arg("--list"))?;
    for name in names.split_whitespace().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    std::fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    std::fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

/// umoci knows tags alone; the archive's name becomes a whole reference.
fn rename(layout: &Path, reference: &str) -> Result<()> {
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let name = index.pointer_mut("/manifests/0/annotations/org.opencontainers.image.ref.name");
    *name.context("umoci wrote no name into the index")? = reference.into();
    Ok(std::fs::write(&path, serde_json::to_vec(&index)?)?)
}
