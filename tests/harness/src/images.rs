//! Images for tests, made from Debian's packages by umoci: another tool than ours writes what ours reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::succeed;

/// The reference under which tests ask for busybox.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// Makes an OCI layout of a busybox image in `folder` and returns its path.
///
/// # Errors
///
/// When umoci or busybox-static is not installed, or the file system refuses.
pub fn busybox_archive(folder: &Path) -> Result<PathBuf> {
    let (layout, root) = (folder.join("busybox"), folder.join("root"));
    fill(&root)?;
    let image = format!("{}:busybox", layout.display());
    succeed(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
    succeed(Command::new("umoci").args(["new", "--image", &image]))?;
    succeed(
        Command::new("umoci")
            .args(["insert", "--image", &image])
            .arg(&root)
            .arg("/"),
    )?;
    succeed(Command::new("umoci").args(["config", "--image", &image, "--config.cmd", "/bin/sh"]))?;
    rename(&layout)?;
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
fn rename(layout: &Path) -> Result<()> {
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let name = index.pointer_mut("/manifests/0/annotations/org.opencontainers.image.ref.name");
    *name.context("umoci wrote no name into the index")? = BUSYBOX.into();
    Ok(std::fs::write(&path, serde_json::to_vec(&index)?)?)
}
