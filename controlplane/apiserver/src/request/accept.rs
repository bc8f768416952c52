//! Content negotiation: what form of answer the client asks for.

use controlplane_api::ApiError;
use http::HeaderMap;
use http::header::ACCEPT;

/// Form of an answer about objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    /// The objects themselves.
    #[default]
    Plain,
    /// A `meta.k8s.io/v1` `Table`.
    Table,
    /// `PartialObjectMetadata`, or its list where the answer is a list.
    Metadata,
}

/// Encoding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

/// The form chosen for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accepted {
    pub(crate) shape: Shape,
    pub(crate) encoding: Encoding,
}

/// One media range of an `Accept` header.
#[derive(Debug)]
struct Range<'a> {
    media: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let params = parts.filter_map(|part| part.split_once('=')).collect();
        Self { media, params }
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        self.params
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        }
    }

    fn shape(&self) -> Option<Shape> {
        match (self.param("as"), self.param("g"), self.param("v")) {
            (None, _, _) => Some(Shape::Plain),
            (Some("Table"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => Some(Shape::Table),
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1" | "v1beta1"),
            ) => Some(Shape::Metadata),
            _ => None,
        }
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let texts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(Range::parse)
        .filter(|range| !range.media.is_empty())
        .collect()
}

/// Chooses the first acceptable form for objects.
///
/// # Errors
///
/// 406 when the client accepts nothing that we send, such as protobuf alone.
pub(crate) fn objects(headers: &HeaderMap) -> Result<Accepted, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Accepted::default());
    }
    ranges
        .iter()
        .find_map(|range| {
            Some(Accepted {
                encoding: range.encoding()?,
                shape: range.shape()?,
            })
        })
        .ok_or_else(|| ApiError::not_acceptable(&["application/json", "application/yaml"]))
}

/// The form in which discovery is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// One document of all groups, in this version of `apidiscovery.k8s.io`.
    Aggregated(&'static str),
    /// A document a group.
    Plain(Encoding),
}

/// Chooses the first acceptable form of discovery.
///
/// # Errors
///
/// 406 when the client accepts none.
pub(crate) fn discovery(headers: &HeaderMap) -> Result<Discovery, ApiError> {
    let form = |range: &Range<'_>| {
        let encoding = range.encoding()?;
        let version = match (range.param("as"), range.param("g"), range.param("v")) {
            (None, _, _) => return Some(Discovery::Plain(encoding)),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => "v2",
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => "v2beta1",
            _ => return None,
        };
        (encoding == Encoding::Json).then_some(Discovery::Aggregated(version))
    };
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Discovery::Plain(Encoding::Json));
    }
    ranges
        .iter()
        .find_map(form)
        .ok_or_else(|| ApiError::not_acceptable(&["application/json", "application/yaml"]))
}

/// Chooses the encoding of an answer that has one shape only.
///
/// # Errors
///
/// 406 when the client accepts none.
pub(crate) fn plain(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Encoding::Json);
    }
    ranges
        .iter()
        .filter(|range| range.shape() == Some(Shape::Plain))
        .find_map(Range::encoding)
        .ok_or_else(|| ApiError::not_acceptable(&["application/json", "application/yaml"]))
}

/// Whether the client takes gzip.
pub(crate) fn gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(Range::parse)
        .any(|range| range.media == "gzip" && range.param("q") != Some("0"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn header(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn kubectl_get_is_answered_with_a_table() {
        let accept = header(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        );
        assert_eq!(objects(&accept).unwrap().shape, Shape::Table);
    }

    #[test]
    fn protobuf_with_a_json_fallback_is_answered_with_json() {
        let accept = header("application/vnd.kubernetes.protobuf,application/json");
        assert_eq!(objects(&accept).unwrap(), Accepted::default());
        let error = objects(&header("application/vnd.kubernetes.protobuf")).unwrap_err();
        assert_eq!(error.code(), 406);
    }

    #[test]
    fn discovery_takes_the_first_form_that_is_served() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let v2beta1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        let unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/yaml";
        let table = [
            (v2, Discovery::Aggregated("v2")),
            (v2beta1, Discovery::Aggregated("v2beta1")),
            (unknown, Discovery::Plain(Encoding::Yaml)),
            ("application/json", Discovery::Plain(Encoding::Json)),
            (
                "application/vnd.kubernetes.protobuf, */*",
                Discovery::Plain(Encoding::Json),
            ),
        ];
        for (accept, form) in table {
            assert_eq!(discovery(&header(accept)).unwrap(), form, "{accept}");
        }
        assert_eq!(
            discovery(&HeaderMap::new()).unwrap(),
            Discovery::Plain(Encoding::Json)
        );
        assert_eq!(discovery(&header("text/html")).unwrap_err().code(), 406);
    }
}
