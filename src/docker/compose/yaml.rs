//! YAML to trees: anchors and merge keys are undone, positions and the tags of compose files are kept.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::budget::{Budget, MAX_DEPTH, NODE, weight};
use super::model::At;
use super::problem::Problem;
use super::scalar;
use super::tree::{Map, Mark, Node, Value};

/// The documents of a file. Empty ones are left out.
pub fn documents(file: &str, text: &str, budget: &mut Budget) -> Result<Vec<Node>, Problem> {
    let limits = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let file: Arc<str> = file.into();
    let mut composer =
        Composer { events: Parser::new_from_str_with_options(text, limits), file, anchors: HashMap::new(), budget };
    let mut documents = Vec::new();
    while let Some((event, span)) = composer.next()? {
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(..) => composer.anchors.clear(),
            event => {
                let (node, _) = composer.node(event, &span, 0)?;
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

struct Composer<'input, 'budget> {
    events: Parser<'input, StrInput<'input>>,
    file: Arc<str>,
    anchors: HashMap<usize, Anchored>,
    budget: &'budget mut Budget,
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    height: usize,
}

impl<'input> Composer<'input, '_> {
    fn next(&mut self) -> Result<Option<(Event<'input>, Span)>, Problem> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = self.at(error.marker().line());
                Err(Problem::new(&at, "", format!("this is not YAML: {}", error.info()), "correct the syntax"))
            }
        }
    }

    /// The next event, inside of something that has not ended.
    fn inner(&mut self) -> Result<(Event<'input>, Span), Problem> {
        self.next()?.ok_or_else(|| self.problem(&self.at(0), "the file ends too early", "complete it"))
    }

    fn at(&self, line: usize) -> At {
        At { file: self.file.clone(), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }

    fn problem(&self, at: &At, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::new(at, "", message, remedy)
    }

    fn spend(&mut self, bytes: usize, at: &At) -> Result<(), Problem> {
        self.budget.spend(bytes).map_err(|_| too_large(at))
    }

    /// The value that an event starts, and how deep it is nested.
    fn node(&mut self, event: Event<'input>, span: &Span, depth: usize) -> Result<(Node, usize), Problem> {
        let at = self.at(span.start.line());
        if depth > MAX_DEPTH {
            return Err(self.too_deep(&at));
        }
        let (anchor, mark, value, height) = match event {
            Event::Alias(id) => return self.alias(id, &at, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(NODE.saturating_add(text.len()), &at)?;
                let (mark, value) = self.scalar(&text, style, tag.as_deref(), &at)?;
                (anchor, mark, value, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.spend(NODE, &at)?;
                let mark = self.mark(tag.as_deref(), "seq", &at)?;
                let (items, height) = self.sequence(depth)?;
                (anchor, mark, Value::List(items), height)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.spend(NODE, &at)?;
                let mark = self.mark(tag.as_deref(), "map", &at)?;
                let (map, height) = self.mapping(depth)?;
                (anchor, mark, Value::Map(map), height)
            }
            _ => return Err(self.problem(&at, "a value is missing", "complete it")),
        };
        let node = Node { at, mark, from_variables: false, value };
        if anchor != 0 {
            self.budget.spend_copy(&node).map_err(|_| too_large(&node.at))?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), height });
        }
        Ok((node, height))
    }

    fn alias(&mut self, id: usize, at: &At, depth: usize) -> Result<(Node, usize), Problem> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(self.problem(
                at,
                "an alias stands inside of what it refers to",
                "refer to something that is complete",
            ));
        };
        if depth.saturating_add(anchored.height) > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let (cost, height) = (weight(&anchored.node), anchored.height);
        self.budget.spend(cost).map_err(|_| too_large(at))?;
        let node = self.anchors.get(&id).map(|anchored| anchored.node.clone()).unwrap_or_default();
        Ok((Node { at: at.clone(), ..node }, height))
    }

    fn sequence(&mut self, depth: usize) -> Result<(Vec<Node>, usize), Problem> {
        let (mut items, mut height) = (Vec::new(), 0);
        loop {
            let (event, span) = self.inner()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((items, height));
            }
            let (item, inner) = self.node(event, &span, depth.saturating_add(1))?;
            height = height.max(inner.saturating_add(1));
            items.push(item);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<(Map, usize), Problem> {
        let (mut map, mut merged, mut height) = (Map::new(), None, 0);
        loop {
            let (event, span) = self.inner()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let at = self.at(span.start.line());
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let (key, _) = self.node(event, &span, depth.saturating_add(1))?;
            let (event, span) = self.inner()?;
            let (mut value, inner) = self.node(event, &span, depth.saturating_add(1))?;
            height = height.max(inner.saturating_add(1));
            if merge {
                if merged.replace((value, at.clone())).is_some() {
                    return Err(self.problem(&at, "`<<` is given twice", "give one, with a list: `<<: [*a, *b]`"));
                }
                continue;
            }
            let Some(key) = key.text() else {
                let message = format!("a key must be text, not {}", key.shown());
                return Err(self.problem(&at, message, "put it into quotes"));
            };
            value.at = at;
            self.spend(key.len(), &value.at)?;
            if let Some(earlier) = map.get(key) {
                let message = format!("`{key}` is given twice, first in line {}", earlier.at.line);
                return Err(self.problem(&value.at, message, "remove one of them"));
            }
            map.insert(key.to_owned(), value);
        }
        if let Some((value, at)) = merged {
            self.merge(&mut map, value, &at)?;
        }
        Ok((map, height))
    }

    /// Adds what a merge key brings: what is written beside it wins, and of several the first.
    fn merge(&self, map: &mut Map, value: Node, at: &At) -> Result<(), Problem> {
        let sources = match value.value {
            Value::List(items) => items,
            _ => vec![value],
        };
        for source in sources {
            let Value::Map(source) = source.value else {
                return Err(self.problem(
                    at,
                    "`<<` takes mappings only",
                    "refer to a mapping, or to a list of mappings",
                ));
            };
            for (key, value) in source {
                map.entry(key).or_insert(value);
            }
        }
        Ok(())
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &At) -> Result<(Mark, Value), Problem> {
        let plain = || if style == ScalarStyle::Plain { scalar::resolve(text) } else { Value::Text(text.to_owned()) };
        let Some(tag) = tag else {
            return Ok((Mark::None, plain()));
        };
        let value = match tag.core_suffix() {
            Some("str") => Value::Text(text.to_owned()),
            Some("null") if matches!(scalar::resolve(text), Value::Null) => Value::Null,
            Some("bool") if matches!(scalar::resolve(text), Value::Bool(_)) => scalar::resolve(text),
            Some("int") if matches!(scalar::resolve(text), Value::Int(_)) => scalar::resolve(text),
            Some("float") => match scalar::resolve(text) {
                Value::Float(value) => Value::Float(value),
                #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
                Value::Int(value) => Value::Float(value as f64),
                _ => return Err(self.problem(at, format!("`{text}` is no `!!float`"), "correct the value or the tag")),
            },
            Some(kind) => {
                return Err(self.problem(at, format!("`{text}` is no `!!{kind}`"), "correct the value or the tag"));
            }
            None => return Ok((self.mark(Some(tag), "str", at)?, plain())),
        };
        Ok((Mark::None, value))
    }

    fn mark(&self, tag: Option<&Tag>, kind: &str, at: &At) -> Result<Mark, Problem> {
        let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(kind)) else {
            return Ok(Mark::None);
        };
        match tag.to_string().as_str() {
            "!reset" => Ok(Mark::Reset),
            "!override" => Ok(Mark::Override),
            "!" => Ok(Mark::None),
            other => {
                let message = format!("the tag `{other}` means nothing here");
                Err(self.problem(at, message, "compose files know `!reset` and `!override`; remove the tag"))
            }
        }
    }

    fn too_deep(&self, at: &At) -> Problem {
        self.problem(at, format!("this is nested more than {MAX_DEPTH} deep"), "make it flatter")
    }
}

