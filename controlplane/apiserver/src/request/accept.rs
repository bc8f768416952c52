//! Content negotiation: what form of answer the client asks for.

use controlplane_api::ApiError;
use http::HeaderMap;
use http::header::ACCEPT;

/// Form of an answer about objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// Whether a kind has a form in protobuf; our own and custom ones have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Served,
    Absent,
}

impl Binary {
    fn media_types(self) -> &'static [&'static str] {
        const ALL: [&str; 3] = [
            "application/json",
            "application/yaml",
            controlplane_protobuf::MEDIA_TYPE,
        ];
        match self {
            Self::Served => &ALL,
            Self::Absent => ALL.split_at(2).0,
        }
    }

    /// Of watches; YAML has no end between two objects.
    fn stream_media_types(self) -> &'static [&'static str] {
        const ALL: [&str; 2] = [
            "application/json;stream=watch",
            "application/vnd.kubernetes.protobuf;stream=watch",
        ];
        match self {
            Self::Served => &ALL,
            Self::Absent => ALL.split_at(1).0,
        }
    }
}

/// The form chosen for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
            controlplane_protobuf::MEDIA_TYPE => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// How much the client wants it, in thousandths (RFC 9110, section 12.4.2).
    fn weight(&self) -> u16 {
        let thousandths = |text: &str| -> Option<u16> {
            let (whole, part) = text.split_once('.').unwrap_or((text, ""));
            let part: u16 = format!("{part:0<3.3}").parse().ok()?;
            Some(whole.parse::<u16>().ok()?.min(1) * 1000 + part)
        };
        self.param("q").and_then(thousandths).unwrap_or(1000).min(1000)
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

/// What the client accepts, most wanted first, and among equals as it says.
fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let texts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut ranges: Vec<Range<'_>> = texts
        .flat_map(|text| text.split(','))
        .map(Range::parse)
        .filter(|range| !range.media.is_empty())
        .collect();
    ranges.sort_by_key(|range| std::cmp::Reverse(range.weight()));
    ranges
}

/// Chooses the first acceptable form for objects of a kind.
///
/// # Errors
///
/// 406 when the client accepts nothing that we send.
pub(crate) fn objects(headers: &HeaderMap, binary: Binary) -> Result<Accepted, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Accepted::default());
    }
    let form = |range: &Range<'_>| {
        let (encoding, shape) = (range.encoding()?, range.shape()?);
        // Tables have no messages, metadata of every kind has.
        let served = match (encoding, shape) {
            (Encoding::Protobuf, Shape::Table) => false,
            (Encoding::Protobuf, Shape::Plain) => binary == Binary::Served,
            _ => true,
        };
        served.then_some(Accepted { shape, encoding })
    };
    ranges
        .iter()
        .find_map(form)
        .ok_or_else(|| ApiError::not_acceptable(binary.media_types()))
}

/// Chooses the form of a watch's events.
///
/// # Errors
///
/// 406 where it has no end between two objects, or as [`objects`].
pub(crate) fn events(accepted: Accepted, binary: Binary) -> Result<Accepted, ApiError> {
    match accepted.encoding {
        Encoding::Yaml => Err(ApiError::not_acceptable(binary.stream_media_types())),
        Encoding::Json | Encoding::Protobuf => Ok(accepted),
    }
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
        .ok_or_else(|| ApiError::not_acceptable(Binary::Served.media_types()))
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
        .ok_or_else(|| ApiError::not_acceptable(Binary::Served.media_types()))
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
        assert_eq!(objects(&accept, Binary::Served).unwrap().shape, Shape::Table);
    }

    #[test]
    fn protobuf_is_sent_of_kinds_that_have_it_and_never_as_a_table() {
        let accept = header("application/vnd.kubernetes.protobuf,application/json");
        let encoding = |binary| objects(&accept, binary).unwrap().encoding;
        assert_eq!(encoding(Binary::Served), Encoding::Protobuf);
        assert_eq!(encoding(Binary::Absent), Encoding::Json);
        let only = header("application/vnd.kubernetes.protobuf");
        assert_eq!(objects(&only, Binary::Absent).unwrap_err().code(), 406);
        let table = header("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io");
        assert_eq!(objects(&table, Binary::Served).unwrap_err().code(), 406);
        let metadata =
            header("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
        let expected = Accepted {
            shape: Shape::Metadata,
            encoding: Encoding::Protobuf,
        };
        assert_eq!(objects(&metadata, Binary::Absent).unwrap(), expected);
    }

    #[test]
    fn what_is_wanted_more_is_taken_first() {
        let table = [
            ("application/json;q=0.5,application/yaml", Encoding::Yaml),
            ("application/yaml;q=0.8, */*;q=0.9", Encoding::Json),
            ("application/yaml;q=0.25,application/json;q=0.250", Encoding::Yaml),
            ("text/html, application/yaml;q=nonsense", Encoding::Yaml),
        ];
        for (accept, encoding) in table {
            let found = objects(&header(accept), Binary::Served).unwrap();
            assert_eq!(found.encoding, encoding, "{accept}");
        }
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
                Discovery::Plain(Encoding::Protobuf),
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
