use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, ConfigMapKeySelector, ObjectFieldSelector, PodSpec, ResourceFieldSelector,
    ResourceRequirements, SecretKeySelector, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::*;

#[derive(Default)]
struct World {
    pod: Pod,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    services: Vec<Service>,
    allocatable: BTreeMap<String, u64>,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        world.pod.metadata.name = Some("web".to_owned());
        world.pod.metadata.namespace = Some("shop".to_owned());
        world.pod.metadata.labels = Some([("app".to_owned(), "x".to_owned())].into());
        world.pod.spec = Some(PodSpec::default());
        let map = ConfigMap {
            data: Some([("k".to_owned(), "v".to_owned())].into()),
            ..ConfigMap::default()
        };
        world.config_maps.insert("m".to_owned(), map);
        let secret = Secret {
            data: Some([("p".to_owned(), ByteString(b"w".to_vec()))].into()),
            ..Secret::default()
        };
        world.secrets.insert("s".to_owned(), secret);
        world.allocatable.insert("cpu".to_owned(), 1500);
        world
    }

    fn service(&mut self, namespace: &str, name: &str, ports: &[(&str, i32)]) {
        let port = |(name, port): &(&str, i32)| ServicePort {
            name: Some((*name).to_owned()),
            port: *port,
            ..ServicePort::default()
        };
        let mut service = Service {
            spec: Some(ServiceSpec {
                cluster_ip: Some("10.43.0.7".to_owned()),
                ports: Some(ports.iter().map(port).collect()),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        };
        service.metadata.name = Some(name.to_owned());
        service.metadata.namespace = Some(namespace.to_owned());
        self.services.push(service);
    }

    fn env(&self, container: &Container) -> Result<Vec<(String, String)>, EnvError> {
        let sources = Sources {
            pod: &self.pod,
            pod_ips: &["10.42.0.9".parse().unwrap()],
            host_ips: &["10.0.0.1".parse().unwrap()],
            allocatable: &self.allocatable,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
            services: &self.services,
            tokens: &NO_TOKENS,
        };
        environment(container, &sources)
    }

    fn value(&self, source: EnvVarSource) -> Result<Option<String>, EnvError> {
        let variable = EnvVar {
            name: "V".to_owned(),
            value: None,
            value_from: Some(source),
        };
        let container = Container {
            env: Some(vec![variable]),
            ..Container::default()
        };
        Ok(self
            .env(&container)?
            .into_iter()
            .find(|(name, _)| name == "V")
            .map(|(_, value)| value))
    }
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

fn config_key(name: &str, key: &str, optional: bool) -> EnvVarSource {
    let selector = ConfigMapKeySelector {
        name: name.to_owned(),
        key: key.to_owned(),
        optional: Some(optional),
    };
    EnvVarSource {
        config_map_key_ref: Some(selector),
        ..EnvVarSource::default()
    }
}

fn secret_key(name: &str, key: &str) -> EnvVarSource {
    let selector = SecretKeySelector {
        name: name.to_owned(),
        key: key.to_owned(),
        optional: None,
    };
    EnvVarSource {
        secret_key_ref: Some(selector),
        ..EnvVarSource::default()
    }
}

#[test]
fn env_replaces_env_from_and_refers_to_what_is_before_it() {
    let source = EnvFromSource {
        prefix: Some("P_".to_owned()),
        config_map_ref: Some(ConfigMapEnvSource {
            name: "m".to_owned(),
            optional: None,
        }),
        secret_ref: None,
    };
    let container = Container {
        env_from: Some(vec![source]),
        env: Some(vec![
            plain("A", "1"),
            plain("B", "$(A)$(P_k)$(C)"),
            plain("P_k", "own"),
        ]),
        ..Container::default()
    };
    let env = World::new().env(&container).unwrap();
    let pairs: Vec<(&str, &str)> = env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(pairs, [("P_k", "own"), ("A", "1"), ("B", "1v$(C)")]);
}

#[test]
fn keys_come_from_config_maps_and_secrets() {
    let world = World::new();
    assert_eq!(world.value(config_key("m", "k", false)), Ok(Some("v".to_owned())));
    assert_eq!(world.value(secret_key("s", "p")), Ok(Some("w".to_owned())));
}

#[test]
fn what_is_missing_is_named_in_upstreams_words_unless_optional() {
    let world = World::new();
    let words = |source| world.value(source).unwrap_err().to_string();
    assert_eq!(words(config_key("x", "k", false)), "configmap \"x\" not found");
    assert_eq!(words(secret_key("x", "k")), "secret \"x\" not found");
    assert_eq!(
        words(config_key("m", "y", false)),
        "couldn't find key y in ConfigMap shop/m"
    );
    assert_eq!(
        words(secret_key("s", "y")),
        "couldn't find key y in Secret shop/s"
    );
    assert_eq!(world.value(config_key("x", "k", true)), Ok(None));
    assert_eq!(world.value(config_key("m", "y", true)), Ok(None));
}

#[test]
fn fields_tell_of_the_pod_and_an_unknown_one_is_refused() {
    let world = World::new();
    let field = |path: &str| {
        world.value(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        })
    };
    assert_eq!(field("metadata.name"), Ok(Some("web".to_owned())));
    assert_eq!(field("metadata.labels['app']"), Ok(Some("x".to_owned())));
    assert_eq!(field("status.podIP"), Ok(Some("10.42.0.9".to_owned())));
    assert_eq!(field("status.hostIP"), Ok(Some("10.0.0.1".to_owned())));
    assert_eq!(
        field("spec.containers"),
        Err(EnvError::Field("spec.containers".to_owned()))
    );
}

#[test]
fn resources_are_divided_rounded_up_and_limits_default_to_the_nodes() {
    let world = World::new();
    let container = Container {
        resources: Some(ResourceRequirements {
            limits: Some([("memory".to_owned(), Quantity("1Gi".to_owned()))].into()),
            ..ResourceRequirements::default()
        }),
        ..Container::default()
    };
    let value = |resource: &str, divisor: &str| {
        let selector = ResourceFieldSelector {
            resource: resource.to_owned(),
            divisor: Some(Quantity(divisor.to_owned())),
            container_name: None,
        };
        let sources = Sources {
            pod: &world.pod,
            pod_ips: &[],
            host_ips: &[],
            allocatable: &world.allocatable,
            config_maps: &world.config_maps,
            secrets: &world.secrets,
            services: &[],
            tokens: &NO_TOKENS,
        };
        resource_value(&selector, &container, &sources).unwrap()
    };
    assert_eq!(value("limits.memory", "1Mi"), "1024");
    assert_eq!(value("limits.cpu", "1"), "2");
    assert_eq!(value("limits.cpu", "1m"), "1500");
    assert_eq!(value("requests.cpu", "1"), "0");
}

#[test]
fn services_of_the_namespace_and_kubernetes_are_variables() {
    let mut world = World::new();
    world.service("default", "kubernetes", &[("https", 443)]);
    world.service("shop", "my-db", &[("sql", 5432)]);
    world.service("other", "hidden", &[("x", 1)]);
    let env: BTreeMap<String, String> = world.env(&Container::default()).unwrap().into_iter().collect();
    let get = |name: &str| env.get(name).map(String::as_str);
    assert_eq!(get("KUBERNETES_SERVICE_HOST"), Some("10.43.0.7"));
    assert_eq!(get("KUBERNETES_SERVICE_PORT_HTTPS"), Some("443"));
    assert_eq!(get("MY_DB_SERVICE_PORT"), Some("5432"));
    assert_eq!(get("MY_DB_PORT"), Some("tcp://10.43.0.7:5432"));
    assert_eq!(get("MY_DB_PORT_5432_TCP_ADDR"), Some("10.43.0.7"));
    assert_eq!(get("HIDDEN_SERVICE_HOST"), None);
}

#[test]
fn without_service_links_only_kubernetes_is_told() {
    let mut world = World::new();
    world.service("default", "kubernetes", &[("https", 443)]);
    world.service("shop", "db", &[("sql", 5432)]);
    world.pod.spec.as_mut().unwrap().enable_service_links = Some(false);
    let env = world.env(&Container::default()).unwrap();
    assert!(env.iter().all(|(name, _)| name.starts_with("KUBERNETES_")) && !env.is_empty());
}
