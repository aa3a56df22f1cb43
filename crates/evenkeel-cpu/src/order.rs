//! Nodes that run together, as a union-find over their numbers, and the order in which groups run.

use crate::fuse::View;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// The node that stands for the group of `node`.
pub(crate) fn find(parent: &mut [usize], node: usize) -> usize {
    let mut root = node;
    while parent[root] != root {
        root = parent[root];
    }
    let mut next = node;
    while parent[next] != root {
        next = std::mem::replace(&mut parent[next], root);
    }
    root
}

/// Makes the groups of two nodes one.
pub(crate) fn union(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (find(parent, a), find(parent, b));
    // The earlier node stands for both, so that the result does not depend on the order of calls.
    let (root, child) = (a.min(b), a.max(b));
    parent[child] = root;
}

/// Orders groups so that what is read comes first; among those that may run, the one traced earliest does.
pub(crate) fn schedule(
    members: &HashMap<usize, Vec<usize>>,
    reads: &[Vec<View>],
    parent: &mut [usize],
    runs: &dyn Fn(usize) -> bool,
) -> Vec<usize> {
    let mut waits: HashMap<usize, usize> = HashMap::new();
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (&root, nodes) in members {
        let sources: BTreeSet<usize> = nodes
            .iter()
            .flat_map(|&node| &reads[node])
            .filter(|view| runs(view.base))
            .map(|view| find(parent, view.base))
            .filter(|&source| source != root)
            .collect();
        waits.insert(root, sources.len());
        for source in sources {
            readers.entry(source).or_default().push(root);
        }
    }
    let last = |root: usize| members[&root].last().copied().unwrap_or(root);
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        waits.iter().filter(|(_, count)| **count == 0).map(|(&root, _)| Reverse((last(root), root))).collect();
    let mut order = Vec::with_capacity(members.len());
    while let Some(Reverse((_, root))) = ready.pop() {
        order.push(root);
        for &reader in readers.get(&root).into_iter().flatten() {
            if let Some(count) = waits.get_mut(&reader) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse((last(reader), reader)));
                }
            }
        }
    }
    order
}
