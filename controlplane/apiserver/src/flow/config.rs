//! What `FlowSchema` and `PriorityLevelConfiguration` objects say, and what holds without them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use controlplane_api::kinds::flow_defaults;
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::classify::{Asked, Rules};
use super::measure::Own;

const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";

/// How requests are told apart and what they may take.
#[derive(Debug)]
pub(crate) struct Config {
    pub(super) total_seats: u32,
    /// By precedence, then by name.
    pub(super) schemas: Vec<Arc<Schema>>,
    /// Where what matches no schema goes.
    pub(super) rest: Arc<Schema>,
    limited: BTreeMap<Arc<str>, Limited>,
}

/// One `FlowSchema`.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its UID; empty for one that is no object.
    pub(crate) uid: String,
    /// Name of its level.
    pub(crate) level: Arc<str>,
    /// UID of its level.
    pub(crate) level_uid: String,
    /// Whether its level limits nothing.
    pub(crate) exempt: bool,
    pub(super) precedence: i64,
    pub(super) by: By,
    pub(super) rules: Vec<Rules>,
    /// Its numbers, once there are any.
    pub(super) measured: OnceLock<Own>,
}

/// What tells the flows of a schema apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum By {
    #[serde(rename = "ByUser")]
    User,
    #[serde(rename = "ByNamespace")]
    Namespace,
    #[serde(skip)]
    Nothing,
}

/// What a level may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limited {
    /// Seats of its own.
    pub(super) seats: u32,
    /// How many of them others may use.
    pub(super) lent: u32,
    /// How many it may borrow; none is as many as are lent.
    pub(super) borrowed: Option<u32>,
    pub(super) response: Response,
}

impl Limited {
    /// Seats that nobody else uses.
    pub(super) fn kept(&self) -> u32 {
        self.seats.saturating_sub(self.lent)
    }
}

/// What happens to requests for which there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    Reject,
    Queue {
        queues: usize,
        hand: usize,
        length: usize,
    },
}