/// The budget is used up.
pub fn too_large(at: &At) -> Problem {
    let message = "the project is too large, with all anchors, includes, extensions and variables written out";
    Problem::new(at, "", message, "make it smaller, or divide it into several")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let documents = documents("a.yaml", text, &mut Budget::default()).map_err(|problem| problem.to_string())?;
        documents.into_iter().next().ok_or_else(|| "nothing".to_owned())
    }

    fn at<'n>(node: &'n Node, path: &str) -> &'n Node {
        path.split('.').fold(node, |node, key| match &node.value {
            Value::Map(map) => map.get(key).expect("a key"),
            Value::List(items) => items.get(key.parse::<usize>().expect("an index")).expect("an entry"),
            _ => panic!("{path} leads into a single value"),
        })
    }

    #[test]
    fn values_stand_in_the_line_of_their_key_or_of_their_entry() {
        let text = "a:\n  b:\n    c: 1\n  d:\n    - x\n    -\n      e: |\n        text\n";
        let node = read(text).expect("valid");
        for (path, line) in [("a", 1), ("a.b", 2), ("a.b.c", 3), ("a.d", 4), ("a.d.0", 5), ("a.d.1", 7), ("a.d.1.e", 7)]
        {
            assert_eq!(at(&node, path).at.to_string(), format!("a.yaml:{line}"), "{path}");
        }
    }

    #[test]
    fn anchors_are_written_out_and_the_nearest_key_wins_over_merged_ones() {
        let text = "x: &x {a: x, b: x}\ny: &y {b: y, c: y}\nz:\n  <<: [*x, *y]\n  a: own\nlist: [*x, *x]\n";
        let node = read(text).expect("valid");
        for (path, value) in [("z.a", "own"), ("z.b", "x"), ("z.c", "y"), ("list.1.a", "x")] {
            assert_eq!(at(&node, path).text(), Some(value), "{path}");
        }
        assert_eq!(at(&node, "z.b").at.line, 1);
        assert!(
            read("a: {'<<': {b: c}}")
                .expect("valid")
                .map()
                .and_then(|map| map.get("a"))
                .is_some_and(|a| a.map().is_some_and(|a| a.contains_key("<<")))
        );
    }

    #[test]
    fn tags_say_what_a_value_is_or_what_it_does() {
        let text =
            "a: !!str 12\nb: !!int \"12\"\nc: !!float 1\nd: !reset [x]\ne: !override {f: g}\nf: ! 12\ng: !!null ''\n";
        let node = read(text).expect("valid");
        assert_eq!(at(&node, "a").value, Value::Text("12".to_owned()));
        assert_eq!(at(&node, "b").value, Value::Int(12));
        assert_eq!(at(&node, "c").value, Value::Float(1.0));
        assert_eq!((at(&node, "d").mark, at(&node, "e").mark), (Mark::Reset, Mark::Override));
        assert_eq!(at(&node, "g").value, Value::Null);
        for wrong in ["a: !!int x", "a: !!bool 1", "a: !!binary x", "a: !foo {}", "a: !!map []"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
