//! Two ends of this crate with each other, with certificates of every kind that can go wrong; and ends that are hostile.
//! What real Open vSwitch says to them is tested where its daemons are started.

mod directory;
mod failures;
mod files;
mod world;
