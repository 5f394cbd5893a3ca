//! `make bench`: how close the delivery engine comes to what the machine can do at all.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement says what it found, or why it could not be taken"
)]

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use tests::load::{
    bare_files, bare_grpc,
    floor::{self, Durability},
    goals::{Bench, GOALS},
    over_grpc,
    run::{Load, open_loop},
    setup::{self, Shape},
    swarm::Swarm,
    target::{GENERATOR_CORE, Kind, Target, pin, server_binary},
};

/// The server's, so that the floors have it as well.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures servers that it starts itself, on loopback, beside floors in the same run.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One load on one target.
    Load {
        /// What to measure.
        #[arg(long, value_enum, default_value = "embedded")]
        kind: Kind,
        /// The server's binary. Default: the one beside this program.
        #[arg(long)]
        server: Option<PathBuf>,
        /// Rooms.
        #[arg(long, default_value_t = 1)]
        rooms: usize,
        /// Members of each room.
        #[arg(long, default_value_t = 100)]
        members: usize,
        /// Deliveries a second, over all rooms.
        #[arg(long, default_value_t = 20_000.0)]
        deliveries: f64,
        /// Seconds.
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// How often.
        #[arg(long, default_value_t = 1)]
        repeat: usize,
        /// Bytes of each text.
        #[arg(long, default_value_t = 120)]
        size: usize,
        /// So many others who are there, in rooms of 50, and say nothing.
        #[arg(long, default_value_t = 0)]
        idle: usize,
        /// Over gRPC: streams and unary calls instead of sockets.
        #[arg(long)]
        grpc: bool,
    },
    /// Everything that the goals of the delivery engine ask for; takes about forty minutes.
    Goals {
        /// The server's binary. Default: the one beside this program.
        #[arg(long)]
        server: Option<PathBuf>,
        /// Only these goals.
        #[arg(long, value_delimiter = ',')]
        goals: Vec<u32>,
        /// How often each measurement is taken; medians are told.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Where table, chart, raw lines and summary go.
        #[arg(long, default_value = "target/bench")]
        folder: PathBuf,
    },
    /// A floor, until it is ended. Started by the measurements.
    #[command(hide = true)]
    Floor {
        #[arg(long, value_enum)]
        kind: Kind,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        file: PathBuf,
    },
}

fn main() {
    match Arguments::parse().command {
        Command::Floor { kind, listen, file } => {
            if kind == Kind::BareGrpc {
                return runtime().block_on(bare_grpc::serve(listen)).expect("the floor serves");
            }
            if kind == Kind::BareFiles {
                return runtime().block_on(bare_files::serve(listen, &file)).expect("the floor serves");
            }
            let durability = match kind {
                Kind::Durable => Durability::Group(file),
                Kind::Each => Durability::Each(file),
                _ => Durability::None,
            };
            floor::serve(listen, durability).expect("the floor serves");
        }
        Command::Load { kind, server, rooms, members, deliveries, seconds, repeat, size, idle, grpc } => {
            let time = Duration::from_secs_f64(seconds);
            let load = Load { time, length: size, ..Load::rate(deliveries) };
            let options = Options { kind, server: server_binary(server), shape: Shape { rooms, members }, idle, grpc };
            measure(&options, load, repeat);
        }
        Command::Goals { server, goals, rounds, folder } => {
            pin(std::process::id(), GENERATOR_CORE);
            let goals = if goals.is_empty() { GOALS.to_vec() } else { goals };
            let mut bench = Bench::new(runtime(), server_binary(server), rounds, folder).expect("a folder for results");
            bench.run(&goals);
            println!("{}", bench.report.finish());
        }
    }
}

/// What one load is offered to.
struct Options {
    kind: Kind,
    server: PathBuf,
    shape: Shape,
    idle: usize,
    grpc: bool,
}

/// Offers one load, again and again, and prints a line of JSON for each.
fn measure(options: &Options, load: Load, repeat: usize) {
    pin(std::process::id(), GENERATOR_CORE);
    let runtime = runtime();
    let Options { kind, server, shape, idle, grpc } = options;
    let crowd = Shape { rooms: idle.div_ceil(50), members: 50 };
    let target = runtime.block_on(Target::start(*kind, server, shape.people() + crowd.people()));
    let clients = runtime.block_on(setup::rooms(&target, *shape, 0));
    let others = runtime.block_on(setup::rooms(&target, crowd, shape.people()));
    let mut others = Swarm::new(target.address, others).expect("the system has epoll");
    others.connect_all(200);
    if *grpc {
        let measured = over_grpc::open_loop(&target, *shape, &clients, load.deliveries, load.time, load.length);
        let measured = runtime.block_on(measured);
        return println!("{}", serde_json::to_string(&measured).expect("numbers are JSON"));
    }
    let mut swarm = Swarm::new(target.address, clients).expect("the system has epoll");
    swarm.connect_all(200);
    for _ in 0..repeat {
        let measured = open_loop(&mut swarm, &target, load);
        println!("{}", serde_json::to_string(&measured).expect("numbers are JSON"));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