#[derive(Debug, Deserialize)]
struct Object<T> {
    metadata: Metadata,
    spec: T,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    uid: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaSpec {
    priority_level_configuration: Named,
    #[serde(default)]
    matching_precedence: Option<i64>,
    #[serde(default)]
    distinguisher_method: Option<Method>,
    #[serde(default)]
    rules: Option<Vec<Rules>>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Method {
    #[serde(rename = "type")]
    by: By,
}

#[derive(Debug, Deserialize)]
struct LevelSpec {
    #[serde(default)]
    limited: Option<LimitedSpec>,
    #[serde(default)]
    exempt: Option<ExemptSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExemptSpec {
    #[serde(default)]
    nominal_concurrency_shares: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitedSpec {
    #[serde(default)]
    nominal_concurrency_shares: Option<u32>,
    #[serde(default)]
    lendable_percent: Option<u32>,
    #[serde(default)]
    borrowing_limit_percent: Option<u32>,
    #[serde(default)]
    limit_response: LimitResponse,
}

#[derive(Debug, Deserialize, Default)]
struct LimitResponse {
    #[serde(default)]
    queuing: Option<Queuing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queuing {
    #[serde(default)]
    queues: Option<usize>,
    #[serde(default)]
    hand_size: Option<usize>,
    #[serde(default)]
    queue_length_limit: Option<usize>,
}

impl Config {
    /// What the given objects say, and the mandatory ones where they are missing.
    pub(crate) fn of(total_seats: u32, schemas: &[Value], levels: &[Value]) -> Self {
        let mut found = Levels::default();
        for level in levels.iter().chain(&flow_defaults::mandatory_levels()) {
            found.add(level);
        }
        let mut known: BTreeMap<Arc<str>, Arc<Schema>> = BTreeMap::new();
        for object in schemas.iter().chain(&flow_defaults::mandatory_schemas()) {
            if let Some(schema) = found.schema(object) {
                known
                    .entry(Arc::clone(&schema.name))
                    .or_insert_with(|| Arc::new(schema));
            }
        }
        let rest = known
            .get(CATCH_ALL)
            .cloned()
            .unwrap_or_else(|| Arc::new(catch_all()));
        let mut schemas: Vec<Arc<Schema>> = known.into_values().collect();
        schemas.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        Self {
            total_seats,
            schemas,
            rest,
            limited: found.limited(total_seats),
        }
    }

    /// What upstream suggests, for a server whose objects are not read yet.
    pub(crate) fn suggested(total_seats: u32) -> Self {
        Self::of(
            total_seats,
            &flow_defaults::suggested_schemas(),
            &flow_defaults::suggested_levels(),
        )
    }

    /// The levels that are limited.
    pub(super) fn limited(&self) -> impl Iterator<Item = (&Arc<str>, &Limited)> {
        self.limited.iter()
    }

    /// The schema of a request.
    pub(super) fn classify(&self, asked: &Asked<'_>) -> &Arc<Schema> {
        let matching = |schema: &&Arc<Schema>| schema.rules.iter().any(|rules| rules.matches(asked));
        self.schemas.iter().find(matching).unwrap_or(&self.rest)
    }
}

impl Schema {
    /// What tells this request's flow from others of the schema.
    pub(super) fn distinguisher<'a>(&self, asked: &Asked<'a>) -> &'a str {
        match self.by {
            By::User => &asked.user.username,
            By::Namespace => asked.namespace(),
            By::Nothing => "",
        }
    }
}

/// The schema of last resort, should even the mandatory object be unreadable.
fn catch_all() -> Schema {
    Schema {
        name: Arc::from(CATCH_ALL),
        uid: String::new(),
        level: Arc::from(CATCH_ALL),
        level_uid: String::new(),
        exempt: false,
        precedence: 10_000,
        by: By::User,
        rules: Vec::new(),
        measured: OnceLock::new(),
    }
}

#[derive(Debug, Default)]
struct Levels(BTreeMap<String, (String, LevelSpec)>);

impl Levels {
    /// Adds a level, unless one of its name is there.
    fn add(&mut self, object: &Value) {
        match Object::<LevelSpec>::deserialize(object) {
            Ok(Object { metadata, spec }) => {
                self.0.entry(metadata.name).or_insert((metadata.uid, spec));
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "leave out a priority level"
            ),
        }
    }

    /// A schema, if it can be read and its level is there.
    fn schema(&self, object: &Value) -> Option<Schema> {
        let read = Object::<SchemaSpec>::deserialize(object)
            .inspect_err(|error| warn!(error = error as &dyn std::error::Error, "leave out a flow schema"));
        let Object { metadata, spec } = read.ok()?;
        let level = spec.priority_level_configuration.name;
        let (uid, level_spec) = self.0.get(&level)?;
        Some(Schema {
            exempt: level == EXEMPT || level_spec.limited.is_none(),
            name: Arc::from(metadata.name),
            uid: metadata.uid,
            level_uid: uid.clone(),
            level: Arc::from(level),
            precedence: spec.matching_precedence.unwrap_or(1000),
            by: spec.distinguisher_method.map_or(By::Nothing, |method| method.by),
            rules: spec.rules.unwrap_or_default(),
            measured: OnceLock::new(),
        })
    }

    /// Seats are given by shares, rounded up (`NominalCL` in the API's documentation).
    fn limited(&self, total: u32) -> BTreeMap<Arc<str>, Limited> {
        let shares_of = |spec: &LevelSpec| match (&spec.limited, &spec.exempt) {
            (Some(limited), _) => u64::from(limited.nominal_concurrency_shares.unwrap_or(30)),
            (None, exempt) => {
                let shares = exempt
                    .as_ref()
                    .and_then(|exempt| exempt.nominal_concurrency_shares);
                u64::from(shares.unwrap_or(0))
            }
        };
        let all: u64 = self.0.values().map(|(_, spec)| shares_of(spec)).sum();
        let one = |(name, (_, spec)): (&String, &(String, LevelSpec))| {
            let limited = spec.limited.as_ref()?;
            let seats = (u64::from(total) * shares_of(spec)).div_ceil(all.max(1));
            let seats = u32::try_from(seats).unwrap_or(total);
            Some((Arc::from(name.as_str()), limited.of_seats(seats)))
        };
        self.0.iter().filter_map(one).collect()
    }
}

impl LimitedSpec {
    fn of_seats(&self, seats: u32) -> Limited {
        let part = |percent: u32| (u64::from(seats) * u64::from(percent)).div_ceil(100);
        let part = |percent: u32| u32::try_from(part(percent)).unwrap_or(u32::MAX);
        let response = match &self.limit_response.queuing {
            None => Response::Reject,
            Some(queuing) => Response::Queue {
                queues: queuing.queues.unwrap_or(64),
                hand: queuing.hand_size.unwrap_or(8),
                length: queuing.queue_length_limit.unwrap_or(50),
            },
        };
        Limited {
            seats,
            lent: part(self.lendable_percent.unwrap_or(0)).min(seats),
            borrowed: self.borrowing_limit_percent.map(part),
            response,
        }
    }
}
