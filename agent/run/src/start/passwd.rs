//! Names of users and groups, looked up in the image's own files.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::StartError;
use crate::launch::UserSpec;

/// Longest `/etc/passwd` or `/etc/group` read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// Finds the ids in the files of the root file system, never outside it.
pub(super) fn resolve(rootfs: &Path, spec: &UserSpec) -> Result<Ids, StartError> {
    let root = open_root(rootfs)?;
    let (passwd, group) = (
        read_in_root(&root, "etc/passwd"),
        read_in_root(&root, "etc/group"),
    );
    lookup(spec, &passwd, &group)
}

pub(super) fn open_root(rootfs: &Path) -> Result<OwnedFd, StartError> {
    openat(
        CWD,
        rootfs,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(StartError::io("open", rootfs))
}

/// Opens `path` as the container would see it.
pub(super) fn open_in_root(root: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Text of a file of the image; empty where it has none.
fn read_in_root(root: &OwnedFd, path: &str) -> String {
    // A FIFO in its place must not block.
    let Ok(fd) = open_in_root(root, path, OFlags::RDONLY | OFlags::NONBLOCK) else {
        return String::new();
    };
    let mut bytes = Vec::new();
    // What cannot be read is as good as absent: a name is then reported as unknown.
    drop(File::from(fd).take(MAX_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lookup(spec: &UserSpec, passwd: &str, group: &str) -> Result<Ids, StartError> {
    let (image_user, image_group) = match spec.image_user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (spec.image_user.as_str(), None),
    };
    let wanted = spec
        .uid
        .map_or_else(|| image_user.to_owned(), |uid| uid.to_string());
    let user = user(&wanted, passwd)?;
    // The image's group belongs to the image's user alone.
    let image_group = image_group.filter(|_| spec.uid.is_none());
    let gid = match (spec.gid, image_group) {
        (Some(gid), _) => gid,
        (None, Some(name)) => group_id(name, group)?,
        (None, None) => user.gid,
    };
    let mut groups = spec.extra_groups.clone();
    if spec.merge_image_groups && !user.name.is_empty() {
        groups.extend(groups_of(user.name, group));
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(Ids {
        uid: user.uid,
        gid,
        groups,
    })
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

fn user<'a>(wanted: &str, passwd: &'a str) -> Result<User<'a>, StartError> {
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let entries = || passwd.lines().filter_map(passwd_line);
    let number = wanted.parse().ok();
    let found = entries()
        .find(|u| u.name == wanted)
        .or_else(|| entries().find(|u| Some(u.uid) == number));
    match (found, number) {
        (Some(user), _) => Ok(user),
        (None, Some(uid)) => Ok(User {
            name: "",
            uid,
            gid: 0,
        }),
        (None, None) => Err(StartError::NoUser(wanted.to_owned())),
    }
}

fn passwd_line(line: &str) -> Option<User<'_>> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    Some(User {
        name,
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

fn group_id(wanted: &str, group: &str) -> Result<u32, StartError> {
    group
        .lines()
        .filter_map(group_line)
        .find(|(name, ..)| *name == wanted)
        .map(|(_, gid, _)| gid)
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| StartError::NoGroup(wanted.to_owned()))
}

fn groups_of<'a>(user: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    let member = move |members: &str| members.split(',').any(|m| m.trim() == user);
    group
        .lines()
        .filter_map(group_line)
        .filter(move |(.., members)| member(members))
        .map(|(_, gid, _)| gid)
}

fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    Some((
        name,
        fields.next()?.parse().ok()?,
        fields.next().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:102::/:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nnginx:x:102:\nweb:x:50:alice,nginx\n";

    fn ids(spec: &UserSpec) -> (u32, u32, Vec<u32>) {
        let ids = lookup(spec, PASSWD, GROUP).unwrap();
        (ids.uid, ids.gid, ids.groups)
    }

    fn image(user: &str) -> UserSpec {
        UserSpec {
            image_user: user.into(),
            merge_image_groups: true,
            ..UserSpec::default()
        }
    }

    #[test]
    fn names_and_numbers_of_the_image_are_found() {
        assert_eq!(ids(&image("")), (0, 0, vec![]));
        assert_eq!(ids(&image("nginx")), (101, 102, vec![50]));
        assert_eq!(ids(&image("101")), (101, 102, vec![50]));
        assert_eq!(ids(&image("nginx:web")), (101, 50, vec![50]));
        assert_eq!(ids(&image("1234:7")), (1234, 7, vec![]));
    }

    #[test]
    fn the_pod_wins_over_the_image() {
        let spec = UserSpec {
            uid: Some(1000),
            gid: Some(3000),
            extra_groups: vec![9, 4, 9],
            ..image("nginx:web")
        };
        assert_eq!(ids(&spec), (1000, 3000, vec![4, 9]));
        assert_eq!(ids(&UserSpec { gid: None, ..spec }), (1000, 0, vec![4, 9]));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_where_it_was_looked_for() {
        let error = lookup(&image("ghost"), PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error.to_string(),
            "user \"ghost\" is not in the image's /etc/passwd"
        );
        assert!(matches!(
            lookup(&image("0:ghost"), PASSWD, GROUP),
            Err(StartError::NoGroup(_))
        ));
    }

    #[test]
    fn a_link_out_of_the_image_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/passwd")).unwrap();
        assert!(matches!(
            resolve(root.path(), &image("daemon")),
            Err(StartError::NoUser(_))
        ));
    }
}
