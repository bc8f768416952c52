//! Backups that lie in a bucket.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use controlplane_bucket::{Bucket, Settings};

/// How a bucket is reached.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// With s3://: the server's URL; Amazon's where absent.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// With s3://: the bucket's region.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// With s3://: a file as ~/.aws/credentials, mode 0600; the machine's role where absent.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// With s3://: a certificate by which the server's is signed.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Options {
    fn is_empty(&self) -> bool {
        let Self {
            endpoint,
            region,
            credentials_file,
            ca_file,
        } = self;
        endpoint.is_none() && region.is_none() && credentials_file.is_none() && ca_file.is_none()
    }
}

/// An object of a bucket, or the newest backup under a prefix.
#[derive(Debug)]
pub(super) struct Place {
    settings: Settings,
    name: Option<String>,
}

impl Place {
    /// The place that `text` names; none where it is a file's name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a URL, or that options are given which a file has no use for.
    pub(super) fn parse(text: &Path, options: &Options) -> anyhow::Result<Option<Self>> {
        let Some(rest) = text.to_str().and_then(|text| text.strip_prefix("s3://")) else {
            ensure!(
                options.is_empty(),
                "--endpoint, --region, --credentials-file and --ca-file go with s3://BUCKET/NAME, not with a file"
            );
            return Ok(None);
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (prefix, name) = match key.rsplit_once('/') {
            Some((folder, name)) => (format!("{folder}/"), name),
            None => (String::new(), key),
        };
        let usual = Settings::of(bucket);
        let absolute =
            |file: &PathBuf| std::path::absolute(file).with_context(|| format!("find {}", file.display()));
        let settings = Settings {
            prefix,
            region: options.region.clone().unwrap_or_else(|| usual.region.clone()),
            endpoint: options.endpoint.clone(),
            credentials_file: options.credentials_file.as_ref().map(absolute).transpose()?,
            ca_file: options.ca_file.as_ref().map(absolute).transpose()?,
            ..usual
        };
        settings
            .check()
            .with_context(|| format!("use {}", text.display()))?;
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Some(Self { settings, name }))
    }

    /// Downloads it into `file`.
    ///
    /// # Errors
    ///
    /// What the server or the way to it refused, or that there is no backup.
    pub(super) async fn fetch(&self, file: &mut File) -> anyhow::Result<()> {
        let bucket = Bucket::open(&self.settings)?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => newest(&bucket).await?,
        };
        bucket.get(&name, file).await?;
        Ok(())
    }
}

/// Backups by schedule are named by their time, so that the last is the newest.
async fn newest(bucket: &Bucket) -> anyhow::Result<String> {
    let all = bucket.list().await?.into_iter().map(|object| object.name);
    let mut backups = all.filter(|name| name.starts_with("floe-") && name.ends_with(".db"));
    backups
        .next_back()
        .with_context(|| format!("no backup lies in {}", bucket.url("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Place {
        Place::parse(Path::new(text), &Options::default())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_url_names_an_object_or_the_newest_of_a_folder() {
        for (text, prefix, name) in [
            ("s3://floe/one.db", "", Some("one.db")),
            ("s3://floe/a/b/one.db", "a/b/", Some("one.db")),
            ("s3://floe/a/b/", "a/b/", None),
            ("s3://floe", "", None),
        ] {
            let place = parsed(text);
            assert_eq!(place.settings.bucket, "floe");
            assert_eq!(
                (place.settings.prefix.as_str(), place.name.as_deref()),
                (prefix, name),
                "{text}"
            );
        }
        assert!(
            Place::parse(Path::new("backup.db"), &Options::default())
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let options = Options {
            region: Some("here".to_owned()),
            ..Options::default()
        };
        let refused = Place::parse(Path::new("backup.db"), &options).unwrap_err();
        assert!(refused.to_string().contains("go with s3://BUCKET/NAME"));
        let refused = Place::parse(Path::new("s3://B/x"), &options).unwrap_err();
        assert!(format!("{refused:#}").contains("must be the name of a bucket"));
    }
}
