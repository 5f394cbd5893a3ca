//! What can happen in a world, as data. Numbers stand for people, rooms and messages, taken modulo how many there are, so that
//! any part of a story is a story; a step that finds nothing to act on is none.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// How many people there are: the owner and an admin of the workspace, members, and guests at the end.
pub const PEOPLE: usize = 10;
/// How many of them are guests.
pub const GUESTS: usize = 2;
/// How many rooms a world has at most.
pub const ROOMS: usize = 4;

/// Somebody does something in a room.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub by: usize,
    pub room: usize,
    pub does: Does,
}

/// What somebody does. Levels are 1 for a member to 4 for an owner.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    Create { private: bool, since_joined: bool },
    Join,
    Leave,
    Add { whom: usize, level: u8 },
    Remove { whom: usize },
    Promote { whom: usize, level: u8 },
    Rename,
    SetHistory { since_joined: bool },
    Permit { permission: usize, level: u8 },
    Archive { on: bool },
    Send,
    Edit { message: usize },
    Delete { message: usize },
    MarkRead { back: u64 },
    MarkUnread { back: u64 },
    Page { before: bool, back: u64 },
    SeeMembers,
    SeeRoom,
    SeeRooms { joined_only: bool },
    Verify { from: u64, length: u64 },
    ReadLog { after: u64 },
    OpenFeed { cursor: Option<u64> },
    Check { post: bool },
    Upload { content: u8 },
    ReadFile { file: usize },
    ShareFile { file: usize, to: usize },
    DeleteFile { file: usize },
    ListFiles { named: Option<usize> },
    SearchPeople { whom: usize },
}

/// A story without an end; the same seed tells the same one.
pub fn story(seed: u64) -> impl Iterator<Item = Step> {
    let mut random = StdRng::seed_from_u64(seed);
    std::iter::repeat_with(move || step(&mut random))
}

fn step(random: &mut StdRng) -> Step {
    let by = random.random_range(0..PEOPLE);
    let room = random.random_range(0..ROOMS);
    let whom = random.random_range(0..PEOPLE);
    // Most are members, or there would be little to take away.
    let level = *[1, 1, 1, 2, 3, 4].get(random.random_range(0..6)).unwrap_or(&1);
    let back = random.random_range(0..12);
    let does = match random.random_range(0..108) {
        0..=2 => Does::Create { private: random.random(), since_joined: random.random() },
        3..=11 => Does::Join,
        12..=14 => Does::Leave,
        15..=22 => Does::Add { whom, level },
        23..=26 => Does::Remove { whom },
        27..=30 => Does::Promote { whom, level },
        31..=32 => Does::Rename,
        33..=34 => Does::SetHistory { since_joined: random.random() },
        35..=37 => Does::Permit { permission: random.random_range(0..5), level },
        38..=40 => Does::Archive { on: random.random_range(0..3) == 0 },
        41..=58 => Does::Send,
        59..=62 => Does::Edit { message: random.random_range(0..64) },
        63..=66 => Does::Delete { message: random.random_range(0..64) },
        67..=68 => Does::MarkRead { back },
        69..=70 => Does::MarkUnread { back },
        71..=78 => Does::Page { before: random.random(), back },
        79..=80 => Does::SeeMembers,
        81..=83 => Does::SeeRoom,
        84 => Does::SeeRooms { joined_only: random.random_range(0..8) != 0 },
        85..=88 => Does::Verify { from: random.random_range(1..40), length: random.random_range(0..8) },
        89..=93 => Does::ReadLog { after: random.random_range(0..40) },
        94..=97 => Does::OpenFeed { cursor: random.random_bool(0.8).then(|| random.random_range(0..40)) },
        98..=99 => Does::Check { post: random.random() },
        100..=101 => Does::Upload { content: random.random_range(0..4) },
        102..=103 => Does::ReadFile { file: random.random_range(0..16) },
        104 => Does::ShareFile { file: random.random_range(0..16), to: random.random_range(0..ROOMS) },
        105 => Does::DeleteFile { file: random.random_range(0..16) },
        106 => Does::ListFiles { named: random.random::<bool>().then(|| random.random_range(0..16)) },
        _ => Does::SearchPeople { whom },
    };
    Step { by, room, does }
}
