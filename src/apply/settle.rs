//! Files and index to one side, from whatever mixture a kill or a failed step left; what belongs to
//! neither side is moved out of the way first.

use std::path::PathBuf;

use super::phase::Phase;
use super::transaction::{Stop, Transaction};
use super::tree::{self, Goal};
use super::{aside, preflight};
use crate::sys::{durable, store};

impl Transaction<'_> {
    /// Brings files and index to one side from whatever mixture is there.
    pub fn settle(&mut self, goal: Goal) -> Result<(), Stop> {
        let changes = self.changes()?.to_vec();
        let commit = match goal {
            Goal::Old => self.journal.from_commit.clone(),
            Goal::New => self.journal.to_commit.clone(),
        };
        self.remove_left_locks()?;
        preflight::index_is_free(self.rooms.checkout).map_err(|halt| self.waits(halt))?;
        let list = self.rooms.home.root().join("apply_journal.paths");
        let checkout = self.rooms.checkout;
        self.set_aside(&aside::edited(checkout, &changes)?)?;
        let plan = tree::settle_plan(&changes, goal, &commit);
        for step in plan {
            if step.writes() {
                // What is there now, with all that is ours gone, is somebody else's.
                self.set_aside(&aside::in_the_way(checkout.top(), &changes, goal))?;
            }
            step.prepare(&list)?;
            self.run_git(Phase::CheckingOut, &step.arguments(&list))?;
            step.finish(checkout.top())?;
        }
        Ok(store::remove(&list)?)
    }

    /// Files, index and HEAD are on the disk before the journal says that they are there: git syncs its
    /// objects and refs only, and after a power loss an empty file would count as checked out.
    pub fn make_durable(&mut self) -> Result<(), Stop> {
        let (top, git) = (self.top().to_owned(), self.rooms.checkout.git_dir().to_owned());
        let changed = self.changes()?.iter().map(|c| top.join(&c.path));
        let files: Vec<PathBuf> = changed.chain(["index", "HEAD"].map(|name| git.join(name))).collect();
        Ok(durable::flush(&top, &files)?)
    }

    /// Moves what somebody put there out of the way. The journal first: what a kill leaves moved is
    /// told all the same.
    pub fn set_aside<'b>(&mut self, paths: impl IntoIterator<Item = &'b PathBuf>) -> Result<(), Stop> {
        for path in paths {
            let aside = aside::free_name(path, &self.journal.keep_name());
            self.journal.moves_aside(path, &aside);
            self.save()?;
            store::move_to(path, &aside)?;
        }
        Ok(())
    }
}
