//! Which machines are meant: all that every given option lets through.

use glob::Pattern;

use crate::proxmox::wire::{Resource, Vmid};

/// Which machines are meant. Of an option that is given several times one value is enough.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Names, where `*` stands for any characters and `?` for one: `shop-*`.
    #[arg(long)]
    pub name: Vec<Pattern>,
    /// Tags in Proxmox.
    #[arg(long)]
    pub tag: Vec<String>,
    /// Pools in Proxmox.
    #[arg(long)]
    pub pool: Vec<String>,
    /// Nodes, by their names in the ProxmoxCluster.
    #[arg(long)]
    pub node: Vec<String>,
    /// VMIDs: `705`, or `700-799`.
    #[arg(long, value_parser = vmids)]
    pub vmid: Vec<(Vmid, Vmid)>,
}

fn vmids(text: &str) -> Result<(Vmid, Vmid), String> {
    let number = |text: &str| {
        let number = text.trim().parse::<Vmid>();
        number.map_err(|_| format!("{text:?} is no VMID; give one, such as 705, or a range, such as 700-799"))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if from <= to { Ok((from, to)) } else { Err("the range ends before it begins".to_owned()) }
}

impl Filter {
    /// Whether a machine is meant; `node` is our name of the one that has it, if we have one.
    pub fn lets_through(&self, resource: &Resource, node: Option<&str>) -> bool {
        let Self { name, tag, pool, node: nodes, vmid } = self;
        let named = resource.name.as_deref().unwrap_or_default();
        let one = |given: bool, fits: bool| !given || fits;
        one(!name.is_empty(), name.iter().any(|pattern| pattern.matches(named)))
            && one(!tag.is_empty(), tag.iter().any(|tag| resource.tags.contains(&tag.to_lowercase())))
            && one(!pool.is_empty(), resource.pool.as_ref().is_some_and(|in_pool| pool.contains(in_pool)))
            && one(!nodes.is_empty(), node.is_some_and(|node| nodes.iter().any(|wanted| wanted == node)))
            && one(
                !vmid.is_empty(),
                resource.vmid.is_some_and(|number| vmid.iter().any(|(from, to)| (*from..=*to).contains(&number))),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        Resource {
            kind: "qemu".into(),
            vmid: Some(705),
            node: "pve1".into(),
            name: Some("shop-db".into()),
            tags: vec!["legacy".into(), "web".into()],
            pool: Some("old".into()),
            ..Resource::default()
        }
    }

    #[test]
    fn every_option_must_fit_and_one_value_of_each_is_enough() {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        let fits = |filter: Filter| filter.lets_through(&resource(), Some("sv1"));
        assert!(fits(Filter::default()));
        for (filter, expected) in [
            (Filter { name: vec![pattern("web-*"), pattern("shop-*")], ..Filter::default() }, true),
            (Filter { name: vec![pattern("shop")], ..Filter::default() }, false),
            (Filter { tag: vec!["Legacy".into()], ..Filter::default() }, true),
            (Filter { tag: vec!["new".into()], ..Filter::default() }, false),
            (Filter { pool: vec!["old".into()], ..Filter::default() }, true),
            (Filter { pool: vec!["new".into()], ..Filter::default() }, false),
            (Filter { node: vec!["sv1".into()], ..Filter::default() }, true),
            (Filter { node: vec!["pve1".into()], ..Filter::default() }, false),
            (Filter { vmid: vec![(1, 2), (700, 799)], ..Filter::default() }, true),
            (Filter { vmid: vec![(706, 799)], ..Filter::default() }, false),
            (Filter { name: vec![pattern("shop-*")], vmid: vec![(1, 2)], ..Filter::default() }, false),
        ] {
            assert_eq!(fits(filter.clone()), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_range_that_means_nothing_is_refused() {
        assert_eq!((vmids("705"), vmids("700-799")), (Ok((705, 705)), Ok((700, 799))));
        for text in ["", "x", "7-", "800-700", "700-799-900"] {
            assert!(vmids(text).is_err(), "{text}");
        }
    }
}
