//! Masquerading of a network's traffic to elsewhere.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nftables::expr::{Expression, NamedExpression, Payload, PayloadField, Prefix};
use nftables::schema::{Chain, FlushObject, NfCmd, NfListObject, NfObject, Nftables, Rule, Table};
use nftables::stmt::{Match, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::TABLE;
use crate::hash::fnv1a;

/// `srcnat` in nft's words.
const PRIORITY: i32 = 100;
/// The kernel's limit for a rule's comment, less its end.
const MAX_COMMENT: usize = 127;

/// The rule that containers of a network appear with the node's address outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// Name of the network.
    pub network: String,
    /// Subnets of its containers on this node.
    pub sources: Vec<IpNet>,
    /// Destinations that see the containers' own addresses, such as the pods of other nodes.
    pub except: Vec<IpNet>,
}

impl Masquerade {
    /// Name of the chain that holds the network's rules.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("masquerade-{}", self.network)
    }

    /// The commands that make the ruleset so, whatever it was; they are one transaction.
    #[must_use]
    pub fn commands(&self) -> Nftables<'static> {
        let chain = self.chain();
        let mut commands = vec![
            NfCmd::Add(NfListObject::Table(Table {
                family: NfFamily::INet,
                name: TABLE.into(),
                handle: None,
            })),
            NfCmd::Add(NfListObject::Chain(base_chain(&chain))),
            NfCmd::Flush(FlushObject::Chain(base_chain(&chain))),
        ];
        commands.extend(
            self.sources
                .iter()
                .map(|source| NfCmd::Add(NfListObject::Rule(self.rule(*source)))),
        );
        Nftables {
            objects: commands.into_iter().map(NfObject::CmdObject).collect(),
        }
    }

    /// The commands that take it away; they fail where it is not there.
    #[must_use]
    pub fn removal(&self) -> Nftables<'static> {
        let chain = base_chain(&self.chain());
        let commands = [
            NfCmd::Flush(FlushObject::Chain(chain.clone())),
            NfCmd::Delete(NfListObject::Chain(chain)),
        ];
        Nftables {
            objects: commands.into_iter().map(NfObject::CmdObject).collect(),
        }
    }

    /// The comments of the rules, which tell everything the rules do.
    #[must_use]
    pub fn comments(&self) -> Vec<String> {
        self.sources.iter().map(|source| self.comment(*source)).collect()
    }

    fn comment(&self, source: IpNet) -> String {
        let except: Vec<String> = self.exceptions(source).map(|net| net.to_string()).collect();
        let mut comment = format!(
            "network {}: {source} to all but {}",
            self.network,
            except.join(" ")
        );
        if comment.len() > MAX_COMMENT {
            // Cut, but still another text for other rules.
            let tail = format!("… {:016x}", fnv1a(comment.as_bytes()));
            let keep = MAX_COMMENT.saturating_sub(tail.len());
            let end = (0..=keep)
                .rev()
                .find(|at| comment.is_char_boundary(*at))
                .unwrap_or(0);
            comment.truncate(end);
            comment.push_str(&tail);
        }
        comment
    }

    fn exceptions(&self, source: IpNet) -> impl Iterator<Item = IpNet> + '_ {
        let multicast = if source.addr().is_ipv4() {
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4))
        } else {
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8))
        };
        let same_family = move |net: &IpNet| net.addr().is_ipv4() == source.addr().is_ipv4();
        std::iter::once(source.trunc())
            .chain(self.except.iter().copied().filter(same_family))
            .chain([multicast])
    }

    fn rule(&self, source: IpNet) -> Rule<'static> {
        let family = if source.addr().is_ipv4() { "ip" } else { "ip6" };
        let mut expr = vec![matches(family, "saddr", Operator::EQ, source.trunc())];
        // Not one set: exceptions may contain each other, which an anonymous set refuses.
        expr.extend(
            self.exceptions(source)
                .map(|net| matches(family, "daddr", Operator::NEQ, net)),
        );
        expr.push(Statement::Masquerade(None));
        Rule {
            family: NfFamily::INet,
            table: TABLE.into(),
            chain: self.chain().into(),
            expr: Cow::Owned(expr),
            handle: None,
            index: None,
            comment: Some(self.comment(source).into()),
        }
    }
}

fn base_chain(name: &str) -> Chain<'static> {
    Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.to_owned().into(),
        newname: None,
        handle: None,
        _type: Some(NfChainType::NAT),
        hook: Some(NfHook::Postrouting),
        prio: Some(PRIORITY),
        dev: None,
        policy: Some(NfChainPolicy::Accept),
    }
}

fn matches(protocol: &'static str, field: &'static str, op: Operator, net: IpNet) -> Statement<'static> {
    let payload = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    let left = Expression::Named(NamedExpression::Payload(Payload::PayloadField(payload)));
    let addr = Box::new(Expression::String(net.addr().to_string().into()));
    let right = Expression::Named(NamedExpression::Prefix(Prefix {
        addr,
        len: net.prefix_len().into(),
    }));
    Statement::Match(Match { left, right, op })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masquerade() -> Masquerade {
        Masquerade {
            network: "floe".to_owned(),
            sources: vec!["10.42.0.0/24".parse().unwrap(), "fd42::/64".parse().unwrap()],
            except: vec!["10.42.0.0/16".parse().unwrap()],
        }
    }

    #[test]
    fn the_comment_tells_what_the_rule_serves() {
        assert_eq!(
            masquerade().comments(),
            [
                "network floe: 10.42.0.0/24 to all but 10.42.0.0/24 10.42.0.0/16 224.0.0.0/4",
                "network floe: fd42::/64 to all but fd42::/64 ff00::/8",
            ]
        );
    }

    #[test]
    fn long_comments_are_cut_and_still_differ() {
        let mut many = masquerade();
        many.except = (0..40)
            .map(|n| format!("10.{n}.0.0/16").parse().unwrap())
            .collect();
        let first = many.comments().remove(0);
        many.except.pop();
        let second = many.comments().remove(0);
        assert!(first.len() <= MAX_COMMENT && second.len() <= MAX_COMMENT);
        assert_ne!(first, second);
    }

    #[test]
    fn commands_are_what_nft_reads() {
        let json = serde_json::to_value(masquerade().commands()).unwrap();
        let rule = &json["nftables"][3]["add"]["rule"];
        assert_eq!(rule["chain"], "masquerade-floe");
        assert_eq!(rule["expr"][0]["match"]["right"]["prefix"]["addr"], "10.42.0.0");
        assert_eq!(
            rule["expr"].as_array().unwrap().last().unwrap(),
            &serde_json::json!({"masquerade": null})
        );
    }
}
