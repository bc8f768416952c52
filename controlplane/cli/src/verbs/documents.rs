//! Objects from files, folders and standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use controlplane_api::codec;
use serde_json::Value;

/// Every object in `files`, in order; folders by file name, lists taken apart.
pub(crate) fn read_all(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in files {
        objects.extend(read(file)?);
    }
    if objects.is_empty() {
        bail!(
            "no object in {}",
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    Ok(objects)
}

fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("read standard input")?;
        return parse(&text).context("read standard input");
    }
    if file.is_dir() {
        return read_folder(file);
    }
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    parse(&text).with_context(|| format!("read {}", file.display()))
}

fn read_folder(folder: &Path) -> anyhow::Result<Vec<Value>> {
    let failed = || format!("read {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        files.push(entry.with_context(failed)?.path());
    }
    let named = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
    };
    files.retain(named);
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        objects.extend(read(&file)?);
    }
    Ok(objects)
}

/// The objects of a YAML or JSON text of any number of documents.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (at, document) in codec::documents_from_yaml(text.as_bytes())?
        .into_iter()
        .enumerate()
    {
        let number = at + 1;
        if let Some(again) = document.duplicates.first() {
            bail!("document {number}: {again}: take one of them out");
        }
        match document.value {
            // An empty document, as after a last `---`.
            Value::Null => {}
            object @ Value::Object(_) => objects.extend(unpack(object)),
            _ => bail!("document {number} is no object"),
        }
    }
    Ok(objects)
}

/// The items of a list, or the object itself.
fn unpack(mut object: Value) -> Vec<Value> {
    let is_list = object
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    match object.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items,
        Some(other) => {
            if let Some(fields) = object.as_object_mut() {
                fields.insert("items".to_owned(), other);
            }
            vec![object]
        }
        None => vec![object],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text)
            .unwrap()
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn yaml_documents_json_and_lists_are_read() {
        assert_eq!(
            names("---\nkind: A\nmetadata: {name: a}\n---\n# nothing\n---\nmetadata: {name: b}\n"),
            ["a", "b"]
        );
        assert_eq!(names(r#"{"kind": "A", "metadata": {"name": "a"}}"#), ["a"]);
        assert_eq!(
            names("kind: List\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]"),
            ["a", "b"]
        );
        assert_eq!(names("kind: ConfigMap\nitems: 1\nmetadata: {name: a}"), ["a"]);
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = parse("kind: A\n---\nkind: [B\n").unwrap_err();
        assert!(format!("{error:#}").contains("line"), "{error:#}");
        assert!(parse("just text").is_err());
    }

    #[test]
    fn a_folder_is_read_in_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        for (file, name) in [("2.yaml", "b"), ("1.json", "a"), ("notes.txt", "x")] {
            std::fs::write(
                folder.path().join(file),
                format!(r#"{{"metadata": {{"name": "{name}"}}}}"#),
            )
            .unwrap();
        }
        let found = read_all(&[folder.path().to_owned()]).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|object| &object["metadata"]["name"])
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_all(&[PathBuf::from("/nowhere/x.yaml")]).unwrap_err();
        assert!(format!("{error:#}").starts_with("read /nowhere/x.yaml: "));
    }
}
