//! Which lock is taken inside which: a cycle is a deadlock that has not happened yet.

use std::collections::{HashMap, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::Moment;

/// Locks and pairs of locks that are remembered; more are not.
const MAX_LOCKS: usize = 10_000;
const MAX_PAIRS: usize = 100_000;

/// The order in which locks were taken.
#[derive(Debug, Default)]
pub struct Order {
    graph: DiGraph<Box<str>, Edge>,
    nodes: HashMap<Box<str>, NodeIndex>,
}

/// A lock that was taken inside another.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Who did it last: a label or a command.
    pub by: Box<str>,
    pub last: Moment,
    pub times: u64,
}

/// Locks each of which was taken inside the next, and the last of them inside the first.
pub type Cycle = Vec<(Box<str>, Edge)>;

impl Order {
    /// Notes that somebody took one lock inside others.
    pub fn add<'a>(
        &mut self,
        lock: &str,
        inside: impl Iterator<Item = &'a str>,
        by: impl Fn() -> Box<str>,
        when: Moment,
    ) {
        for outer in inside.filter(|&outer| outer != lock) {
            let (Some(inner), Some(outer)) = (self.node(lock), self.node(outer)) else { return };
            match self.graph.find_edge(inner, outer) {
                Some(edge) => {
                    let edge = &mut self.graph[edge];
                    edge.times += 1;
                    if when >= edge.last {
                        (edge.last, edge.by) = (when, by());
                    }
                }
                None if self.graph.edge_count() < MAX_PAIRS => {
                    self.graph.add_edge(inner, outer, Edge { by: by(), last: when, times: 1 });
                }
                None => {}
            }
        }
    }

    fn node(&mut self, lock: &str) -> Option<NodeIndex> {
        if let Some(&node) = self.nodes.get(lock) {
            return Some(node);
        }
        (self.nodes.len() < MAX_LOCKS).then(|| {
            let node = self.graph.add_node(lock.into());
            self.nodes.insert(lock.into(), node);
            node
        })
    }

    /// A shortest cycle for each group of locks that are, one by the other, inside each other.
    #[must_use]
    pub fn cycles(&self) -> Vec<Cycle> {
        let groups = tarjan_scc(&self.graph).into_iter().filter(|group| group.len() > 1);
        let mut cycles: Vec<Cycle> = groups.filter_map(|group| self.shortest(&group)).collect();
        cycles.sort_by(|a, b| a[0].0.cmp(&b[0].0));
        cycles
    }

    /// The shortest cycle through the first, by name, of locks that are in one.
    fn shortest(&self, group: &[NodeIndex]) -> Option<Cycle> {
        let &first = group.iter().min_by_key(|&&node| &self.graph[node])?;
        let mut reached_from = HashMap::new();
        let mut next = VecDeque::from([first]);
        while let Some(node) = next.pop_front() {
            for edge in self.graph.edges(node) {
                if edge.target() == first {
                    let back = |&edge: &petgraph::graph::EdgeIndex| {
                        let (from, _) = self.graph.edge_endpoints(edge)?;
                        reached_from.get(&from).copied()
                    };
                    let mut cycle: Vec<_> = std::iter::successors(Some(edge.id()), back).collect();
                    cycle.reverse();
                    let named = |edge| {
                        let (inner, _) = self.graph.edge_endpoints(edge)?;
                        Some((self.graph[inner].clone(), self.graph[edge].clone()))
                    };
                    return cycle.into_iter().map(named).collect();
                }
                if let std::collections::hash_map::Entry::Vacant(vacant) = reached_from.entry(edge.target()) {
                    vacant.insert(edge.id());
                    next.push_back(edge.target());
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(taken: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut order = Order::default();
        for (inner, outer) in taken {
            order.add(inner, [*outer].into_iter(), || "job".into(), Moment::default());
        }
        let names = |cycle: Cycle| cycle.into_iter().map(|(lock, _)| lock.into_string()).collect();
        order.cycles().into_iter().map(names).collect()
    }

    #[test]
    fn a_ring_is_found_and_a_ladder_is_none() {
        assert_eq!(order(&[("b", "a"), ("c", "b"), ("c", "a"), ("a", "a")]), [[""; 0]; 0]);
        assert_eq!(order(&[("b", "a"), ("c", "b"), ("a", "b")]), [["a", "b"]]);
        assert_eq!(order(&[("b", "a"), ("c", "b"), ("d", "c"), ("a", "d")]), [["a", "d", "c", "b"]]);
        let two = [("b", "a"), ("a", "b"), ("y", "x"), ("z", "y"), ("x", "z"), ("x", "a")];
        assert_eq!(order(&two), [vec!["a", "b"], vec!["x", "z", "y"]]);
    }
}
