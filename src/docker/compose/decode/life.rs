//! How a service starts, stops and is found healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::Item;
use super::units;
use crate::docker::compose::model::{Condition, Dependency, Healthcheck, Hook, Logging, PullPolicy, Restart};
use crate::docker::compose::shell_words;
use crate::docker::compose::tree::Value;

/// A list of words, or a line that is divided into them.
pub fn command(item: &Item<'_>) -> Option<Vec<String>> {
    match &item.node.value {
        Value::Text(line) => match shell_words::split(line) {
            Ok(words) => Some(words),
            Err(reason) => {
                item.complain(
                    format!("the command cannot be divided into words: {reason}"),
                    "write `[\"sh\", \"-c\", \"…\"]`",
                );
                None
            }
        },
        _ => Some(item.list().iter().filter_map(Item::text).collect()),
    }
}

pub fn pull_policy(item: &Item<'_>) -> Option<PullPolicy> {
    let read = |text: &str| match text {
        "always" => Some(PullPolicy::Always),
        "never" => Some(PullPolicy::Never),
        "missing" | "if_not_present" => Some(PullPolicy::Missing),
        "build" => Some(PullPolicy::Build),
        "daily" => Some(PullPolicy::Every(Duration::from_secs(24 * 3600))),
        "weekly" => Some(PullPolicy::Every(Duration::from_secs(7 * 24 * 3600))),
        _ => text.strip_prefix("every_").and_then(units::duration).map(PullPolicy::Every),
    };
    let known = "`always`, `never`, `missing`, `build`, `daily`, `weekly` or `every_` and a duration";
    item.parsed(known, "write one of them", read)
}

pub fn restart(item: &Item<'_>) -> Option<Restart> {
    if item.node.value == Value::Bool(false) {
        return Some(Restart::No);
    }
    let read = |text: &str| match text.split_once(':') {
        None => match text {
            "no" => Some(Restart::No),
            "always" => Some(Restart::Always),
            "unless-stopped" => Some(Restart::UnlessStopped),
            "on-failure" => Some(Restart::OnFailure(None)),
            _ => None,
        },
        Some(("on-failure", most)) => most.parse().ok().map(|most| Restart::OnFailure(Some(most))),
        Some(_) => None,
    };
    item.parsed("`no`, `always`, `unless-stopped` or `on-failure[:N]`", "write one of them, in quotes", read)
}

pub fn dependencies(item: &Item<'_>) -> BTreeMap<String, Dependency> {
    let read = |(name, item): (&str, Item<'_>)| {
        let mut fields = item.fields();
        let condition = fields.item("condition").and_then(|item| item.one_of(&Condition::ALL, Condition::as_str));
        let dependency = Dependency {
            at: item.at(),
            condition: condition.unwrap_or_default(),
            restart: fields.flag("restart"),
            required: fields.item("required").and_then(|item| item.boolean()).unwrap_or(true),
        };
        fields.finish();
        (name.to_owned(), dependency)
    };
    item.entries().into_iter().map(read).collect()
}

pub fn healthcheck(item: &Item<'_>) -> Healthcheck {
    let mut fields = item.fields();
    let test = fields.item("test").map(|item| match item.node.text() {
        Some(line) => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        None => {
            let words: Vec<String> = item.list().iter().filter_map(Item::text).collect();
            if !matches!(words.first().map(String::as_str), None | Some("CMD" | "CMD-SHELL" | "NONE")) {
                item.complain("a test must start with `CMD`, `CMD-SHELL` or `NONE`", "put `CMD` before the command");
            }
            words
        }
    });
    let healthcheck = Healthcheck {
        test: test.unwrap_or_default(),
        interval: fields.duration("interval"),
        timeout: fields.duration("timeout"),
        retries: fields.number("retries"),
        start_period: fields.duration("start_period"),
        start_interval: fields.duration("start_interval"),
        disable: fields.flag("disable"),
    };
    fields.finish();
    healthcheck
}

pub fn hook(item: &Item<'_>) -> Hook {
    let mut fields = item.fields();
    let hook = Hook {
        at: item.at(),
        command: fields.required("command").and_then(|item| command(&item)).unwrap_or_default(),
        user: fields.text("user"),
        privileged: fields.flag("privileged"),
        working_dir: fields.text("working_dir"),
        environment: fields.item("environment").map(|item| hook_environment(&item)).unwrap_or_default(),
    };
    fields.finish();
    hook
}

fn hook_environment(item: &Item<'_>) -> BTreeMap<String, Option<String>> {
    if item.node.list().is_none() {
        let value = |item: &Item<'_>| if item.node.value == Value::Null { None } else { item.printed() };
        return item.entries().into_iter().map(|(name, item)| (name.to_owned(), value(&item))).collect();
    }
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text, None),
    };
    item.list().iter().filter_map(Item::text).map(pair).collect()
}

pub fn logging(item: &Item<'_>) -> Logging {
    let mut fields = item.fields();
    let logging = Logging { driver: fields.text("driver"), options: fields.pairs("options") };
    fields.finish();
    logging
}
