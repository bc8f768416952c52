//! Query parameters, read as the options types of `meta/v1`.

use std::time::Duration;

use controlplane_api::field::quote;
use controlplane_api::{ApiError, FieldError, FieldSelector, LabelSelector, Path};
use http::Uri;

/// The parameters of a query, decoded, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of `uri`.
    ///
    /// # Errors
    ///
    /// 400 when it is not a well-formed query.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| Self(query.0))
            .map_err(|error| ApiError::bad_request(format!("cannot read the query: {error}")))
    }

    /// The first value of `name`, when it is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Every value of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Makes the query one of a watch, of one object where there is a name.
    pub(crate) fn ask_for_watch(&mut self, name: Option<&str>) {
        self.0.retain(|(key, _)| key != "watch");
        self.0.push(("watch".to_owned(), "true".to_owned()));
        if let Some(name) = name {
            let others = self.get("fieldSelector").map(|others| format!(",{others}"));
            let only = format!("metadata.name={name}{}", others.unwrap_or_default());
            self.0.retain(|(key, _)| key != "fieldSelector");
            self.0.push(("fieldSelector".to_owned(), only));
        }
    }

    /// All parameters.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A boolean as upstream's options read it: there, and neither `false` nor `0`; absent is `None`.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number; absent is `None`.
    pub(crate) fn signed(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| text.parse().map_err(|_| go_number(text));
        self.get(name).map(parse).transpose()
    }
}

fn go_number(text: &str) -> ApiError {
    let what = match text
        .trim_start_matches(['+', '-'])
        .bytes()
        .all(|byte| byte.is_ascii_digit())
    {
        true if text.len() > 1 => "value out of range",
        _ => "invalid syntax",
    };
    ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {what}"))
}

/// How a `resourceVersion` on a read is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest state.
    MostRecent,
    /// Any state; ours is always the newest.
    Any,
    /// A state at least as new as this.
    NotOlderThan(u64),
    /// Exactly this state.
    Exact(u64),
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) labels: Option<LabelSelector>,
    pub(crate) fields: Option<FieldSelector>,
    pub(crate) limit: Option<usize>,
    pub(crate) token: Option<String>,
    pub(crate) resource_version: Option<u64>,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
    pub(crate) timeout: Option<Duration>,
}

/// The parameter `resourceVersionMatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    NotOlderThan,
    Exact,
}

