//! The chunks of an import that are under way, oldest first.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::domain::ResourceId;

/// The users of a chunk.
pub type Ids = HashSet<ResourceId>;

/// The chunks that have begun and not ended, which they do in order.
#[derive(Default)]
pub struct UnderWay(VecDeque<Chunk>);

struct Chunk {
    ids: Arc<Ids>,
    /// The first of its lines that have waited before.
    first_waited: Option<u64>,
}

impl UnderWay {
    /// Begins a chunk. Returns the users of those that are under way beside it.
    pub fn begin(&mut self, ids: Ids, first_waited: Option<u64>) -> Vec<Arc<Ids>> {
        let others = self.0.iter().map(|chunk| Arc::clone(&chunk.ids)).collect();
        self.0.push_back(Chunk {
            ids: Arc::new(ids),
            first_waited,
        });
        others
    }

    /// Ends the chunk that has begun first.
    pub fn end(&mut self) {
        self.0.pop_front();
    }

    /// Whether a chunk has one of these users.
    pub fn has_any<'id>(&self, ids: impl IntoIterator<Item = &'id ResourceId>) -> bool {
        let is_under_way = |id| self.0.iter().any(|chunk| chunk.ids.contains(id));
        ids.into_iter().any(is_under_way)
    }

    /// The first line that has waited before.
    pub fn first_waited(&self) -> Option<u64> {
        self.0.iter().filter_map(|chunk| chunk.first_waited).min()
    }
}
