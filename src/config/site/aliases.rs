//! The aliases of a site: its own on top of those that it shares with the others of its file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::compared_name;

/// What one table `alias` says: targets by name in compared form, `*` for every other local name.
pub(in crate::config) type Table = BTreeMap<String, Vec<String>>;

/// What local names stand for at a site.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    own: Table,
    shared: Arc<Table>,
}

impl Aliases {
    /// Those in `own`, then those in `shared`.
    pub(in crate::config) fn new(own: Table, shared: &Arc<Table>) -> Self {
        Self { own, shared: Arc::clone(shared) }
    }

    /// The targets of `name`, which is in its [compared form](compared_name).
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.own.get(name).or_else(|| self.shared.get(name)).map(Vec::as_slice)
    }

    /// Makes `name` stand for `targets` at this site alone.
    pub fn insert(&mut self, name: &str, targets: Vec<String>) {
        self.own.insert(compared_name(name), targets);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }

    /// The number of the site's own, and where the shared ones are.
    #[cfg(test)]
    pub(in crate::config) fn held(&self) -> (usize, *const Table) {
        (self.own.len(), Arc::as_ptr(&self.shared))
    }
}

/// Aliases of the site's own.
impl FromIterator<(String, Vec<String>)> for Aliases {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(all: I) -> Self {
        let own = all.into_iter().map(|(name, targets)| (compared_name(&name), targets)).collect();
        Self { own, shared: Arc::default() }
    }
}
