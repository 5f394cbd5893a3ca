//! Faults: one of a list, at a random moment, for a random time; and its end.

use std::time::Duration;

use clap::ValueEnum;
use rand::{Rng, rngs::StdRng};

use super::world::World;

/// Which faults there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kinds {
    /// `kill -9` only.
    Kill,
    /// Processes that freeze only.
    Freeze,
    /// Broken ways only.
    Wire,
    /// All of them.
    All,
}

/// Something that can be killed or frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One of our processes.
    Node(usize),
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
}

/// How a way between two parts breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Every byte comes this much later.
    Delay(Duration),
    /// Connections end in order, and new ones are refused.
    Cut,
    /// Nothing passes.
    Stall,
    /// Connections are broken off.
    Reset,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; started again after the time.
    Kill(Target),
    /// `SIGSTOP`; goes on after the time.
    Freeze(Target),
    /// A way breaks; healed after the time.
    Wire(usize, Break),
}

/// A fault, when it begins, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Load before it.
    pub before: Duration,
    /// What happens.
    pub fault: Fault,
    /// Until its end.
    pub lasts: Duration,
}

impl Plan {
    /// A random plan. `frozen` is how long processes are frozen at most.
    pub fn random(random: &mut StdRng, world: &World, kinds: Kinds, frozen: Duration) -> Self {
        let mut targets: Vec<Target> = (0..world.nodes.len()).map(Target::Node).collect();
        if world.stores.is_some() {
            targets.extend([Target::Postgres, Target::Redis]);
        }
        let target = targets[random.random_range(0..targets.len())];
        let kind = match kinds {
            Kinds::All => {
                [Kinds::Kill, Kinds::Kill, Kinds::Freeze, Kinds::Wire, Kinds::Wire][random.random_range(0..5)]
            }
            one => one,
        };
        let (fault, lasts) = match kind {
            Kinds::Kill | Kinds::All => (Fault::Kill(target), random.random_range(0..1500)),
            Kinds::Freeze => {
                let longest = u64::try_from(frozen.as_millis()).unwrap_or(u64::MAX);
                (Fault::Freeze(target), random.random_range(longest / 2..=longest))
            }
            Kinds::Wire => {
                let wire = random.random_range(0..world.wires.len());
                let broken =
                    [Break::Delay(millis(random.random_range(50..600))), Break::Cut, Break::Stall, Break::Reset];
                (Fault::Wire(wire, broken[random.random_range(0..broken.len())]), random.random_range(500..5000))
            }
        };
        Self { before: millis(random.random_range(300..2000)), fault, lasts: millis(lasts) }
    }

    /// What happens, in words.
    pub fn describe(&self, world: &World) -> String {
        let (before, lasts) = (self.before.as_millis(), self.lasts.as_millis());
        let what = match self.fault {
            Fault::Kill(target) => format!("kill -9 {}", name(target, world)),
            Fault::Freeze(target) => format!("SIGSTOP {}", name(target, world)),
            Fault::Wire(wire, how) => format!("{how:?} on {}", world.wires[wire].name),
        };
        format!("{what} after {before} ms for {lasts} ms")
    }
}

fn name(target: Target, world: &World) -> &'static str {
    match target {
        Target::Node(node) => world.nodes[node].name,
        Target::Postgres => "PostgreSQL",
        Target::Redis => "Redis",
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Fault {
    /// Lets it happen.
    pub async fn begin(self, world: &mut World) {
        match self {
            Self::Kill(Target::Node(node)) => world.nodes[node].kill(),
            Self::Freeze(Target::Node(node)) => world.nodes[node].freezes().await,
            Self::Wire(wire, how) => {
                let proxy = &world.wires[wire].proxy;
                match how {
                    Break::Delay(delay) => proxy.delay(delay),
                    Break::Cut => proxy.cut().await,
                    Break::Stall => proxy.stall(),
                    Break::Reset => proxy.reset().await,
                }
            }
            Self::Kill(store) | Self::Freeze(store) => {
                let Some(stores) = &mut world.stores else { return };
                match (self, store) {
                    (Self::Kill(_), Target::Postgres) => stores.postgres.kill(),
                    (Self::Kill(_), _) => stores.redis.kill(),
                    (_, Target::Postgres) => stores.postgres.stop(),
                    (..) => stores.redis.stop(),
                }
            }
        }
    }

    /// Ends it: everything runs again when this returns.
    pub async fn end(self, world: &mut World) {
        match self {
            Self::Kill(Target::Node(_)) => world.start().await,
            Self::Freeze(Target::Node(node)) => world.nodes[node].thaws(),
            Self::Wire(wire, _) => world.wires[wire].proxy.heal().await,
            Self::Kill(store) | Self::Freeze(store) => {
                let Some(stores) = &mut world.stores else { return };
                match (self, store) {
                    (Self::Kill(_), Target::Postgres) => stores.postgres.restart().await,
                    (Self::Kill(_), _) => stores.redis.restart().await,
                    (_, Target::Postgres) => stores.postgres.cont(),
                    (..) => stores.redis.cont(),
                }
            }
        }
    }
}
