//! The views that people read: `objects`, `history`, `events` and `store`, plain SQL so that any `sqlite3` shows them.
//!
//! Keys are taken apart as `/registry/<group>/<resource>/<namespace>/<name>`. The core group has no segment; another
//! group is known by its dot, or is one of the five without, which no custom group can be.

use rusqlite::Connection;

/// The API groups whose name has no dot.
pub(crate) const PLAIN_GROUPS: [&str; 5] = ["apps", "autoscaling", "batch", "extensions", "policy"];

/// What each row of `objects` and `history` tells of where it belongs.
const OBJECT: &str = r#"
    CAST(value AS TEXT) ->> '$.kind' AS kind,
    CAST(value AS TEXT) ->> '$.apiVersion' AS api_version,
    api_group,
    substr(tail, 1, instr(tail || '/', '/') - 1) AS resource,
    CASE WHEN instr(path, '/') THEN substr(path, 1, instr(path, '/') - 1) END AS namespace,
    substr(path, instr(path, '/') + 1) AS name"#;

const TIME: &str = "CASE WHEN time THEN strftime('%Y-%m-%dT%H:%M:%SZ', time, 'unixepoch') END AS time";

const ACTOR: &str = "nullif(actor, '') AS actor";

/// The object with its resource version, which the stored bytes leave out.
const VALUE: &str = r#"
    CAST(substr(value, 1, splice) AS TEXT) || '"resourceVersion":"' || revision || '"'
        || CASE substr(value, splice + 1, 1) WHEN x'7d' THEN '' ELSE ',' END
        || CAST(substr(value, splice + 1) AS TEXT) AS value"#;

/// `source`, a query with at least the columns named here, with its keys taken apart.
fn split(columns: &str, source: &str) -> String {
    let passed = "key, op, revision, created, previous, time, actor, splice, value";
    let plain = PLAIN_GROUPS.map(|group| format!("'{group}'")).join(", ");
    let first = "substr(key, 11, instr(substr(key, 11) || '/', '/') - 1)";
    format!(
        "SELECT {OBJECT}, {columns}, key FROM (
            SELECT {passed}, api_group, tail, substr(tail, instr(tail || '/', '/') + 1) AS path FROM (
                SELECT {passed},
                    CASE WHEN grouped THEN substr(path, 1, instr(path, '/') - 1) ELSE '' END AS api_group,
                    CASE WHEN grouped THEN substr(path, instr(path, '/') + 1) ELSE path END AS tail
                FROM (
                    SELECT {passed}, substr(key, 11) AS path,
                        instr({first}, '.') OR {first} IN ({plain}) AS grouped
                    FROM ({source}))))"
    )
}

/// The versions in `table` as changes: what wrote each of them.
fn written(table: &str) -> String {
    format!(
        "SELECT key, CASE WHEN previous IS NULL THEN 'create' ELSE 'update' END AS op, revision, created, previous,
            time, actor, splice, value FROM {table}"
    )
}

/// Deletions; they have no value of their own. The kind is the deleted version's.
const DELETED: &str =
    "SELECT key, 'delete' AS op, id >> 20 AS revision, created, revision AS previous, ended AS time,
    deleted_by AS actor, splice, value FROM past WHERE deleted_by IS NOT NULL";

/// Events, in the form in which both API groups' are stored.
const EVENTS: &str = "CREATE VIEW events AS
    SELECT coalesce(nullif(json ->> '$.series.lastObservedTime', ''), nullif(json ->> '$.lastTimestamp', ''),
            nullif(json ->> '$.eventTime', ''), json ->> '$.metadata.creationTimestamp') AS last_seen,
        coalesce(nullif(json ->> '$.firstTimestamp', ''), nullif(json ->> '$.eventTime', ''),
            json ->> '$.metadata.creationTimestamp') AS first_seen,
        coalesce(json ->> '$.series.count', json ->> '$.count', 1) AS count,
        json ->> '$.type' AS type,
        json ->> '$.reason' AS reason,
        json ->> '$.metadata.namespace' AS namespace,
        json ->> '$.involvedObject.kind' AS object_kind,
        json ->> '$.involvedObject.namespace' AS object_namespace,
        json ->> '$.involvedObject.name' AS object_name,
        json ->> '$.message' AS message,
        coalesce(nullif(json ->> '$.reportingComponent', ''), json ->> '$.source.component') AS source,
        json ->> '$.metadata.name' AS name,
        revision,
        key
    FROM (SELECT CAST(value AS TEXT) AS json, revision, key FROM current
        WHERE key >= '/registry/events/' AND key < '/registry/events0')";

/// One row: whose state this is, how far it has come, and how far back history goes.
const STORE: &str = "CREATE VIEW store AS
    SELECT cluster_id, revision, strftime('%Y-%m-%dT%H:%M:%SZ', nullif(time, 0), 'unixepoch') AS time,
        forgotten AS oldest_revision,
        strftime('%Y-%m-%dT%H:%M:%SZ', nullif(forgotten_time, 0), 'unixepoch') AS oldest_time,
        current_rows AS objects, past_rows AS old_versions FROM meta";

/// Names of the views, which are all that a query may read.
pub(crate) const NAMES: [&str; 4] = ["objects", "history", "events", "store"];

/// Makes the views.
pub(crate) fn create(db: &Connection) -> rusqlite::Result<()> {
    let object = format!("revision, created AS created_revision, {TIME}, {ACTOR}, {VALUE}");
    let change =
        |value: &str| format!("revision, op, previous AS previous_revision, {TIME}, {ACTOR}, {value}");
    let arms = [
        split(&change(VALUE), &written("current")),
        split(&change(VALUE), &written("past")),
        split(&change("NULL AS value"), DELETED),
    ];
    db.execute_batch(&format!(
        "CREATE VIEW objects AS {};\nCREATE VIEW history AS {};\n{EVENTS};\n{STORE};",
        split(&object, &written("current")),
        arms.join("\nUNION ALL\n"),
    ))
}

/// Takes them away again.
pub(crate) fn drop(db: &Connection) -> rusqlite::Result<()> {
    let drops = NAMES.map(|name| format!("DROP VIEW IF EXISTS {name};"));
    db.execute_batch(&drops.concat())
}
