use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::BucketError;

/// Most bytes of a file with credentials.
const MOST: u64 = 64 << 10;

/// What requests are signed with. `Debug` prints the secrets as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .field("secret", &"***")
            .field("token", &token)
            .finish()
    }
}

impl Credentials {
    /// Reads `file`, in the form in which Amazon's tools keep it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, can be read by everybody, or holds no pair of keys. What is in it is never repeated.
    pub(crate) fn read(file: &Path) -> Result<Self, BucketError> {
        let path = place_of(file, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let found = path.and_then(|path| read(&path));
        found.map_err(|source| BucketError::Credentials {
            file: file.to_owned(),
            source,
        })
    }
}

/// A path as it is; a name alone in the folder in which systemd gives a unit its credentials.
fn place_of(file: &Path, folder: Option<PathBuf>) -> io::Result<PathBuf> {
    if file.is_absolute() {
        return Ok(file.to_owned());
    }
    let folder = folder.ok_or_else(|| {
        io::Error::other(
            "a name without a path is one of systemd's credentials, and this process was given none: \
             name it in LoadCredential= of the unit, or give an absolute path",
        )
    })?;
    Ok(folder.join(file))
}

fn read(path: &Path) -> io::Result<Credentials> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o007 != 0 {
        let why = format!("everybody can use it (mode {:04o}): chmod 600 it", mode & 0o7777);
        return Err(io::Error::other(why));
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    parse(&text).map_err(io::Error::other)
}

fn parse(text: &str) -> Result<Credentials, &'static str> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            (key.trim() == name && !value.is_empty()).then(|| value.to_owned())
        })
    };
    if text
        .lines()
        .filter(|line| line.trim_start().starts_with('['))
        .count()
        > 1
    {
        return Err("it has several profiles: keep the one that is meant");
    }
    let (id, secret) = (value("aws_access_key_id"), value("aws_secret_access_key"));
    Ok(Credentials {
        id: id.ok_or("it has no line `aws_access_key_id = …`")?,
        secret: secret.ok_or("it has no line `aws_secret_access_key = …`")?,
        token: value("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_of_amazons_tools_is_read() {
        let text = "# mine\n[default]\naws_access_key_id=AKID\naws_secret_access_key = s/e=c+r\naws_session_token = t\n";
        let read = parse(text).unwrap();
        assert_eq!((read.id.as_str(), read.secret.as_str()), ("AKID", "s/e=c+r"));
        assert_eq!(read.token.as_deref(), Some("t"));
        assert!(!format!("{read:?}").contains("s/e=c+r"));
    }

    #[test]
    fn what_is_wrong_with_it_is_said_without_what_is_in_it() {
        for (text, why) in [
            ("", "no line `aws_access_key_id"),
            (
                "aws_access_key_id = A\naws_secret_access_key =",
                "no line `aws_secret_access_key",
            ),
            ("[one]\n[two]\n", "several profiles"),
        ] {
            assert!(parse(text).unwrap_err().contains(why));
        }
    }

    #[test]
    fn a_file_that_everybody_reads_is_refused_and_a_name_alone_is_systemds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s3");
        std::fs::write(&file, "aws_access_key_id = A\naws_secret_access_key = B\n").unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&file).is_ok(), good, "{mode:o}");
        }
        let place = place_of(Path::new("s3"), Some(folder.path().to_owned())).unwrap();
        assert_eq!(place, file);
        let refused = place_of(Path::new("s3"), None).unwrap_err();
        assert!(refused.to_string().contains("LoadCredential="));
    }
}
