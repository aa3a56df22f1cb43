//! The cheapest set of nodes that lies on every way from sources to sinks (maximum flow, minimum cut).

use std::collections::VecDeque;

/// Nodes with prices, edges, sources and sinks.
pub(crate) struct Network {
    /// Edges out of each vertex, by position in `edges`. Node n is the vertices 2n (in) and 2n + 1 (out), with its price as
    /// the capacity between them; the last two are the source and the sink.
    out: Vec<Vec<usize>>,
    /// Each edge is followed by its reverse.
    edges: Vec<Edge>,
    nodes: usize,
}

#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    room: u64,
}

const UNLIMITED: u64 = u64::MAX;

impl Network {
    /// A network of `nodes` nodes, none of them connected.
    pub(crate) fn new(nodes: usize) -> Network {
        Network { out: vec![Vec::new(); 2 * nodes + 2], edges: Vec::new(), nodes }
    }

    /// Says what a node costs.
    pub(crate) fn node(&mut self, node: usize, price: u64) {
        self.connect(2 * node, 2 * node + 1, price);
    }

    /// One node leads to another.
    pub(crate) fn edge(&mut self, from: usize, to: usize) {
        self.connect(2 * from + 1, 2 * to, UNLIMITED);
    }

    /// Ways start at the node (it may be in the cut itself).
    pub(crate) fn source(&mut self, node: usize) {
        self.connect(2 * self.nodes, 2 * node, UNLIMITED);
    }

    /// Ways end at the node (it may be in the cut itself).
    pub(crate) fn sink(&mut self, node: usize) {
        self.connect(2 * node + 1, 2 * self.nodes + 1, UNLIMITED);
    }

    fn connect(&mut self, from: usize, to: usize, room: u64) {
        self.out[from].push(self.edges.len());
        self.edges.push(Edge { to, room });
        self.out[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0 });
    }

    /// The nodes of the cheapest cut; among equally cheap ones that which lies nearest to the sinks.
    pub(crate) fn least_cut(mut self) -> Vec<usize> {
        let (source, sink) = (2 * self.nodes, 2 * self.nodes + 1);
        while let Some(distance) = self.distances(source, sink) {
            let mut next = vec![0; self.out.len()];
            while self.push(source, sink, &distance, &mut next) {}
        }
        let reaches = self.reaches(sink);
        (0..self.nodes).filter(|&node| reaches[2 * node + 1] && !reaches[2 * node] && self.is_open(node)).collect()
    }

    fn is_open(&self, node: usize) -> bool {
        self.out[2 * node].iter().any(|&edge| self.edges[edge].to == 2 * node + 1)
    }

    /// Steps from the source over edges with room; `None` when the sink cannot be reached.
    fn distances(&self, source: usize, sink: usize) -> Option<Vec<usize>> {
        let mut distance = vec![usize::MAX; self.out.len()];
        distance[source] = 0;
        let mut open = VecDeque::from([source]);
        while let Some(vertex) = open.pop_front() {
            for &edge in &self.out[vertex] {
                let Edge { to, room } = self.edges[edge];
                if room > 0 && distance[to] == usize::MAX {
                    distance[to] = distance[vertex] + 1;
                    open.push_back(to);
                }
            }
        }
        (distance[sink] != usize::MAX).then_some(distance)
    }

    /// Sends what fits along one shortest way; false when none is left. `next` remembers edges that lead nowhere.
    fn push(&mut self, source: usize, sink: usize, distance: &[usize], next: &mut [usize]) -> bool {
        let mut way: Vec<usize> = Vec::new();
        let mut vertex = source;
        while vertex != sink {
            let onward = self.out[vertex][next[vertex]..].iter().position(|&edge| {
                let Edge { to, room } = self.edges[edge];
                room > 0 && distance[to] == distance[vertex].wrapping_add(1)
            });
            if let Some(skipped) = onward {
                next[vertex] += skipped;
                let edge = self.out[vertex][next[vertex]];
                way.push(edge);
                vertex = self.edges[edge].to;
            } else {
                next[vertex] = self.out[vertex].len();
                let Some(edge) = way.pop() else { return false };
                vertex = self.edges[edge ^ 1].to;
                next[vertex] += 1;
            }
        }
        let amount = way.iter().map(|&edge| self.edges[edge].room).min().unwrap_or(0);
        for edge in way {
            if self.edges[edge].room != UNLIMITED {
                self.edges[edge].room -= amount;
            }
            self.edges[edge ^ 1].room = self.edges[edge ^ 1].room.saturating_add(amount);
        }
        amount > 0
    }

    /// The vertices from which the sink can still be reached.
    fn reaches(&self, sink: usize) -> Vec<bool> {
        let mut reaches = vec![false; self.out.len()];
        reaches[sink] = true;
        let mut open = vec![sink];
        while let Some(vertex) = open.pop() {
            for &edge in &self.out[vertex] {
                let from = self.edges[edge].to;
                if self.edges[edge ^ 1].room > 0 && !reaches[from] {
                    reaches[from] = true;
                    open.push(from);
                }
            }
        }
        reaches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_way_through_two_equal_nodes_is_cut_at_the_later_one() {
        let mut network = Network::new(2);
        network.node(0, 4);
        network.node(1, 4);
        network.source(0);
        network.edge(0, 1);
        network.sink(1);
        assert_eq!(network.least_cut(), [1]);
    }

    proptest! {
        #[test]
        fn a_cut_separates_and_no_other_set_is_cheaper(
            prices in proptest::collection::vec(1u64..9, 7),
            edges in proptest::collection::vec((0usize..7, 0usize..7), 0..16),
            ends in proptest::collection::vec((any::<bool>(), any::<bool>()), 7),
        ) {
            let mut network = Network::new(7);
            prices.iter().enumerate().for_each(|(node, &price)| network.node(node, price));
            let edges: Vec<_> = edges.into_iter().filter(|(a, b)| a < b).collect();
            edges.iter().for_each(|&(a, b)| network.edge(a, b));
            for (node, &(source, sink)) in ends.iter().enumerate() {
                if source { network.source(node); }
                if sink { network.sink(node); }
            }
            let separates = |removed: u32| {
                // Operands come first, so one pass finds all that is reached.
                let mut reached = [false; 7];
                for node in 0..7 {
                    let enters = ends[node].0 || edges.iter().any(|&(a, b)| b == node && reached[a]);
                    reached[node] = enters && removed & (1 << node) == 0;
                }
                !(0..7).any(|node| reached[node] && ends[node].1)
            };
            let price = |set: u32| (0..7).filter(|node| set & (1 << node) != 0).map(|node| prices[node]).sum::<u64>();
            let found = network.least_cut().into_iter().fold(0, |set, node| set | 1 << node);
            prop_assert!(separates(found));
            let cheapest = (0..1 << 7).filter(|&set| separates(set)).map(price).min();
            prop_assert_eq!(Some(price(found)), cheapest);
        }
    }
}
