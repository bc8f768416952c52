//! What the generators of this crate have in common: where a table goes, and whether it is current.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

/// Where a generator's table goes.
#[derive(Debug, Args)]
pub struct Output {
    /// The table to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write nothing; fail when the table is not what the input makes.
    #[arg(long)]
    check: bool,
}

impl Output {
    /// Writes `table`, or, where only a check was asked for, compares it with what is there.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or written, or is stale.
    pub fn settle(&self, table: &str) -> Result<()> {
        let out = self.out.display();
        if !self.check {
            return fs::write(&self.out, table).with_context(|| format!("write {out}"));
        }
        let current = fs::read_to_string(&self.out).with_context(|| format!("read {out}"))?;
        ensure!(
            current == table,
            "{out} is stale: run this without --check and commit the result"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_writes_nothing_and_tells_a_stale_table() {
        let out = std::env::temp_dir().join(format!("floe-table-{}", std::process::id()));
        let output = |check| Output {
            out: out.clone(),
            check,
        };
        output(false).settle("new").unwrap();
        output(true).settle("new").unwrap();
        let error = output(true).settle("newer").unwrap_err().to_string();
        assert!(error.contains("is stale"), "{error}");
        assert_eq!(fs::read_to_string(&out).unwrap(), "new");
        fs::remove_file(&out).unwrap();
    }
}
