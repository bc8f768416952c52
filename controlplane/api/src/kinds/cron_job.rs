//! CronJobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{NONE, containers, label_selector_at, or_none};
use super::define::{age, kind, name, number, text};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, at};
use crate::strategy::{Context, Strategy};
use crate::time;
use crate::validate::{cron_job, job, pod};

const CONTAINERS: &str = "spec.jobTemplate.spec.template.spec.containers";

// Upstream's descriptions of columns, to the letter.
const TIMEZONE_HELP: &str = "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. \
    If not specified, this will default to the time zone of the kube-controller-manager process. The set of \
    valid time zone names and the time zone offset is loaded from the system-wide time zone database by the API \
    server during CronJob validation and the controller manager during execution. If no system-wide time zone \
    database can be found a bundled version of the database is used instead. If the time zone name becomes \
    invalid during the lifetime of a CronJob or due to a change in host configuration, the controller will stop \
    creating new new Jobs and will create a system event with the reason UnknownTimeZone. More information can \
    be found in https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones";

pub(super) fn resource() -> Resource {
    kind("batch", "v1", "CronJob", "cronjobs")
        .short(&["cj"])
        .in_category("all")
        .with_status()
        .shown_by(columns())
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text(
            "Schedule",
            "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron.",
            |object, _| read::text(object, "spec.schedule").into(),
        ),
        text("Timezone", TIMEZONE_HELP, |object, _| {
            or_none(read::text(object, "spec.timeZone"))
        }),
        Column {
            type_name: "boolean".into(),
            ..text(
                "Suspend",
                "This flag tells the controller to suspend subsequent executions, it does not apply to \
                 already started executions.  Defaults to false.",
                suspended,
            )
        },
        number(
            "Active",
            "A list of pointers to currently running jobs.",
            |object, _| read::list(object, "status.active").len().into(),
        ),
        text(
            "Last Schedule",
            "Information when was the last time the job was successfully scheduled.",
            last_schedule,
        ),
        age(),
        text(
            "Containers",
            "Names of each container in the template.",
            |object, _| containers(object, CONTAINERS, "name"),
        )
        .wide(),
        text(
            "Images",
            "Images referenced by each container in the template.",
            |object, _| containers(object, CONTAINERS, "image"),
        )
        .wide(),
        text(
            "Selector",
            "A label query over pods that should match the pod count. Normally, the system sets this field \
             for you. More info: \
             https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
            |object, _| label_selector_at(object, "spec.jobTemplate.spec.selector"),
        )
        .wide(),
    ]
}

/// Upstream writes the flag in words of its own.
fn suspended(object: &Value, _: Timestamp) -> Value {
    match at(object, "spec.suspend").and_then(Value::as_bool) {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => "<unset>".into(),
    }
}

fn last_schedule(object: &Value, now: Timestamp) -> Value {
    match at(object, "status.lastScheduleTime").filter(|last| !last.is_null()) {
        Some(last) => time::age(Some(last), now).into(),
        None => NONE.into(),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        cron_job::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        cron_job::update(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let made = |object| at(object, "spec.jobTemplate.spec");
        let kept = old.is_some_and(|old| made(old) == made(new));
        let mut warnings = if kept { Vec::new() } else { of_jobs(new, old) };
        if old.is_some() && read::text(new, "spec.schedule").contains("TZ") {
            warnings.push(ZONE_IN_SCHEDULE.to_owned());
        }
        warnings
    }
}

/// What is warned of in the jobs that are made.
fn of_jobs(new: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = at(new, "spec.jobTemplate.spec").unwrap_or(&Value::Null);
    let mut warnings: Vec<String> = pod::warnings::of_name(new, old).into_iter().collect();
    warnings.extend(job::warnings(spec, &Path::new("spec.jobTemplate.spec")));
    warnings.extend(pod::warnings::of_template_at(
        "spec.jobTemplate.spec.template",
        new,
        old,
    ));
    warnings
}

/// Of an old schedule that is kept; upstream says "spec" twice as well.
const ZONE_IN_SCHEDULE: &str = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
