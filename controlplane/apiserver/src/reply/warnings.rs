//! What a client is told beside the answer, in headers.

use axum::response::Response;
use http::HeaderValue;
use http::header::WARNING;

/// Characters of all warnings of an answer; where they have more, each is cut.
const MOST: usize = 4 * 1024;
/// Characters that are left of a warning that is cut.
const CUT: usize = 256;

/// What was said with an answer so far, whole.
#[derive(Debug, Clone, Default)]
struct Said(Vec<String>);

/// Adds a `Warning` header for each text that was not said before, as RFC 7234, section 5.5, code 299.
///
/// Upstream's bounds: texts of more than 4 096 characters together are cut to 256 each, and none follow once those have
/// 4 096, too.
pub(crate) fn add_warnings(response: &mut Response, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let Said(mut said) = response.extensions_mut().remove().unwrap_or_default();
    for warning in warnings {
        if !warning.is_empty() && !said.contains(warning) {
            said.push(warning.clone());
        }
    }
    response.headers_mut().remove(WARNING);
    for text in fitting(&said) {
        if let Some(value) = header(&text) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response.extensions_mut().insert(Said(said));
}

/// The texts as they are sent.
fn fitting(texts: &[String]) -> Vec<String> {
    let mut whole = 0;
    let over = texts.iter().position(|text| {
        whole += text.chars().count();
        whole > MOST
    });
    let Some(over) = over else {
        return texts.to_vec();
    };
    // What was sent before it was too much is sent again, cut; then as much as still fits.
    let mut written = 0;
    let mut sent = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        if index > over && written >= MOST {
            break;
        }
        let cut: String = text.chars().take(CUT).collect();
        written += cut.chars().count();
        sent.push(cut);
    }
    sent
}

fn header(text: &str) -> Option<HeaderValue> {
    let quoted: String = text
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect();
    HeaderValue::from_str(&format!("299 - \"{quoted}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(response: &Response) -> Vec<String> {
        let values = response.headers().get_all(WARNING).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        texts
            .map(|text| text.trim_start_matches("299 - ").trim_matches('"').to_owned())
            .collect()
    }

    #[test]
    fn a_warning_is_given_once() {
        let mut response = Response::default();
        add_warnings(&mut response, &["a".to_owned(), "b".to_owned(), "a".to_owned()]);
        add_warnings(&mut response, &["b".to_owned(), String::new(), "c".to_owned()]);
        assert_eq!(said(&response), ["a", "b", "c"]);
    }

    #[test]
    fn many_long_warnings_are_cut_and_end() {
        let mut response = Response::default();
        let long = |number: usize| format!("{number:04}{}", "x".repeat(996));
        let texts: Vec<String> = (0..30).map(long).collect();
        add_warnings(&mut response, texts.get(..4).unwrap());
        assert_eq!(said(&response).iter().map(String::len).sum::<usize>(), 4000);
        add_warnings(&mut response, &texts);
        let said = said(&response);
        assert!(said.iter().all(|text| text.len() == CUT), "{said:?}");
        assert_eq!(said.len(), MOST / CUT);
    }
}
