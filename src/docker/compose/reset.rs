//! `!reset` and `!override`: what a file takes away from the files before it.

use super::interpolate::join;
use super::problem::Problem;
use super::tree::{Mark, Node, Value};

/// The attributes that are taken away.
#[derive(Clone, Debug, Default)]
pub struct Resets(Vec<Vec<String>>);

impl Resets {
    /// Takes the marks out of a tree, and with them what is reset.
    pub fn extract(tree: &mut Node) -> Result<Self, Problem> {
        let mut resets = Self::default();
        resets.collect(tree, &mut Vec::new())?;
        Ok(resets)
    }

    fn collect(&mut self, node: &mut Node, path: &mut Vec<String>) -> Result<(), Problem> {
        match &mut node.value {
            Value::Map(map) => {
                for (key, value) in map.iter_mut() {
                    path.push(key.clone());
                    match value.mark {
                        Mark::None => self.collect(value, path)?,
                        Mark::Reset | Mark::Override => self.0.push(path.clone()),
                    }
                    path.pop();
                }
                map.retain(|_, value| value.mark != Mark::Reset);
                map.values_mut().for_each(|value| value.mark = Mark::None);
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if item.mark != Mark::None {
                        let path = join(&path.join("."), &index.to_string());
                        let message = "`!reset` and `!override` have no effect on an entry of a list";
                        return Err(Problem::new(&item.at, path, message, "write it before the whole list"));
                    }
                    path.push(index.to_string());
                    self.collect(item, path)?;
                    path.pop();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the attributes away from what an earlier file says, or from the part of it at a path.
    pub fn apply(&self, earlier: &mut Node, at: &[&str]) {
        for path in &self.0 {
            let inner = at.iter().zip(path).all(|(a, b)| a == b).then(|| path.get(at.len()..)).flatten();
            if let Some((last, way)) = inner.and_then(<[String]>::split_last) {
                let mut node = Some(&mut *earlier);
                for key in way {
                    node = node.and_then(Node::map_mut).and_then(|map| map.get_mut(key));
                }
                if let Some(map) = node.and_then(Node::map_mut) {
                    map.remove(last);
                }
            }
        }
    }
}
