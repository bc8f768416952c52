//! YAML as kubectl and upstream's API server read it (`sigs.k8s.io/yaml` over the second version of Go's `yaml`).

mod build;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

use saphyr_parser::{Event, Parser, ScanError};

use super::Document;
use super::budget::TooLarge;
use build::Builder;
pub(super) use write::write;

/// Why bytes are no YAML.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct YamlError(#[from] Mistake);

impl YamlError {
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self.0, Mistake::TooLarge(_))
    }
}

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
enum Mistake {
    #[error("invalid UTF-8 at byte {0}")]
    Utf8(usize),
    #[error("line {}, column {}: {}", .0.marker().line(), .0.marker().col() + 1, .0.info())]
    Syntax(ScanError),
    #[error("line {line}: {what}")]
    Meaning { line: usize, what: String },
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Reads all documents of a stream, of which there may be `most`.
pub(super) fn read(bytes: &[u8], most: usize) -> Result<Vec<Document>, YamlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| Mistake::Utf8(error.valid_up_to()))?;
    let mut parser = Parser::new_from_str(text);
    let (mut documents, mut builder) = (Vec::new(), Builder::default());
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(Mistake::Syntax)?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) if documents.len() == most => {
                let what = "another document begins where one is expected".to_owned();
                return Err(Mistake::Meaning { line, what }.into());
            }
            Event::DocumentStart(_) => builder = Builder::default(),
            Event::DocumentEnd => documents.push(std::mem::take(&mut builder).document()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            part => builder.take(part, line)?,
        }
    }
    Ok(documents)
}
