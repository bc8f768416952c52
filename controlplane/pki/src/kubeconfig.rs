use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A kubeconfig with one cluster, one user and one context, everything inside the file.
#[must_use]
pub fn kubeconfig(
    cluster_name: &str,
    server: &str,
    ca_pem: &str,
    user: &str,
    cert_pem: &str,
    key_pem: &str,
) -> String {
    let (ca, cert, key) = (
        STANDARD.encode(ca_pem),
        STANDARD.encode(cert_pem),
        STANDARD.encode(key_pem),
    );
    let (cluster, server, name) = (quoted(cluster_name), quoted(server), quoted(user));
    let context = quoted(&format!("{user}@{cluster_name}"));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {cluster}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: {name}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {cert}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - name: {context}\n\
         \x20 context:\n\
         \x20   cluster: {cluster}\n\
         \x20   user: {name}\n\
         current-context: {context}\n"
    )
}

/// A YAML string, single-quoted: only the quote itself is special inside.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_its_parts_and_carries_them() {
        let text = kubeconfig("floe", "https://10.0.0.2:6443", "CA", "it's: me", "CERT", "KEY");
        let read: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(read["current-context"], "it's: me@floe");
        assert_eq!(read["contexts"][0]["name"], "it's: me@floe");
        assert_eq!(
            read["contexts"][0]["context"],
            serde_json::json!({"cluster": "floe", "user": "it's: me"})
        );
        assert_eq!(read["clusters"][0]["cluster"]["server"], "https://10.0.0.2:6443");
        let decode = |text: &serde_json::Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
        assert_eq!(
            decode(&read["clusters"][0]["cluster"]["certificate-authority-data"]),
            b"CA"
        );
        assert_eq!(
            decode(&read["users"][0]["user"]["client-certificate-data"]),
            b"CERT"
        );
        assert_eq!(decode(&read["users"][0]["user"]["client-key-data"]), b"KEY");
    }
}
