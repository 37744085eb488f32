//! Images of a recorded disk at random moments, each of which is examined.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use untag_power_loss::{Outage, Record, Tree};

use crate::support::long_run::{say, variable};

/// How many images of each record are examined; `UNTAG_POWER_LOSS_IMAGES` sets another number for all tests together.
const DEFAULT_IMAGES: usize = 300;
/// The most of one record: more need another one.
const IMAGES_OF_A_RECORD: usize = 500;

/// What was done to a disk.
pub struct Recorded<C> {
    pub record: Record,
    /// The first moment of which there may be images.
    pub first: usize,
    /// What checks an image of a moment; the moments never go back.
    pub check: C,
}

/// Examines images of records that `record` makes, one of so many parts of all images there are. `record` gets a seed.
pub fn examine<C: FnMut(usize, &Path)>(
    story: &str,
    part: usize,
    record: impl Fn(u64) -> Recorded<C>,
) {
    let images: usize = variable("UNTAG_POWER_LOSS_IMAGES").unwrap_or(DEFAULT_IMAGES);
    let seed: u64 = variable("UNTAG_POWER_LOSS_SEED").unwrap_or_else(rand::random);
    say(&format!(
        "power loss, {story}: seed {seed} (UNTAG_POWER_LOSS_SEED sets it)"
    ));
    let mut random = StdRng::seed_from_u64(seed);
    let (mut left, mut moments, mut unsynced) = (images.div_ceil(part), 0, 0);
    let all = left;
    while left > 0 {
        let count = left.min(IMAGES_OF_A_RECORD);
        let recorded = record(random.random());
        moments += recorded.record.moments();
        unsynced += examine_record(story, recorded, count, &mut random);
        left -= count;
    }
    say(&format!(
        "power loss, {story}: {all} images of {moments} moments, {unsynced} of them with something to lose"
    ));
    assert!(unsynced > 0, "nothing could be lost: nothing was tested");
}

/// Examines images at random moments. Returns how many of the moments had something that was not synced.
fn examine_record<C: FnMut(usize, &Path)>(
    story: &str,
    recorded: Recorded<C>,
    count: usize,
    random: &mut StdRng,
) -> usize {
    let Recorded {
        record,
        first,
        mut check,
    } = recorded;
    let mut cuts: Vec<(usize, u64)> = (0..count)
        .map(|_| {
            (
                random.random_range(first..=record.moments()),
                random.random(),
            )
        })
        .collect();
    cuts.sort_unstable();
    let mut outage = Outage::new(Tree::default());
    let (mut passed, mut unsynced) = (0, 0);
    for (number, (moment, seed)) in cuts.into_iter().enumerate() {
        record.pass(&mut outage, passed, moment);
        passed = moment;
        unsynced += usize::from(outage.unsynced() > 0);
        let (survival, tree) = outage.image(seed);
        let image = tempfile::tempdir().unwrap();
        tree.write_to(image.path()).unwrap();
        let checked = catch_unwind(AssertUnwindSafe(|| check(moment, image.path())));
        if let Err(panic) = checked {
            say(&format!(
                "power loss, {story}: image {number} at moment {moment} of {}, {survival:?} survived, seed {seed}; \
                 not synced were {}; before it was opened: {}",
                record.moments(),
                outage.summary(),
                kept(&tree)
            ));
            resume_unwind(panic);
        }
    }
    unsynced
}

/// Writes an image where it stays.
fn kept(tree: &Tree) -> String {
    let kept = TempDir::with_prefix("untag-power-loss-").unwrap().keep();
    tree.write_to(&kept).unwrap();
    kept.display().to_string()
}