impl ListOptions {
    /// Reads and checks the options.
    ///
    /// # Errors
    ///
    /// 400 for what cannot be read, 422 for combinations that make no sense.
    pub(crate) fn parse(query: &Query) -> Result<Self, ApiError> {
        let labels = query.get("labelSelector").map(LabelSelector::parse).transpose();
        let fields = query.get("fieldSelector").map(FieldSelector::parse).transpose();
        let resource_version = match query.get("resourceVersion") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| no_version(text))?),
        };
        let options = Self {
            labels: labels.map_err(|error| unparsable("label", &error))?,
            fields: fields.map_err(|error| unparsable("field", &error))?,
            limit: query
                .signed("limit")?
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| *limit > 0),
            token: query.get("continue").map(str::to_owned),
            resource_version,
            version_match: version_match(query),
            watch: query.flag("watch").unwrap_or(false),
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            initial_events: query.flag("sendInitialEvents"),
            timeout: query
                .signed("timeoutSeconds")?
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        };
        options.check(query).map(|()| options)
    }

    /// As upstream's `ValidateListOptions`.
    fn check(&self, query: &Query) -> Result<(), ApiError> {
        let mut errors = Vec::new();
        let path = Path::new("resourceVersionMatch");
        if let Some(given) = query.get("resourceVersionMatch") {
            match self.watch {
                true => self.check_match_of_watch(given, &path, &mut errors),
                false => self.check_match_of_list(given, &path, &mut errors),
            }
        }
        match (self.watch, self.initial_events) {
            (true, Some(_)) if self.version_match != Some(VersionMatch::NotOlderThan) => {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                errors.insert(0, path.forbidden(why));
            }
            (false, Some(_)) => {
                let path = Path::new("sendInitialEvents");
                errors.push(path.forbidden("sendInitialEvents is forbidden for list"));
            }
            (_, _) => {}
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", errors)),
        }
    }

    fn check_match_of_list(&self, given: &str, path: &Path, errors: &mut Vec<FieldError>) {
        if self.resource_version.is_none() {
            errors
                .push(path.forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if self.token.is_some() {
            errors.push(path.forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        match (self.version_match, self.resource_version) {
            (None, _) => errors.push(path.not_supported(given, &["Exact", "NotOlderThan", ""])),
            (Some(VersionMatch::Exact), Some(0)) => errors.push(
                path.forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
            ),
            (Some(_), _) => {}
        }
    }

    fn check_match_of_watch(&self, given: &str, path: &Path, errors: &mut Vec<FieldError>) {
        if self.initial_events.is_none() {
            errors.push(path.forbidden(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if self.version_match != Some(VersionMatch::NotOlderThan) {
            errors.push(path.not_supported(given, &["NotOlderThan"]));
        }
        if self.token.is_some() {
            errors.push(path.forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
    }

    /// What state a list without a continue token is to show.
    pub(crate) fn wanted(&self) -> Wanted {
        match (self.resource_version, self.version_match, self.limit) {
            (None, _, _) => Wanted::MostRecent,
            (Some(0), _, _) => Wanted::Any,
            (Some(version), Some(VersionMatch::Exact), _) => Wanted::Exact(version),
            (Some(version), Some(VersionMatch::NotOlderThan), _) | (Some(version), None, None) => {
                Wanted::NotOlderThan(version)
            }
            // Upstream's legacy rule: a limit with a version and no match reads exactly that version.
            (Some(version), None, Some(_)) => Wanted::Exact(version),
        }
    }
}

/// In the words of Go's `ParseUint`.
fn no_version(text: &str) -> ApiError {
    let what = match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => "value out of range",
        false => "invalid syntax",
    };
    let why = format!("strconv.ParseUint: parsing {}: {what}", quote(text));
    let mistake = Path::new("resourceVersion").invalid(text, why);
    ApiError::bad_request(mistake.to_string())
}

fn unparsable(what: &str, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("unable to parse {what} selector: {error}"))
}

/// None also for what is no match at all, which [`ListOptions::check`] refuses.
fn version_match(query: &Query) -> Option<VersionMatch> {
    match query.get("resourceVersionMatch")? {
        "Exact" => Some(VersionMatch::Exact),
        "NotOlderThan" => Some(VersionMatch::NotOlderThan),
        _ => None,
    }
}

/// What to do about fields that the schema does not know and members that occur twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the options, which a refusal calls `kind`.
    ///
    /// # Errors
    ///
    /// 422 for values that are not known.
    pub(crate) fn parse(query: &Query, kind: &str) -> Result<Self, ApiError> {
        let given: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        let mut mistakes = Vec::from_iter(dry_run_mistake(&given));
        let field_validation = match query.get("fieldValidation") {
            None | Some("" | "Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let known = ["", "Ignore", "Strict", "Warn"];
                mistakes.push(Path::new("fieldValidation").not_supported(other, &known));
                FieldValidation::Warn
            }
        };
        if !mistakes.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", kind, "", mistakes));
        }
        Ok(Self {
            dry_run: !given.is_empty(),
            field_validation,
        })
    }
}

/// Whether `values` of `dryRun` in `DeleteOptions` ask for a dry run.
///
/// # Errors
///
/// 422 for anything but `All`.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, ApiError> {
    let given: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    match dry_run_mistake(&given) {
        None => Ok(!given.is_empty()),
        Some(mistake) => Err(ApiError::invalid(
            "meta.k8s.io",
            "DeleteOptions",
            "",
            vec![mistake],
        )),
    }
}

fn dry_run_mistake(given: &[&str]) -> Option<FieldError> {
    given.iter().find(|value| **value != "All")?;
    let quoted: Vec<String> = given.iter().map(|value| quote(value)).collect();
    let mistake = Path::new("dryRun").not_supported(given.join(","), &["All"]);
    Some(mistake.shown_as(format!("[]string{{{}}}", quoted.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused_as_upstream_does() {
        let table = [
            (
                "sendInitialEvents=true",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
            (
                "watch=1&sendInitialEvents=true",
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (
                "watch=1&resourceVersionMatch=NotOlderThan",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (
                "watch=1&resourceVersionMatch=NotOlderThan&sendInitialEvents=0&continue=x",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
            ),
            (
                "resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                "resourceVersionMatch=Exact&resourceVersion=0",
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            (
                "resourceVersionMatch=Sometimes&resourceVersion=5",
                "resourceVersionMatch: Unsupported value: \"Sometimes\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
        ];
        for (text, why) in table {
            let error = ListOptions::parse(&query(text)).unwrap_err();
            let expected = format!("ListOptions.meta.k8s.io \"\" is invalid: {why}");
            assert_eq!((error.code(), error.to_string()), (422, expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused_and_flags_are_set_by_being_there() {
        let table = [
            ("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (
                "limit=99999999999999999999",
                "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
            ),
            (
                "resourceVersion=abc",
                "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
            ),
        ];
        for (text, why) in table {
            let error = ListOptions::parse(&query(text)).unwrap_err();
            assert_eq!((error.code(), error.to_string().as_str()), (400, why), "{text}");
        }
        for (text, watches) in [
            ("watch", true),
            ("watch=yes", true),
            ("watch=False", false),
            ("watch=0", false),
        ] {
            assert_eq!(ListOptions::parse(&query(text)).unwrap().watch, watches, "{text}");
        }
        assert_eq!(ListOptions::parse(&query("limit=-1")).unwrap().limit, None);
    }

    #[test]
    fn a_resource_version_means_what_the_match_says() {
        let table = [
            ("", Wanted::MostRecent),
            ("resourceVersion=0", Wanted::Any),
            ("resourceVersion=7", Wanted::NotOlderThan(7)),
            ("resourceVersion=7&limit=2", Wanted::Exact(7)),
            ("resourceVersion=7&resourceVersionMatch=Exact", Wanted::Exact(7)),
            (
                "resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=2",
                Wanted::NotOlderThan(7),
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(
                ListOptions::parse(&query(text)).unwrap().wanted(),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn only_all_is_a_dry_run() {
        let parse = |text| WriteOptions::parse(&query(text), "CreateOptions");
        assert!(parse("dryRun=All").unwrap().dry_run);
        assert!(!parse("dryRun=").unwrap().dry_run);
        assert_eq!(
            parse("dryRun=Some&fieldValidation=Loose")
                .unwrap_err()
                .status()
                .message,
            "CreateOptions.meta.k8s.io \"\" is invalid: [dryRun: Unsupported value: []string{\"Some\"}: supported values: \"All\", \
             fieldValidation: Unsupported value: \"Loose\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"]"
        );
    }
}
